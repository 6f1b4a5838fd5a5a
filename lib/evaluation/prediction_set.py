"""Sets of classes that hold the right one nine times in ten, from out-of-fold answers.

Cross-conformal prediction (Vovk 2015) on pooled out-of-fold scores, as one threshold for the network trained on all lesions.
The unit is the patient, because lesions of one patient are alike: each patient weighs the same in the quantile, however many
lesions it has (hierarchical conformal prediction, Lee, Barber and Willett 2023, arXiv 2306.06342). With one lesion a patient
that is split conformal prediction to the letter. The score is the probability that is missing to the right class (Sadinle,
Lei and Wasserman 2019).
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta

from lesionlabel.evaluation.calibration import cross_fitted_probabilities

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

NOMINAL = 0.9
#: Below so many lesions there are no sets; below so many of any class one threshold serves all classes.
LEAST_LESIONS, LEAST_OF_CLASS = 60, 50
#: The range that coverage falls into in nine of ten cohorts of that size.
RANGE = (0.05, 0.95)
#: Scores this much above a threshold are rounding.
ROUNDING = 1e-9


@dataclass(frozen=True)
class PredictionSets:
    """What makes a set of probabilities, or why there are none.

    thresholds: most that may be missing to 1 for a class to be in the set, by class; None where there are no sets. per_class:
    whether each class has its own. achieved: range of the coverage, of the least certain class where they have their own.
    lesions, patients: behind it. why_not: a sentence where there are none.
    """

    nominal: float
    lesions: int
    patients: int
    per_class: bool = False
    thresholds: tuple[float, ...] | None = None
    achieved: tuple[float, float] | None = None
    why_not: str | None = None

    def members(self, probabilities: FloatArray) -> tuple[int, ...] | None:
        """Indices of the classes in the set of probabilities (classes,), most probable first; None where there are no sets.

        The most probable class always belongs to it, so that no set is empty: that only adds to the coverage.
        """
        if self.thresholds is None:
            return None
        order = np.argsort(-probabilities, kind="stable")
        limits = np.asarray(self.thresholds) + ROUNDING
        return tuple(int(i) for i in order if i == order[0] or 1 - probabilities[i] <= limits[i])

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> PredictionSets:
        """Read what to_json wrote. Raises KeyError, TypeError or ValueError when it is not complete."""
        thresholds, achieved = content["thresholds"], content["achieved"]
        return cls(
            nominal=float(content["nominal"]),
            lesions=int(content["lesions"]),
            patients=int(content["patients"]),
            per_class=bool(content["per_class"]),
            thresholds=None if thresholds is None else tuple(map(float, thresholds)),
            achieved=None if achieved is None else (float(achieved[0]), float(achieved[1])),
            why_not=content["why_not"],
        )


def fit_prediction_sets(
    logits: FloatArray, labels: IntArray, patients: Sequence[str], folds: IntArray, n_classes: int
) -> PredictionSets:
    """Thresholds from out-of-fold logits (n, classes) of lesions that may be tested: never augmented, synthetic, or seen.

    The temperature of each fold is that of the others, as if it were part of what the fold has learned.
    """
    known = {"nominal": NOMINAL, "lesions": len(labels), "patients": len(set(patients))}
    if len(labels) < LEAST_LESIONS:
        why = f"too few cases: {len(labels)} lesions may be tested, at least {LEAST_LESIONS} are needed"
        return PredictionSets(**known, why_not=why)
    probabilities = cross_fitted_probabilities(logits, labels, patients, folds)
    missing = 1 - probabilities[np.arange(len(labels)), labels]
    names = np.asarray(patients)
    per_class = int(np.bincount(labels, minlength=n_classes).min()) >= LEAST_OF_CLASS
    groups = [labels == c for c in range(n_classes)] if per_class else [np.ones(len(labels), dtype=bool)]
    found = [_quantile(missing[group], names[group].tolist()) for group in groups]
    ranges = [coverage_range(len(set(names[group].tolist()))) for group in groups]
    if any(limit is None for limit in found):
        return PredictionSets(**known, why_not=f"too few cases: the lesions come from {known['patients']} patients only")
    thresholds = [limit for limit in found if limit is not None]
    return PredictionSets(
        **known,
        per_class=per_class,
        thresholds=tuple(thresholds if per_class else thresholds * n_classes),
        achieved=(min(low for low, _ in ranges), max(high for _, high in ranges)),
    )


def coverage_range(patients: int, nominal: float = NOMINAL) -> tuple[float, float]:
    """The range of the coverage that sets from so many patients have, in nine of ten cohorts.

    Given the cohort it is Beta(k, n + 1 - k) with k = ceil(nominal (n + 1)) (Vovk 2012), where lesions of a patient are taken as
    one: if they differ, the true range is narrower.
    """
    k = math.ceil(nominal * (patients + 1) - ROUNDING)
    if k > patients:
        return 1.0, 1.0
    low, high = beta.ppf(RANGE, k, patients + 1 - k)
    return float(low), float(high)


def _quantile(scores: FloatArray, patients: Sequence[str]) -> float | None:
    """The least score up to which NOMINAL of the weight lies, a new patient's at infinity; None for too few patients."""
    lesions_of = Counter(patients)
    weights = np.array([1 / ((len(lesions_of) + 1) * lesions_of[patient]) for patient in patients])
    order = np.argsort(scores, kind="stable")
    enough = np.flatnonzero(np.cumsum(weights[order]) >= NOMINAL - ROUNDING)
    return float(scores[order[enough[0]]]) if len(enough) else None
