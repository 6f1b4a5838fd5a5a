"""How well types were told apart: shares with Wilson intervals, losses with intervals over patients."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from statsmodels.stats.proportion import proportion_confint

from lesionlabel.lesions.classes import ClassList
from lesionlabel.lesions.errors import InputError

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

#: A patient with more lesions than this weighs as this many.
LESIONS_PER_PATIENT = 5
#: Draws of patients behind an interval.
RESAMPLES = 2000


@dataclass(frozen=True)
class Interval:
    """A figure with its 95 % interval; of: how many lesions it rests on (their weights summed)."""

    value: float
    low: float
    high: float
    of: float

    def to_json(self) -> dict[str, float]:
        return {name: round(float(getattr(self, name)), 4) for name in ("value", "low", "high", "of")}

    def percent(self) -> str:
        """As "78.6 % [72.1, 83.9]"."""
        return f"{100 * self.value:.1f} % [{100 * self.low:.1f}, {100 * self.high:.1f}]"

    def plain(self) -> str:
        """As "0.512 [0.430, 0.601]"."""
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


@dataclass(frozen=True)
class Figures:
    """What is reported of predictions on tested lesions.

    confusion: lesions, (true, predicted), unweighted. sensitivity, specificity: by class, None where no lesion bears on it.
    macro: mean sensitivity of the classes. malignant_called_benign: share of malignant lesions predicted as a benign class.
    log_loss, brier: means over lesions; Brier is the sum over classes, 0 to 2. majority: accuracy of always naming the
    commonest class.
    """

    class_names: tuple[str, ...]
    lesions: int
    patients: int
    confusion: IntArray
    accuracy: Interval
    sensitivity: tuple[Interval | None, ...]
    specificity: tuple[Interval | None, ...]
    macro: Interval
    malignant_called_benign: Interval | None
    log_loss: Interval
    brier: Interval
    majority: float

    def to_json(self) -> dict[str, Any]:
        def one(interval: Interval | None) -> dict[str, float] | None:
            return None if interval is None else interval.to_json()

        return {
            "lesions": self.lesions,
            "patients": self.patients,
            "accuracy": one(self.accuracy),
            "malignant_called_benign": one(self.malignant_called_benign),
            "macro": one(self.macro),
            "sensitivity": {name: one(x) for name, x in zip(self.class_names, self.sensitivity, strict=True)},
            "specificity": {name: one(x) for name, x in zip(self.class_names, self.specificity, strict=True)},
            "log_loss": one(self.log_loss),
            "brier": one(self.brier),
            "majority": round(self.majority, 4),
            "confusion": self.confusion.tolist(),
        }


def measure(
    labels: IntArray, probabilities: FloatArray, patients: Sequence[str], classes: ClassList, rng: np.random.Generator
) -> Figures:
    """Figures of probabilities (n, classes) for lesions with class indices (n,). rng draws the patients behind intervals.

    Lesions of a patient with more than five weigh together as five. Shares have Wilson intervals on weighted counts, which take
    lesions as independent; macro, log loss and Brier have percentile intervals over patients drawn with replacement.
    Raises InputError when there is no lesion.
    """
    if not len(labels):
        raise InputError("There is no lesion to measure on.")
    weights = lesion_weights(patients)
    predicted = probabilities.argmax(axis=1)
    n_classes = len(classes)
    confusion = np.zeros((n_classes, n_classes), dtype=np.int64)
    np.add.at(confusion, (labels, predicted), 1)
    malignant = np.isin(labels, classes.malignant_indices())
    benign = np.isin(predicted, classes.benign_indices())
    truth = np.eye(n_classes)[labels]
    log_losses = -np.log(np.maximum(probabilities[np.arange(len(labels)), labels], 1e-12))
    briers = ((probabilities - truth) ** 2).sum(axis=1)
    right = predicted == labels

    def mean_of(values: FloatArray) -> Callable[[FloatArray], FloatArray]:
        return lambda w: w @ values / w.sum(axis=1)

    def macro(w: FloatArray) -> FloatArray:
        with np.errstate(invalid="ignore"):  # a class that no drawn patient has is left out of that draw's mean
            return np.nanmean((w * right) @ truth / (w @ truth), axis=1)

    return Figures(
        class_names=tuple(classes.names),
        lesions=len(labels),
        patients=len(set(patients)),
        confusion=confusion,
        accuracy=wilson(right, weights),
        sensitivity=tuple(_share(labels == c, predicted == c, weights) for c in range(n_classes)),
        specificity=tuple(_share(labels != c, predicted != c, weights) for c in range(n_classes)),
        macro=over_patients(macro, patients, weights, rng),
        malignant_called_benign=_share(malignant, benign, weights),
        log_loss=over_patients(mean_of(log_losses), patients, weights, rng),
        brier=over_patients(mean_of(briers), patients, weights, rng),
        majority=float(np.bincount(labels, weights).max() / weights.sum()),
    )


def lesion_weights(patients: Sequence[str]) -> FloatArray:
    """The weight of each lesion, (n,): 1, or less where its patient has more than five."""
    counts = Counter(patients)
    return np.array([min(1.0, LESIONS_PER_PATIENT / counts[patient]) for patient in patients])


def wilson(hits: NDArray[np.bool_], weights: FloatArray | None = None) -> Interval:
    """The share of hits with its 95 % Wilson interval. Raises InputError when there is nothing to count."""
    weights = np.ones(len(hits)) if weights is None else weights
    total = float(weights.sum())
    if total == 0:
        raise InputError("A share of nothing has no value: there is no lesion to count.")
    count = float(weights @ hits)
    limits: Any = proportion_confint(count, total, alpha=0.05, method="wilson")
    return Interval(count / total, float(limits[0]), float(limits[1]), total)


def over_patients(
    statistic: Callable[[FloatArray], FloatArray],
    patients: Sequence[str],
    weights: FloatArray,
    rng: np.random.Generator,
    resamples: int = RESAMPLES,
) -> Interval:
    """A weighted statistic with its 95 % percentile interval over patients drawn with replacement.

    statistic: takes weights (draws, n), gives one value per draw.
    """
    values = statistic(weights * draw_patients(patients, resamples, rng))
    low, high = np.percentile(values, [2.5, 97.5])
    return Interval(float(statistic(weights[None])[0]), float(low), float(high), float(weights.sum()))


def draw_patients(patients: Sequence[str], resamples: int, rng: np.random.Generator) -> IntArray:
    """How often each lesion is in each of the resamples of patients with replacement, (resamples, n)."""
    names, owner = np.unique(np.asarray(patients), return_inverse=True)
    return rng.multinomial(len(names), np.full(len(names), 1 / len(names)), size=resamples)[:, owner]


def _share(among: NDArray[np.bool_], hits: NDArray[np.bool_], weights: FloatArray) -> Interval | None:
    return wilson(hits[among], weights[among]) if among.any() else None
