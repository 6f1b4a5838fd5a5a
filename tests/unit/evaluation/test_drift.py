from dataclasses import replace

import numpy as np
import pytest

from lesionlabel.evaluation.drift import drift_warnings, noise
from lesionlabel.lesions.cohort import Cohort, CohortLesion
from lesionlabel.lesions.roi import Context

NAMES = ("cyst", "metastasis", "hemangioma")


def cohort_of(patients: int, seed: int, *, per_patient: int = 1, shares=(1 / 3, 1 / 3, 1 / 3), **changes) -> Cohort:
    rng, made = np.random.default_rng(seed), []
    for i in range(patients):
        values = {
            "diameter": rng.lognormal(2.3, 0.4),
            "spacing": rng.normal(0.75, 0.05),
            "density": rng.normal(105, 8),
            "sigma": 12.0,
        }
        values |= {name: change(values[name]) for name, change in changes.items()}
        for j in range(per_patient):
            half = int(1.6 * values["diameter"] / values["spacing"]) + 2
            hu = rng.normal(values["density"], values["sigma"], (2 * half + 1, 2 * half + 1)).astype(np.float32)
            context = Context(hu, (float(half), float(half)), values["diameter"] / values["spacing"], values["spacing"])
            label = NAMES[rng.choice(3, p=shares)]
            made.append(CohortLesion(f"s{seed}-{i}-{j}", f"s{seed}-p{i}", label, context))
    return Cohort(tuple(made), NAMES)


@pytest.fixture(scope="module")
def trained():
    return cohort_of(80, 0)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"diameter": lambda d: 0.5 * d}, "diameter"),
        ({"spacing": lambda s: s + 0.15}, "pixel size"),
        ({"density": lambda d: d - 30}, "density around the lesion"),
        ({"sigma": lambda s: 1.5 * s}, "noise"),
        ({"shares": (0.1, 0.8, 0.1)}, "class mix: cyst"),
    ],
)
def test_what_has_changed_is_named_with_its_figures(trained, changes, named):
    found = drift_warnings(trained, cohort_of(40, 1, **changes))
    assert any(named in warning and "then and" in warning for warning in found), found


def test_without_a_change_there_is_hardly_ever_a_warning(trained):
    alarms = sum(bool(drift_warnings(trained, cohort_of(25, seed))) for seed in range(1, 41))
    # At 5 % two of forty are expected; more than six would come once in two hundred times.
    assert alarms <= 6


def test_many_lesions_of_few_patients_of_one_class_each_are_no_evidence(trained):
    def same_class(cohort: Cohort) -> Cohort:
        first = {lesion.patient: lesion.label for lesion in reversed(cohort.lesions)}
        return Cohort(tuple(replace(lesion, label=first[lesion.patient]) for lesion in cohort), NAMES)

    found = [drift_warnings(trained, same_class(cohort_of(10, seed, per_patient=10))) for seed in range(1, 21)]
    # Taken as 100 independent lesions, the class mix would differ in most of the twenty.
    assert sum(any("class mix" in warning for warning in warnings) for warnings in found) <= 3


def test_few_patients_tell_nothing(trained):
    [said] = drift_warnings(trained, cohort_of(9, 2))
    assert "cannot be told: 9 patient(s) came" in said


def test_noise_is_that_of_the_pixels_not_of_edges():
    hu = np.random.default_rng(0).normal(100, 15, (80, 80)).astype(np.float32)
    hu[:, 40:] -= 90
    assert noise(Context(hu, (40.0, 40.0), 20.0, 0.7)) == pytest.approx(15, rel=0.05)
