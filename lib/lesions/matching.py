"""Which lesions of two readers of one volume are the same lesion."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from lesionlabel.lesions.contour import Contour
from lesionlabel.lesions.lesion import Lesion

FloatArray = NDArray[np.float64]
Spacing = tuple[float, float, float]

#: Outlines in one slice with this Dice at least are of one lesion.
LEAST_DICE = 0.25
#: Centres this close in mm are of one lesion, whatever its size; and centres within the smaller of the two radii.
NEAR_MM = 5.0


def same_lesions(first: Sequence[Lesion], second: Sequence[Lesion], spacing: Spacing) -> list[tuple[int, int]]:
    """Pairs (index in first, index in second) of what is one lesion, each lesion in one pair at most.

    Two lesions can be the same where their outlines lie in one slice with a Dice of 0.25 or more, or their centres, in the slices
    where each reader found it widest, lie within 5 mm or within the smaller lesion's radius of each other in 3-D. Among all
    pairings the one with most pairs is taken, then the one with the smallest distances (Hungarian method).

    spacing: mm of neighbouring columns, rows and slices.
    """
    if not first or not second:
        return []
    distance = np.array([[apart_mm(a, b, spacing) for b in second] for a in first])
    reach = np.array([[max(NEAR_MM, min(a.diameter_mm, b.diameter_mm) / 2) for b in second] for a in first])
    overlap = np.array([[slice_dice(a.contour, b.contour) for b in second] for a in first])
    possible = (distance <= reach) | (overlap >= LEAST_DICE)
    # A pair that cannot be costs more than all that can be together, so that as many as possible are made.
    impossible = float(distance[possible].sum()) + 1.0
    rows, columns = linear_sum_assignment(np.where(possible, distance, impossible))
    return [(int(i), int(j)) for i, j in zip(rows, columns, strict=True) if possible[i, j]]


def apart_mm(a: Lesion, b: Lesion, spacing: Spacing) -> float:
    """Distance of the centres in mm."""
    return float(np.linalg.norm(_centre_mm(a, spacing) - _centre_mm(b, spacing)))


def slice_dice(a: Contour, b: Contour) -> float:
    """Dice of the pixels within two outlines, 0 where they lie in different slices."""
    if a.slice_index != b.slice_index:
        return 0.0
    low = np.floor(np.minimum(a.points.min(axis=0), b.points.min(axis=0)))
    columns, rows = (np.ceil(np.maximum(a.points.max(axis=0), b.points.max(axis=0))) - low + 1).astype(int)
    first, second = (Contour(0, outline.points - low).mask(rows, columns) for outline in (a, b))
    total = int(first.sum()) + int(second.sum())
    return 2 * int((first & second).sum()) / total if total else 0.0


def _centre_mm(lesion: Lesion, spacing: Spacing) -> FloatArray:
    return np.array([*lesion.contour.centre, lesion.contour.slice_index]) * spacing
