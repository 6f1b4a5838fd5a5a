"""How far two sets of feature vectors lie apart: the kernel of KID, precision and recall, density and coverage.

Sources: Bińkowski et al. 2018 (KID), Kynkäänniemi et al. 2019 (precision, recall), Naeem et al. 2020 (density, coverage).
All take the rows of a set as independent draws, which views of one lesion are not.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

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
    """(x·y / d + 1)³ of each row of x (n, d) with each of y (m, d): (n, m). KID is its squared maximum mean discrepancy."""
    return (x @ y.T / x.shape[1] + 1) ** 3


def prdc(among_real: FloatArray, among_fake: FloatArray, across: FloatArray, k: int = NEIGHBOURS) -> Prdc:
    """Precision, recall, density and coverage from distances among reals (n, n), among fakes (m, m) and between them (n, m).

    A point's ball reaches to its k-th nearest neighbour of its own set, itself not counted; at most the farthest there is. Raises
    InputError for k below 1 or fewer than two points on a side.
    """
    if min(across.shape) < 2:
        raise InputError(f"Two sets of at least 2 points are needed, got {across.shape[0]} and {across.shape[1]}.")
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
