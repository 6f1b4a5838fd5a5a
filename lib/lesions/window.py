"""What the click segmenter's network sees: square windows around a point at any scale, from the slice and its neighbours."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from lesionlabel.lesions.volume import Volume

FloatArray = NDArray[np.float64]

#: Side of a window in pixels.
SIDE = 96
#: Slices within this distance of the clicked one are averaged with it in the second channel, in mm.
NEAR_MM = 2.2
#: How far the third channel reaches above, the fourth below, in mm beyond that.
BESIDE_MM = 7.0
#: HU are kept within this range, about soft tissue's, and brought to about -1 … 1.
HU_RANGE, HU_MIDDLE, HU_SCALE = (-160, 320), 90.0, 60.0
CHANNELS = 4
#: Of a window's pixels so many may lie outside where it is moved into the slab.
EDGE = 3


@dataclass(frozen=True)
class Frame:
    """A window: its middle (x, y) in the slice's pixels, and the side of one of its pixels in pixels of the slice."""

    middle: tuple[float, float]
    step: float

    def to_window(self, points: FloatArray) -> FloatArray:
        """Points (..., 2) as (x, y) in the slice -> in the window, pixel centres at whole numbers."""
        return (np.asarray(points, dtype=np.float64) - self.middle) / self.step + (SIDE - 1) / 2

    def to_slice(self, points: FloatArray) -> FloatArray:
        """Points (..., 2) as (x, y) in the window -> in the slice."""
        return (np.asarray(points, dtype=np.float64) - (SIDE - 1) / 2) * self.step + self.middle


@dataclass(frozen=True, eq=False)
class Slab:
    """The neighbourhood of one slice: (4, rows, columns) float32, and its corner (x, y) in the slice.

    Channels: the slice, the mean of those near it, the mean of those above, the mean of those below, all brought to about
    -1 … 1 by HU_MIDDLE and HU_SCALE.
    """

    planes: NDArray[np.float32]
    corner: tuple[int, int]

    def from_edge(self, point: FloatArray) -> float:
        """How far a point (x, y) in the slice lies from the slab's nearest edge, in pixels of the slice; negative outside."""
        first = np.asarray(self.corner) - 0.5
        return float(np.concatenate([point - first, first + self.planes.shape[:0:-1] - point]).min())

    def shows(self, frame: Frame) -> NDArray[np.bool_]:
        """(SIDE, SIDE): which pixels of a window lie in the slab, or within one of its pixels beside it."""
        along = np.arange(SIDE, dtype=np.float64)
        x, y = frame.to_slice(np.stack([along, along], axis=1)).T
        rows, columns = self.planes.shape[1:]
        across = np.abs(x - self.corner[0] - (columns - 1) / 2) < columns / 2 + frame.step
        down = np.abs(y - self.corner[1] - (rows - 1) / 2) < rows / 2 + frame.step
        return np.asarray(down[:, None] & across)

    def within(self, frame: Frame) -> Frame:
        """The frame moved into the slab but for EDGE of its pixels; to the slab's middle where it does not fit."""
        middle = []
        for c, first, size in zip(frame.middle, self.corner, self.planes.shape[:0:-1], strict=True):
            half = min((SIDE - 2 * EDGE) * frame.step, size) / 2
            middle.append(float(np.clip(c, first - 0.5 + half, first + size - 0.5 - half)))
        return Frame((middle[0], middle[1]), frame.step)

    def window(self, frame: Frame, *, reflected: bool = False) -> NDArray[np.float32]:
        """(4, SIDE, SIDE) of the slab. Where the window's pixels are larger, means.

        What lies outside of the slab repeats its edge, or with reflected is its mirror image there.
        """
        planes = self.planes
        x, y = frame.middle
        half = (SIDE / 2 + 2) * frame.step
        if reflected:  # the mirror shows of the slab what lies as far on its other side
            half += 2 * max(0.0, -self.from_edge(np.array([x, y])))
        left, top = (max(0, math.floor(c - half - o)) for c, o in zip((x, y), self.corner, strict=True))
        right, bottom = (math.ceil(c + half - o) + 1 for c, o in zip((x, y), self.corner, strict=True))
        part = planes[:, min(top, planes.shape[1] - 1) : max(bottom, 1), min(left, planes.shape[2] - 1) : max(right, 1)]
        if frame.step > 1:
            blur = 0.42 * math.sqrt(frame.step**2 - 1)
            part = np.asarray(ndimage.gaussian_filter(part, (0, blur, blur), truncate=2.5, mode="nearest"), dtype=np.float32)
        first = frame.to_slice(np.zeros(2)) - self.corner - (min(left, planes.shape[2] - 1), min(top, planes.shape[1] - 1))
        return _bilinear(part, first[0], first[1], frame.step, reflected)


def _bilinear(planes: NDArray[np.float32], x0: float, y0: float, step: float, reflected: bool) -> NDArray[np.float32]:
    """Planes (c, rows, columns) at SIDE x SIDE points from (x0, y0), step apart; edges repeat, or are mirrors."""
    rows, columns = planes.shape[1:]
    at = np.arange(SIDE)

    def weights(first: float, size: int) -> tuple[NDArray[np.intp], NDArray[np.intp], NDArray[np.float32]]:
        place = first + at * step
        if reflected:
            place = np.abs((place + size - 1) % max(2 * (size - 1), 1) - (size - 1))
        place = np.clip(place, 0, size - 1)
        low = np.minimum(place.astype(np.intp), max(size - 2, 0))
        return low, np.minimum(low + 1, size - 1), (place - low).astype(np.float32)

    top, bottom, down = weights(y0, rows)
    left, right, along = weights(x0, columns)
    rows_mixed = planes[:, top] * (1 - down)[:, None] + planes[:, bottom] * down[:, None]
    return rows_mixed[:, :, left] * (1 - along) + rows_mixed[:, :, right] * along


def cut_slab(volume: Volume, middle: tuple[float, float], slice_index: int, reach_mm: float) -> Slab:
    """The neighbourhood of slice_index, reach_mm around middle (x, y), as far as the volume goes.

    Raises InputError when pixels are not square.
    """
    pixel_mm, slice_mm = volume.geometry.pixel_mm, volume.geometry.spacing[2]
    slices, rows, columns = volume.geometry.shape
    reach = math.ceil(reach_mm / pixel_mm) + 2
    x, y = (round(c) for c in middle)
    left, top = min(max(0, x - reach), columns - 1), min(max(0, y - reach), rows - 1)
    box = (slice(top, max(y + reach + 1, top + 1)), slice(left, max(x + reach + 1, left + 1)))
    near = int(NEAR_MM / slice_mm)
    beside = max(1, int((NEAR_MM + BESIDE_MM) / slice_mm) - near)

    def mean(first: int, last: int) -> NDArray[np.float32]:
        first, last = (min(max(n, 0), slices - 1) for n in (first, last))
        hu = np.clip(volume.voxels[(slice(first, last + 1), *box)], *HU_RANGE)
        return (hu.mean(axis=0, dtype=np.float32) - np.float32(HU_MIDDLE)) / np.float32(HU_SCALE)

    k = slice_index
    above, below = (k + near + 1, k + near + beside), (k - near - beside, k - near - 1)
    ranges = ((k, k), (k - near, k + near), above, below)
    return Slab(np.stack([mean(first, last) for first, last in ranges]), (left, top))
