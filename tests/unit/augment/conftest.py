"""Contexts and small cohorts for the augmentation's tests."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from lesionlabel.lesions.cohort import Cohort, CohortLesion
from lesionlabel.lesions.roi import Context, context_half_width

MakeContext = Callable[..., Context]


def draw_context(diameter_px: float, seed: int = 0, half: int | None = None, margin_px: float | None = None) -> Context:
    """Noise as in a sharp CT, with an edge to lung and a calcified block: the hardest steps that a ROI sees."""
    rng = np.random.default_rng(seed)
    half = context_half_width(diameter_px) if half is None else half
    side = 2 * half + 1
    hu = rng.normal(104, 21, (side, side))
    hu[:, : side // 3] -= 950
    hu[side // 2 : side // 2 + 3, side // 2 :] += 900
    offset = rng.uniform(-0.5, 0.5, 2)
    centre = (half + float(offset[0]), half + float(offset[1]))
    return Context(hu.astype(np.float32), centre, diameter_px, 0.743, margin_px=margin_px)


def draw_cohort(lesions: int, first: int = 0) -> Cohort:
    """Lesions of different sizes; lesion n is the same whatever the number and the first."""
    names = ("cyst", "metastasis", "hemangioma")
    made = [
        CohortLesion(f"lesion-{n}", f"patient-{n}", names[n % 3], draw_context(14 + 9.5 * (n % 5), seed=n))
        for n in range(first, first + lesions)
    ]
    return Cohort(tuple(made), names)


@pytest.fixture(scope="session")
def make_context() -> MakeContext:
    return draw_context


@pytest.fixture(scope="session")
def make_cohort() -> Callable[..., Cohort]:
    return draw_cohort
