"""The tests and intervals of an experiment. The unit is the patient; seeds are averaged or resampled, never stacked.

Networks of different seeds answer for the same lesions, so rows of lesion × seed are not independent: stacking them makes a test
reject too often. Folds share training data, and patients of a fold share a network, which nothing here takes into account.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.stats import norm
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests

from lesionlabel.evaluation.metrics import RESAMPLES, Interval, draw_patients, lesion_weights

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

ALPHA = 0.05
POWER = 0.8
#: Draws of the permutation test.
FLIPS = 10_000
#: With fewer, all differing one way still has a p above .05: 2 / 2^5.
LEAST_PATIENTS = 6


class PatientSums(NamedTuple):
    """By patient, (patients,): the weighted sum of what lesions differ by, and the sum of their weights."""

    differences: FloatArray
    weights: FloatArray


class MajorityVote(NamedTuple):
    """won, lost: lesions that only the first or only the second has right. p: exact, two-sided."""

    won: int
    lost: int
    p: float


@dataclass(frozen=True, eq=False)
class Resamples:
    """Patients drawn with replacement, and in each draw the seeds likewise. The first row is the sample itself.

    lesions: (1 + draws, n) the weight of each lesion. seeds: (1 + draws, seeds) the share of each seed.
    """

    lesions: FloatArray
    seeds: FloatArray

    def interval(self, values: FloatArray, of: float) -> Interval:
        """The 95 % percentile interval of a figure whose value in each draw and seed is given, (1 + draws, seeds).

        The figure is the mean over seeds. Draws in which it does not exist, because a class is missing, are NaN and left out.
        """
        means = (self.seeds * values).sum(axis=1)
        low, high = np.nanpercentile(means[1:], [2.5, 97.5])
        return Interval(float(means[0]), float(low), float(high), of)

    def means(self, values: FloatArray | BoolArray, among: BoolArray | None = None) -> FloatArray:
        """The weighted mean of values (seeds, n) in each draw and seed, (1 + draws, seeds). among: (n,) lesions that count."""
        weights, counted = (self.lesions, values) if among is None else (self.lesions[:, among], values[:, among])
        with np.errstate(invalid="ignore"):  # 0 / 0 where a draw has no such lesion
            return (weights @ counted.T) / weights.sum(axis=1, keepdims=True)

    def mean(self, values: FloatArray | BoolArray, among: BoolArray | None = None) -> Interval | None:
        """The mean of values (seeds, n) with its interval; None where no lesion counts."""
        of = self.lesions[0].sum() if among is None else self.lesions[0, among].sum()
        return self.interval(self.means(values, among), float(of)) if of else None

    def auc(self, scores: FloatArray, positive: BoolArray) -> Interval | None:
        """The area under the ROC curve of scores (seeds, n) for lesions that are positive (n,), with its interval.

        None where all or none are. It is the weighted share of pairs in the right order, ties counting half, as in scikit-learn,
        but for all draws at once.
        """
        if positive.all() or not positive.any():
            return None
        yes, no = self.lesions[:, positive], self.lesions[:, ~positive]
        pairs = yes.sum(axis=1) * no.sum(axis=1)
        areas = np.empty(self.seeds.shape)
        with np.errstate(invalid="ignore"):  # 0 / 0 where a draw has lesions of one kind only
            for seed, score in enumerate(scores):
                above = np.heaviside(score[positive][:, None] - score[~positive], 0.5)
                areas[:, seed] = np.einsum("rn,rn->r", yes @ above, no) / pairs
        return self.interval(areas, float(self.lesions[0].sum()))


def draw_resamples(patients: Sequence[str], seeds: int, rng: np.random.Generator, draws: int = RESAMPLES) -> Resamples:
    """Resamples of lesions (n,) with these patients, answered by a number of seeds.

    A draw's seeds are the same for all of its patients, because a seed's partition and networks are. With one seed there is
    nothing to resample, and intervals ignore what another would bring.
    """
    weights = lesion_weights(patients)
    drawn = weights * draw_patients(patients, draws, rng)
    shares = rng.multinomial(seeds, np.full(seeds, 1 / seeds), size=draws) / seeds
    return Resamples(np.vstack([weights, drawn]), np.vstack([np.full(seeds, 1 / seeds), shares]))


def by_patient(first: BoolArray, second: BoolArray, patients: Sequence[str]) -> PatientSums:
    """What first and second, both (seeds, n) and true where right, differ by: means over seeds, summed by patient."""
    weights = lesion_weights(patients)
    _, owner = np.unique(np.asarray(patients), return_inverse=True)
    difference = first.mean(axis=0) - second.mean(axis=0)
    owned = np.eye(owner.max() + 1)[owner].T
    return PatientSums(owned @ (weights * difference), owned @ weights)


def sign_flip(differences: FloatArray, rng: np.random.Generator, flips: int = FLIPS) -> float:
    """Two-sided p of the sum of patients' differences (patients,), each of which could have had the other sign.

    (1 + draws at least as far from 0) / (1 + draws), so never 0. A patient whose difference is 0 adds nothing to any draw; where
    all are 0, p is 1.
    """
    signs = 2.0 * rng.integers(0, 2, size=(flips, len(differences)), dtype=np.int8) - 1
    # Sums of the same numbers in another order differ in the last digits: equal ones must count as equal.
    observed = abs(differences.sum()) - 1e-9
    return float((1 + np.count_nonzero(np.abs(signs @ differences) >= observed)) / (1 + flips))


def majority_vote(first: BoolArray, second: BoolArray) -> MajorityVote:
    """Exact McNemar test on one row per lesion: what most seeds say, of first and second, both (seeds, n) and true where right.

    Right is what more than half of the seeds have right. An even split counts as wrong on both sides: it needs no probabilities,
    which are not comparable between kinds of classifier, and favours neither. Lesions of a patient count as independent.
    """
    one, other = first.mean(axis=0) > 0.5, second.mean(axis=0) > 0.5
    won, lost = int((one & ~other).sum()), int((other & ~one).sum())
    test: Any = mcnemar([[int((one & other).sum()), won], [lost, int((~one & ~other).sum())]], exact=True)
    return MajorityVote(won, lost, float(test.pvalue))


def holm(p_values: Sequence[float]) -> list[float]:
    """p values corrected for their number (Holm 1979)."""
    if not p_values:
        return []
    result: Any = multipletests(p_values, method="holm")
    return [float(p) for p in result[1]]


def detectable(first: BoolArray, second: BoolArray, patients: Sequence[str]) -> float:
    """The smallest difference in accuracy that sign_flip shows with a power of 80 % at two-sided .05, at most 1.

    Normal approximation from the spread of the patients' sums around their mean: with sums d, weights w and W their sum, a true
    difference x gives a sum of mean x W and variance S, while the flips have the variance S + x² Σ w². Solved for x in
    x W = z(.975) √(S + x² Σ w²) + z(.8) √S. Where the two sides hardly differ, S is at least what x itself brings when all
    differences have one sign and the size seen (the whole, where none was seen): otherwise two equal answers would promise that
    any difference shows. 1: no difference short of all would have been seen.
    """
    sums, weights = by_patient(first, second, patients)
    n, total, squares = len(sums), weights.sum(), (weights**2).sum()
    if n < LEAST_PATIENTS:
        return 1.0
    spread = ((sums - weights * sums.sum() / total) ** 2).sum() * n / (n - 1)
    lesions = np.abs(first.mean(axis=0) - second.mean(axis=0))
    size = float((lesions**2).sum() / lesions.sum()) if lesions.any() else 1.0
    z_alpha, z_power = float(norm.ppf(1 - ALPHA / 2)), float(norm.ppf(POWER))

    def surplus(x: float) -> float:
        variance = max(spread, squares * x * (size - x))
        return x * total - z_alpha * np.sqrt(variance + x**2 * squares) - z_power * np.sqrt(variance)

    if not surplus(1.0) > 0 > surplus(1e-6):
        return 1.0
    found: Any = brentq(surplus, 1e-6, 1.0)
    return float(found)
