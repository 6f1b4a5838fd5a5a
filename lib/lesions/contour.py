"""The outline of a lesion in one axial slice: from a mask, two points, or a centre and a diameter."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import ndimage
from scipy.spatial import ConvexHull, QhullError
from scipy.spatial.distance import pdist, squareform

from lesionlabel.lesions.errors import InputError

FloatArray = NDArray[np.float64]

#: Corners of the polygon that stands for a circle.
CIRCLE_CORNERS = 64


@dataclass(frozen=True, eq=False)
class Contour:
    """A closed polygon in one slice. points: (n >= 3, 2) as (x, y) = (column, row), pixel centres at whole numbers."""

    slice_index: int
    points: FloatArray

    def __post_init__(self) -> None:
        points = np.asarray(self.points, dtype=np.float64)
        if points.ndim != 2 or points.shape[1] != 2 or len(points) < 3:
            raise InputError(f"A contour needs at least three (x, y) points, got an array of shape {points.shape}.")
        if not np.all(np.isfinite(points)):
            raise InputError("A contour's points must be finite numbers.")
        if np.ptp(points[:, 0]) <= 0 or np.ptp(points[:, 1]) <= 0:
            raise InputError("A contour needs an area: its points lie on one line.")
        object.__setattr__(self, "points", points)

    @cached_property
    def longest_axis(self) -> FloatArray:
        """The two points of the contour that are farthest apart, (2, 2) as (x, y)."""
        points = self.points
        if len(points) > 8:
            with contextlib.suppress(QhullError):  # nearly on one line: compare all points
                points = points[ConvexHull(points).vertices]
        distances = squareform(pdist(points))
        first, second = np.unravel_index(int(np.argmax(distances)), distances.shape)
        return points[[first, second]]

    @property
    def diameter_px(self) -> float:
        """The longest diameter in the slice, in pixels (RECIST's long axis)."""
        first, second = self.longest_axis
        return float(np.linalg.norm(first - second))

    @property
    def centre(self) -> tuple[float, float]:
        """The middle of the bounding box as (x, y): the ROI's square is centred on it."""
        low, high = self.points.min(axis=0), self.points.max(axis=0)
        return float((low[0] + high[0]) / 2), float((low[1] + high[1]) / 2)

    def mask(self, rows: int, columns: int) -> NDArray[np.bool_]:
        """The pixels whose centre lies inside, (rows, columns), by the even-odd rule."""
        inside = np.zeros((rows, columns), dtype=bool)
        low = np.maximum(np.floor(self.points.min(axis=0)).astype(int), 0)
        high = np.minimum(np.ceil(self.points.max(axis=0)).astype(int), [columns - 1, rows - 1])
        if np.any(high < low):
            return inside
        x = np.arange(low[0], high[0] + 1, dtype=np.float64)[None, :]
        y = np.arange(low[1], high[1] + 1, dtype=np.float64)[:, None]
        part = np.zeros((y.size, x.size), dtype=bool)
        for (x0, y0), (x1, y1) in zip(self.points, np.roll(self.points, -1, axis=0), strict=True):
            # Only the rows that the edge crosses, lower end included: none where it runs along a row.
            first, stop = (max(int(np.ceil(end)) - int(low[1]), 0) for end in (min(y0, y1), max(y0, y1)))
            if first < stop:
                part[first:stop] ^= x < x0 + (y[first:stop] - y0) * (x1 - x0) / (y1 - y0)
        inside[low[1] : high[1] + 1, low[0] : high[0] + 1] = part
        return inside


def contour_from_circle(centre: ArrayLike, diameter_px: float, slice_index: int) -> Contour:
    """A circle around centre (x, y). Raises InputError unless the diameter is a positive number of pixels."""
    if not np.isfinite(diameter_px) or diameter_px <= 0:
        raise InputError(f"A diameter must be a positive number, got {diameter_px}.")
    angles = np.linspace(0, 2 * np.pi, CIRCLE_CORNERS, endpoint=False)
    ring = np.stack([np.cos(angles), np.sin(angles)], axis=1) * (diameter_px / 2)
    return Contour(slice_index, np.asarray(centre, dtype=np.float64) + ring)


def contour_from_diameter(first: ArrayLike, second: ArrayLike, slice_index: int) -> Contour:
    """The circle whose diameter runs between two points (x, y), as a reader measures it."""
    a, b = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    return contour_from_circle((a + b) / 2, float(np.linalg.norm(a - b)), slice_index)


def contour_from_mask(mask: NDArray[np.bool_], slice_index: int) -> Contour:
    """The outer outline of the largest connected part of mask (rows, columns), along pixel edges.

    Raises InputError when the mask is empty.
    """
    labelled = np.zeros(mask.shape, dtype=np.int32)
    ndimage.label(mask, output=labelled)
    if not labelled.any():
        raise InputError("The lesion's mask is empty in this slice.")
    sizes = np.bincount(labelled.ravel())[1:]
    part = ndimage.binary_fill_holes(labelled == 1 + int(np.argmax(sizes)))
    return Contour(slice_index, _trace_edges(np.asarray(part, dtype=bool)))


def _trace_edges(part: NDArray[np.bool_]) -> FloatArray:
    """Walk the pixel edges around one 4-connected part without holes, clockwise on the screen; corners as (x, y)."""
    padded = np.pad(part, 1)
    # A directed edge keeps the part on its right-hand side, so that each corner has one way on (two where parts touch).
    steps: dict[tuple[int, int], list[tuple[int, int]]] = {}

    def add(starts: tuple[NDArray[np.intp], ...], from_corner: tuple[int, int], to_corner: tuple[int, int]) -> None:
        for y, x in zip(*starts, strict=True):
            steps.setdefault((int(x) + from_corner[0], int(y) + from_corner[1]), []).append(
                (int(x) + to_corner[0], int(y) + to_corner[1])
            )

    add(np.nonzero(padded & ~np.roll(padded, 1, axis=0)), (0, 0), (1, 0))
    add(np.nonzero(padded & ~np.roll(padded, -1, axis=1)), (1, 0), (1, 1))
    add(np.nonzero(padded & ~np.roll(padded, -1, axis=0)), (1, 1), (0, 1))
    add(np.nonzero(padded & ~np.roll(padded, 1, axis=1)), (0, 1), (0, 0))
    start = min(steps)
    corners, here, came = [start], start, (0, 0)
    while True:
        ways = steps[here]
        # Where two pixels touch at a corner, turn right: the outline stays simple and takes in both.
        way = ways[0] if len(ways) == 1 else min(ways, key=lambda w: came[0] * (w[1] - here[1]) - came[1] * (w[0] - here[0]))
        ways.remove(way)
        came = (way[0] - here[0], way[1] - here[1])
        here = way
        if here == start:
            break
        corners.append(here)
    # Corner (x, y) of the padded image is the point (x - 1.5, y - 1.5) between pixel centres of the original.
    return np.asarray(corners, dtype=np.float64) - 1.5
