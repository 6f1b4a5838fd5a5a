import numpy as np
import pytest

from lesionlabel.lesions.cohort import Cohort, CohortLesion
from lesionlabel.lesions.lesion import Proof
from lesionlabel.lesions.roi import Context, context_half_width

NAMES = ("cyst", "metastasis", "hemangioma")


def make_lesion(number: int, label: int, patient: str, **changes) -> CohortLesion:
    """A disc in noise whose density is its class: easy to tell apart by its pixels, not by its size."""
    rng = np.random.default_rng(number)
    diameter = 10.0 + 10 * rng.random()
    half = context_half_width(diameter)
    y, x = np.mgrid[-half : half + 1, -half : half + 1]
    hu = np.where(np.hypot(x, y) < diameter / 2, (10.0, 75.0, 150.0)[label], 105.0) + 10 * rng.standard_normal(x.shape)
    context = Context(hu.astype(np.float32), (float(half), float(half)), diameter, 0.75)
    values = {"proof": Proof.PATHOLOGY, "saw_model": False, **changes}
    return CohortLesion(f"lesion-{number}", patient, NAMES[label], context, **values)


@pytest.fixture
def lesion_of():
    return make_lesion


@pytest.fixture
def cohort_of():
    def make(n: int = 24, prefix: str = "p-", **changes) -> Cohort:
        """Lesion i has class i mod 3; two lesions a patient."""
        lesions = [make_lesion(i, i % 3, f"{prefix}{i // 6}-{i % 3}", **changes) for i in range(n)]
        return Cohort(tuple(lesions), NAMES)

    return make
