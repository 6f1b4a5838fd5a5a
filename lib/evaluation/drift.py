"""Do the lesions that come now differ from those that trained? Diameter, pixel size, surrounding density, noise and class mix.

A warning, nothing more: it says that figures may no longer hold, and never that a version may or may not serve. Slice thickness
and scanner are not in a cohort and are not looked at. The unit is the patient.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import ks_2samp
from statsmodels.stats.multitest import multipletests

from lesionlabel.lesions.cohort import Cohort
from lesionlabel.lesions.roi import Context

#: Patients that must have come; two-sided, corrected (Holm 1979) for the number of measures.
LEAST_PATIENTS, ALPHA = 10, 0.05
#: Draws of the permutation test of the class mix.
PERMUTATIONS = 2000


def surroundings(context: Context) -> NDArray[np.float32]:
    """The HU of a context farther from the lesion's centre than its diameter, or of all of it where nothing is."""
    rows, columns = np.indices(context.hu.shape)
    outside = np.hypot(columns - context.centre[0], rows - context.centre[1]) > context.diameter_px
    return context.hu[outside] if outside.any() else context.hu.ravel()


def noise(context: Context) -> float:
    """Noise in HU: from differences of neighbouring pixels, robust to edges."""
    differences = np.diff(context.hu, axis=1)
    return float(1.4826 * np.median(np.abs(differences - np.median(differences))) / np.sqrt(2))


#: What is measured of each lesion, with its unit.
MEASURES: dict[str, tuple[Callable[[Context], float], str]] = {
    "diameter": (lambda context: context.diameter_px * context.spacing_mm, "mm"),
    "pixel size": (lambda context: context.spacing_mm, "mm"),
    "density around the lesion": (lambda context: float(np.median(surroundings(context))), "HU"),
    "noise": (noise, "HU"),
}


def drift_warnings(trained: Cohort, came: Cohort, seed: int = 0) -> tuple[str, ...]:
    """A sentence for each measure that differs between the lesions that trained and those that came; empty where none is shown.

    With too few patients it says that nothing can be told.
    """
    patients = len(set(came.patients))
    if patients < LEAST_PATIENTS:
        return (f"Whether lesions have changed cannot be told: {patients} patient(s) came, {LEAST_PATIENTS} are the least.",)
    found: list[tuple[float, str]] = []
    for name, (measure, unit) in MEASURES.items():
        before, now = (_by_patient(cohort, measure) for cohort in (trained, came))
        test: Any = ks_2samp(before, now)
        found.append((float(test.pvalue), f"{name} {np.median(before):.3g} then and {np.median(now):.3g} {unit} now"))
    shares = [_shares(cohort) for cohort in (trained, came)]
    mix = ", ".join(
        f"{name} {then:.0%} then and {now:.0%} now" for name, then, now in zip(trained.class_names, *shares, strict=True)
    )
    found.append((_mix_p(trained, came, seed), f"class mix: {mix}"))
    corrected: Any = multipletests([p for p, _ in found], method="holm")
    return tuple(
        f"The lesions that come now differ from those that trained: {text} (p = {p:.3g})."
        for p, (_, text) in zip(corrected[1], found, strict=True)
        if p < ALPHA
    )


def _by_patient(cohort: Cohort, measure: Callable[[Context], float]) -> NDArray[np.float64]:
    """The median of each patient's lesions."""
    of_patient: dict[str, list[float]] = {}
    for lesion in cohort:
        of_patient.setdefault(lesion.patient, []).append(measure(lesion.context))
    return np.array([np.median(values) for values in of_patient.values()])


def _shares(cohort: Cohort) -> NDArray[np.float64]:
    return np.bincount(cohort.labels, minlength=len(cohort.class_names)) / len(cohort)


def _mix_p(trained: Cohort, came: Cohort, seed: int) -> float:
    """The p of the class mix: how often patients dealt to both sides by chance differ as much."""
    counts: dict[tuple[int, str], NDArray[np.int64]] = {}
    for side, cohort in enumerate((trained, came)):
        for label, patient in zip(cohort.labels, cohort.patients, strict=True):
            row = counts.setdefault((side, patient), np.zeros(len(cohort.class_names), dtype=np.int64))
            row[label] += 1
    rows = np.array(list(counts.values()))
    is_new = np.array([side == 1 for side, _ in counts])

    def difference(new: NDArray[np.bool_]) -> float:
        now, before = rows[new].sum(axis=0), rows[~new].sum(axis=0)
        return float(np.abs(now / now.sum() - before / before.sum()).sum())

    rng, observed = np.random.default_rng(seed), difference(is_new)
    as_much = sum(difference(rng.permutation(is_new)) >= observed - 1e-12 for _ in range(PERMUTATIONS))
    return (as_much + 1) / (PERMUTATIONS + 1)
