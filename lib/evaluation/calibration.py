"""Whether probabilities mean what they say: temperature, slope, and ECE beside what chance alone would give.

Source: Guo et al. 2017 for temperature scaling; Cox 1958 for the slope. A perfectly calibrated three-class model shows an
expected 10-bin ECE of .139 on 36 lesions and .063 on 182, so an ECE on its own says nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax, softmax

from lesionlabel.evaluation.metrics import Interval, draw_patients, lesion_weights

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

#: Where a temperature may lie: without bounds a small cohort without errors would ask for certainty.
TEMPERATURES = (0.25, 20.0)
#: Of the prior on the recalibration: too wide to matter where there are errors to learn from.
PRIOR_SD = 10.0
NEWTON_STEPS = 50
ECE_BINS = 10
NULL_DRAWS = 1000
SLOPE_RESAMPLES = 500


@dataclass(frozen=True)
class Calibration:
    """slope: 1 is right, below 1 overconfident. ece: top-class, 10 bins. ece_null: mean and 95 % range of a perfectly calibrated
    model with these probabilities.
    """

    slope: Interval
    ece: float
    ece_null: Interval

    def to_json(self) -> dict[str, Any]:
        return {"slope": self.slope.to_json(), "ece": round(self.ece, 4), "ece_null": self.ece_null.to_json()}


def fit_temperature(logits: FloatArray, labels: IntArray, patients: Sequence[str]) -> float:
    """The one temperature that minimises the log loss of logits (n, classes), within TEMPERATURES.

    Give held-out lesions only: never augmented, synthetic, or seen in training.
    """
    weights, rows = lesion_weights(patients), np.arange(len(labels))

    def loss(log_temperature: float) -> float:
        return float(-weights @ log_softmax(logits / np.exp(log_temperature), axis=1)[rows, labels])

    low, high = np.log(TEMPERATURES)
    found: Any = minimize_scalar(loss, bounds=(low, high), method="bounded", options={"xatol": 1e-6})
    return float(np.exp(found.x))


def cross_fitted_probabilities(logits: FloatArray, labels: IntArray, patients: Sequence[str], folds: IntArray) -> FloatArray:
    """Probabilities (n, classes), each fold with the temperature of the other folds, so that no label scores itself."""
    probabilities = np.empty_like(logits)
    names = np.asarray(patients)
    for fold in np.unique(folds):
        here = folds == fold
        others = ~here
        temperature = fit_temperature(logits[others], labels[others], names[others].tolist()) if others.any() else 1.0
        probabilities[here] = softmax(logits[here] / temperature, axis=1)
    return probabilities


def measure_calibration(
    labels: IntArray, probabilities: FloatArray, patients: Sequence[str], rng: np.random.Generator
) -> Calibration:
    """Calibration of probabilities (n, classes) against class indices (n,)."""
    weights = lesion_weights(patients)
    log_p = np.log(np.maximum(probabilities, 1e-12))
    drawn = np.concatenate([weights[None], weights * draw_patients(patients, SLOPE_RESAMPLES, rng)])
    slopes = slopes_of(log_p, labels, drawn)
    slope = Interval(float(slopes[0]), *(float(v) for v in np.percentile(slopes[1:], [2.5, 97.5])), of=float(weights.sum()))
    confidence = probabilities.max(axis=1)
    observed = expected_calibration_error(confidence, probabilities.argmax(axis=1) == labels)
    # Where the top class is right with exactly the probability stated.
    null = [expected_calibration_error(confidence, rng.random(len(labels)) < confidence) for _ in range(NULL_DRAWS)]
    low, high = np.percentile(null, [2.5, 97.5])
    return Calibration(slope, observed, Interval(float(np.mean(null)), float(low), float(high), float(len(labels))))


def expected_calibration_error(confidence: FloatArray, right: NDArray[np.bool_]) -> float:
    """Mean distance of accuracy from confidence over ten equal bins, weighted by lesions."""
    bins = np.minimum((confidence * ECE_BINS).astype(int), ECE_BINS - 1)
    gaps = np.bincount(bins, right - confidence, ECE_BINS)
    return float(np.abs(gaps).sum() / len(confidence))


def slopes_of(log_p: FloatArray, labels: IntArray, weights: FloatArray) -> FloatArray:
    """b of the recalibrated model softmax(a + b · log p) for each row of weights (resamples, n), by Newton's method.

    A weak prior around b = 1, a = 0 keeps it finite where a resample holds no error.
    """
    n_classes = log_p.shape[1]
    # scores = design · (b, a_1, …), with a_0 = 0.
    design = np.concatenate([log_p[:, :, None], np.broadcast_to(np.eye(n_classes)[:, 1:], (*log_p.shape, n_classes - 1))], axis=2)
    prior = np.append(1.0, np.zeros(n_classes - 1))
    found = np.tile(prior, (len(weights), 1))
    truth = np.eye(n_classes)[labels]
    for _ in range(NEWTON_STEPS):
        p = softmax(np.einsum("nkp,rp->rnk", design, found, optimize=True), axis=2)
        gradient = np.einsum("rn,rnk,nkp->rp", weights, p - truth, design, optimize=True) + (found - prior) / PRIOR_SD**2
        mean = np.einsum("rnk,nkp->rnp", p, design, optimize=True)
        squares = np.einsum("nkp,nkq->nkpq", design, design)
        hessian = np.einsum("rn,rnk,nkpq->rpq", weights, p, squares, optimize=True)
        hessian += np.eye(n_classes) / PRIOR_SD**2 - np.einsum("rn,rnp,rnq->rpq", weights, mean, mean, optimize=True)
        step = np.linalg.solve(hessian, gradient[:, :, None])[:, :, 0]
        found = found - np.clip(step, -1, 1)
        if np.abs(step).max() < 1e-8:
            break
    return found[:, 0]
