"""Means over pairs of ROIs of different lesions, for all lesions and for any part of them, from sums made once.

Views of one lesion are alike because they are one lesion: pairs of them would count as agreement, so they are left out.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
#: A kernel or a distance of each row of (n, d) with each of (m, d): (n, m).
Between = Callable[[FloatArray, FloatArray], FloatArray]

#: Rows whose pairs are in memory at once.
CHUNK = 512


class PairSums(NamedTuple):
    """total: (lesions, lesions) sum over the pairs of their views. count: how many pairs these are."""

    total: FloatArray
    count: FloatArray

    def means(self, rows: NDArray[np.bool_], columns: NDArray[np.bool_]) -> FloatArray:
        """The mean over pairs of the lesions kept, (draws,); rows, columns: (draws, lesions) which are kept of each side."""
        left, right = rows.astype(np.float64), columns.astype(np.float64)
        return ((left @ self.total) * right).sum(axis=1) / ((left @ self.count) * right).sum(axis=1)


def across(
    x: FloatArray, x_lesion: NDArray[np.integer], y: FloatArray, y_lesion: NDArray[np.integer], between: Between
) -> PairSums:
    """Sums over all pairs of a row of x (n, d) and one of y (m, d); x_lesion (n,), y_lesion (m,): lesion of each, from 0."""
    x_of, y_of = np.eye(x_lesion.max() + 1)[x_lesion], np.eye(y_lesion.max() + 1)[y_lesion]
    total = np.zeros((x_of.shape[1], y_of.shape[1]))
    for start in range(0, len(x), CHUNK):
        part = slice(start, start + CHUNK)
        total += x_of[part].T @ (between(x[part], y) @ y_of)
    return PairSums(total, np.outer(x_of.sum(axis=0), y_of.sum(axis=0)))


def among_lesions(x: FloatArray, lesion: NDArray[np.integer], between: Between) -> PairSums:
    """Sums over the pairs of rows of x (n, d) that are of different lesions; lesion: (n,) of each, from 0."""
    sums = across(x, lesion, x, lesion, between)
    different = 1 - np.eye(len(sums.total))
    return PairSums(sums.total * different, sums.count * different)


def euclidean(x: FloatArray, y: FloatArray) -> FloatArray:
    """Distances of each row of x (n, d) from each of y (m, d): (n, m). To rounding: quick for many rows, 0 only about."""
    squares = (x**2).sum(axis=1)[:, None] + (y**2).sum(axis=1) - 2 * x @ y.T
    return np.sqrt(np.maximum(squares, 0))
