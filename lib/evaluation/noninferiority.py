"""Whether one classifier is no worse than another on the same lesions, by more than a margin.

Source: Tango 1998, Statistics in Medicine 17:891, the score test for a difference of paired proportions. Lesions of a patient are
alike, so counts shrink by the design effect of patients, which is at least 1 (Rao and Scott 1992, Biometrics 48:577).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from lesionlabel.evaluation.metrics import lesion_weights

BoolArray = NDArray[np.bool_]
FloatArray = NDArray[np.float64]

#: Of sensitivity, in shares: what a class, or their mean, may lose.
MARGIN = 0.10
#: Share of lesions on which two equal classifiers of this kind differ, for powers that are told before any answer is seen.
USUAL_DISCORDANCE = 0.2


@dataclass(frozen=True)
class Paired:
    """What two classifiers did on the same lesions of one class.

    lesions: their weights summed. won, lost: of that, what only the first or only the second has right. design_effect: by how
    much patients with several lesions make the sample smaller, at least 1.
    """

    lesions: float
    patients: int
    won: float
    lost: float
    design_effect: float

    @property
    def difference(self) -> float:
        """Sensitivity of the first less that of the second; 0 without lesions."""
        return (self.won - self.lost) / self.lesions if self.lesions else 0.0

    @property
    def effective(self) -> tuple[float, float, float]:
        """Lesions, won and lost of independent lesions that would say as much."""
        return self.lesions / self.design_effect, self.won / self.design_effect, self.lost / self.design_effect


@dataclass(frozen=True)
class MarginTest:
    """One side against the other. p_not_worse: one-sided, that the first is worse by the margin or more; p_worse: that it is no
    worse at all; both small mean the opposite. power: the chance that equal classifiers with this discordance are shown to be no
    worse at the alpha asked for.
    """

    difference: float
    p_not_worse: float
    p_worse: float
    power: float

    def to_json(self) -> dict[str, Any]:
        return {name: round(value, 4) for name, value in vars(self).items()}


def pair(first: BoolArray, second: BoolArray, patients: Sequence[str]) -> Paired:
    """Count what first and second, (n,) and true where right, did on lesions of these patients.

    A patient with more than five lesions weighs as five.
    """
    if not len(first):
        return Paired(0.0, 0, 0.0, 0.0, 1.0)
    weights = lesion_weights(patients)
    difference = first.astype(float) - second
    total = weights.sum()
    mean = weights @ difference / total
    _, owner = np.unique(np.asarray(patients), return_inverse=True)
    n_patients = int(owner.max()) + 1
    by_patient = np.bincount(owner, weights * (difference - mean))
    independent = float((weights * (difference - mean) ** 2).sum()) * len(first) / max(len(first) - 1, 1)
    clustered = float((by_patient**2).sum()) * n_patients / max(n_patients - 1, 1)
    return Paired(
        lesions=float(total),
        patients=n_patients,
        won=float(weights @ (difference > 0)),
        lost=float(weights @ (difference < 0)),
        design_effect=max(1.0, clustered / independent) if independent else 1.0,
    )


def against_margin(classes: Sequence[Paired], alpha: float, margin: float = MARGIN) -> MarginTest:
    """The mean over classes of the difference in sensitivity, tested against the margin and against 0.

    One class: its own. Without a lesion in any of them nothing is shown: p is 1 and the power 0.
    """
    if not classes or any(one.lesions == 0 for one in classes):
        return MarginTest(0.0, 1.0, 1.0, 0.0)
    difference = float(np.mean([one.difference for one in classes]))
    return MarginTest(
        difference=difference,
        p_not_worse=float(norm.sf((difference + margin) / _error(classes, -margin))),
        p_worse=float(norm.cdf(difference / _error(classes, 0.0))) if any(one.won + one.lost for one in classes) else 1.0,
        power=_power(classes, alpha, margin),
    )


def planned_power(lesions: Sequence[float], alpha: float, margin: float = MARGIN) -> float:
    """The power of against_margin for two equal classifiers that differ on a usual share of so many lesions of each class."""
    if not lesions or min(lesions) <= 0:
        return 0.0
    usual = USUAL_DISCORDANCE / 2
    return _power([Paired(n, int(n), n * usual, n * usual, 1.0) for n in lesions], alpha, margin)


def _power(classes: Sequence[Paired], alpha: float, margin: float) -> float:
    """The power against no difference, with as many discordant lesions as there are, half of them on either side."""
    equal = [replace(one, won=(one.won + one.lost) / 2, lost=(one.won + one.lost) / 2) for one in classes]
    return float(norm.cdf((margin - norm.ppf(1 - alpha) * _error(equal, -margin)) / _error(equal, 0.0)))


def _error(classes: Sequence[Paired], difference: float) -> float:
    """Standard error of the mean difference over classes if each class's true one were the difference given.

    The share that only the second has right is the one most likely under that (Tango's restricted estimate).
    """
    total = 0.0
    for one in classes:
        n, won, lost = one.effective
        b = -won - lost + (2 * n - won + lost) * difference
        root = np.sqrt(max(b * b + 8 * n * lost * difference * (1 - difference), 0.0))
        share = max((root - b) / (4 * n), 0.0)
        total += max(2 * share + difference * (1 - difference), 0.0) / n
    return max(float(np.sqrt(total)) / len(classes), 1e-9)
