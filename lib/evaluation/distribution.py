"""How far two sets of feature vectors lie apart: KID, precision and recall, density and coverage.

Sources: Bińkowski et al. 2018 (KID), Kynkäänniemi et al. 2019 (precision, recall), Naeem et al. 2020 (density, coverage).
All take the rows of a set as independent draws, which views of one lesion are not.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from lesionlabel.lesions.errors import InputError

FloatArray = NDArray[np.float64]

#: Nearest neighbours that span a point's ball, and the coverage expected of alike sets with which fewer are enough.
NEIGHBOURS, ENOUGH_COVERAGE = 5, 0.95


class Prdc(NamedTuple):
    """precision: share of fakes in some real's ball. recall: share of reals in some fake's ball. density: how many reals' balls a
    fake lies in, over k; about 1 where both are alike, and may exceed it. coverage: share of reals with a fake in their ball.
    """

    precision: float
    recall: float
    density: float
    coverage: float


def polynomial_kernel(x: FloatArray, y: FloatArray) -> FloatArray:
    """(x·y / d + 1)³ of each row of x (n, d) with each of y (m, d): (n, m)."""
    return (x @ y.T / x.shape[1] + 1) ** 3


def kid(x: FloatArray, y: FloatArray) -> float:
    """The unbiased squared maximum mean discrepancy of x (n, d) and y (m, d) under polynomial_kernel.

    0 in expectation for draws from one distribution, whatever n and m, so it may be negative. Raises InputError for fewer than
    two rows or widths that differ.
    """
    _check(x, y)
    return _mean_of_pairs(polynomial_kernel(x, x)) + _mean_of_pairs(polynomial_kernel(y, y)) - 2 * polynomial_kernel(x, y).mean()


def prdc(real: FloatArray, fake: FloatArray, k: int = NEIGHBOURS) -> Prdc:
    """Precision, recall, density and coverage of fake (m, d) against real (n, d) in Euclidean distance.

    A point's ball reaches to its k-th nearest neighbour of its own set, itself not counted; at most the farthest there is. Raises
    InputError for fewer than two rows, widths that differ, or k below 1.
    """
    _check(real, fake)
    return prdc_of_distances(cdist(real, real), cdist(fake, fake), cdist(real, fake), k)


def prdc_of_distances(among_real: FloatArray, among_fake: FloatArray, across: FloatArray, k: int = NEIGHBOURS) -> Prdc:
    """prdc from distances: among_real (n, n), among_fake (m, m), across (n, m). Raises InputError for k below 1."""
    if k < 1:
        raise InputError(f"A ball needs at least 1 neighbour, got k = {k}.")
    real_k = min(k, len(among_real) - 1)
    in_real_balls = across <= _kth_smallest(among_real, real_k)[:, None]
    in_fake_balls = across <= _kth_smallest(among_fake, min(k, len(among_fake) - 1))[None, :]
    return Prdc(
        precision=float(in_real_balls.any(axis=0).mean()),
        recall=float(in_fake_balls.any(axis=1).mean()),
        density=float(in_real_balls.sum(axis=0).mean() / real_k),
        coverage=float(in_real_balls.any(axis=1).mean()),
    )


def neighbours_for(reals: int, fakes: int, most: int = NEIGHBOURS) -> int:
    """The fewest neighbours, at most `most`, with which alike sets of these sizes have an expected coverage of 95 %.

    Naeem et al. choose k so: with more, balls in a small set hold everything and no figure tells anything apart. Their lemma 2:
    coverage misses a real with probability (n - 1) … (n - k) / (n + m - 1) … (n + m - k).
    """
    missed = 1.0
    for k in range(1, min(most, reals - 1) + 1):
        missed *= (reals - k) / (reals + fakes - k)
        if missed <= 1 - ENOUGH_COVERAGE:
            return k
    return max(1, min(most, reals - 1))


def _kth_smallest(distances: FloatArray, k: int) -> FloatArray:
    """Of each row, its own zero not counted: the zero is the smallest, at place 0."""
    return np.partition(distances, k, axis=1)[:, k]


def _mean_of_pairs(kernel: FloatArray) -> float:
    """Of a square matrix without its diagonal."""
    n = len(kernel)
    return float((kernel.sum() - np.trace(kernel)) / (n * (n - 1)))


def _check(x: FloatArray, y: FloatArray) -> None:
    if x.ndim != 2 or y.ndim != 2 or x.shape[1] != y.shape[1] or min(len(x), len(y)) < 2:
        raise InputError(f"Two sets of at least 2 feature vectors of one width are needed, got shapes {x.shape} and {y.shape}.")
