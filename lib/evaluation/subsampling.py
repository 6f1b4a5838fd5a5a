"""Intervals by leaving a quarter of the patients out at a time, for figures that a bootstrap breaks.

A bootstrap draws some lesions twice. A copy at distance 0 is its lesion's nearest neighbour, which shrinks the balls of precision
and recall, and pairs of copies make a sample look more alike than it is. Drawing without replacement has no copies. Its figures
vary less than those of a new sample would; by how much is known: deviations are multiplied by sqrt(kept / left out)
(the delete-d jackknife, Shao and Wu 1989), here about sqrt(3). Patients are left out with all their lesions and views.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from lesionlabel.evaluation.metrics import Interval
from lesionlabel.lesions.errors import InputError

#: The share of patients left out is one in this many.
ONE_IN = 4
#: Fewer patients cannot lose a quarter and still stand for the rest.
LEAST_ON_A_SIDE = ONE_IN


class Kept(NamedTuple):
    """lesions: (1 + draws, n) which lesions are kept, in the first row all. scale: what deviations are multiplied by."""

    lesions: NDArray[np.bool_]
    scale: float


def leave_out_quarters(patients: Sequence[str], draws: int, rng: np.random.Generator) -> Kept:
    """Draws that each leave out a quarter of the patients of lesions (n,). Raises InputError for fewer than four patients."""
    names, owner = np.unique(np.asarray(patients, dtype=object), return_inverse=True)
    if len(names) < LEAST_ON_A_SIDE:
        raise InputError(
            f"An interval over patients needs at least {LEAST_ON_A_SIDE} of them, got {len(names)}. Curate more patients."
        )
    left_out = len(names) // ONE_IN
    order = rng.permuted(np.tile(np.arange(len(names)), (draws, 1)), axis=1)
    kept = np.vstack([np.ones((1, len(names)), dtype=bool), order >= left_out])
    return Kept(kept[:, owner], float(np.sqrt((len(names) - left_out) / left_out)))


def interval_around(values: NDArray[np.float64], scale: float, of: float, bounds: tuple[float, float]) -> Interval:
    """The 95 % interval of values[0], the figure on all lesions, from values[1:], the figure of each draw.

    The draws' own mean stands for the figure's place, because a smaller sample may shift it. of: as in Interval. bounds: what the
    figure cannot leave.
    """
    value, spread = float(values[0]), scale * (values[1:] - values[1:].mean())
    low, high = np.clip(value + np.percentile(spread, [2.5, 97.5]), *bounds)
    return Interval(value, min(float(low), value), max(float(high), value), of)
