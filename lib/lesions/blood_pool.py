"""Blood pool and liver in HU by robust means, on a coarse copy of an abdominal CT: what the contrast phase is told from."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from lesionlabel.lesions.volume import Volume

FloatImage = NDArray[np.float32]
Mask = NDArray[np.bool_]
Spacing = tuple[float, float, float]

#: The volume is looked at in cells of about this many mm, so that noise averages out.
CELL_MM = 3.0
#: Slices this far apart at most are looked at, or all of them where they are thicker.
STEP_MM = 5.0
#: HU above which a cell is bone, calcium or positive contrast when it stands at the spine; and of organ tissue.
BONE_HU = 220.0
ORGAN_HU = (-10.0, 220.0)
#: The aorta: radius of its core and of the ring around it in mm, how much of the ring must be darker and by how much.
CORE_MM, RING_MM = 6.0, (13.0, 19.0)
RING_SHARE, RING_DARKER = 0.6, 35.0
#: Largest SD within the core in HU, and where it is brighter than ARTERIAL_HU, whose edge reaches into the outer cells.
CORE_SD, CORE_SD_ARTERIAL, ARTERIAL_HU = 25.0, 55.0, 240.0
#: A stack of bone counts from this share of the highest one.
SPINE_SHARE = 0.4
#: Where the aorta lies from the back of the spine, in mm: towards the patient's right and left, and in front.
ASIDE_MM, AHEAD_MM = (-25.0, 45.0), (20.0, 85.0)
#: A tube: seen in this share of the slices, within this distance of its own middle line, in mm.
TUBE_SHARE, TUBE_MM = 0.35, 12.0
#: Shortest tube in mm, how many are looked for, and how far in front of one another counts as in front, in mm.
LEAST_TUBE_MM, MOST_TUBES = 30.0, 4
IN_FRONT_MM, ASIDE_LIMIT_MM = (12.0, 45.0), 25.0
#: Fewest ml of vessels in the liver from which their HU are told.
LEAST_VESSELS_ML = 2.0
#: A vessel in the liver is brighter than it by this at least.
VEINS_ABOVE_LIVER = 20.0
#: Least bulky organ from which anything is said, in ml.
LEAST_ORGAN_ML = 100.0


def cells_of(volume: Volume) -> tuple[FloatImage, Spacing]:
    """Means over blocks of pixels in every n-th slice around the body, (slices, rows, columns) in HU, and their spacing in mm."""
    column_mm, row_mm, slice_mm = volume.geometry.spacing
    nth = max(1, int(STEP_MM / slice_mm))
    down, across = max(1, round(CELL_MM / row_mm)), max(1, round(CELL_MM / column_mm))
    picked = volume.voxels[::nth]
    rows, columns = picked.shape[1] // down, picked.shape[2] // across
    cells = np.empty((len(picked), rows, columns), dtype=np.float32)
    for index, image in enumerate(picked):
        # Sums of rows first: contiguous int16 adds are the fast ones.
        bands = np.zeros((rows, columns * across), dtype=np.int32)
        for row in range(down):
            bands += image[row : rows * down : down, : columns * across]
        cells[index] = bands.reshape(rows, columns, across).sum(axis=2)
    cells /= down * across
    body = (cells > -200).mean(axis=0) > 0.1
    if body.any():
        inside = [np.nonzero(body.any(axis=axis))[0] for axis in (1, 0)]
        cells = np.ascontiguousarray(cells[:, inside[0][0] : inside[0][-1] + 1, inside[1][0] : inside[1][-1] + 1])
    return cells, (slice_mm * nth, row_mm * down, column_mm * across)


def bulky_organ(cells: FloatImage, mm: Spacing) -> Mask:
    """Cells well inside organ tissue: everything within 6 mm in the slice is organ tissue and much alike."""
    organ = (cells > ORGAN_HU[0]) & (cells < ORGAN_HU[1])
    window = (2 * math.ceil(6 / mm[1]) + 1, 2 * math.ceil(6 / mm[2]) + 1)
    mean = _window_mean(cells, window)
    square = _window_mean(cells * cells, window)
    alike = square - mean * mean < 15.0**2
    full = _window_mean(organ.astype(np.float32), window) > 0.99
    return np.asarray(alike & full, dtype=bool)


def _window_mean(image: FloatImage, window: tuple[int, int]) -> FloatImage:
    """Means over (rows, columns) of each slice."""
    return np.asarray(ndimage.uniform_filter1d(ndimage.uniform_filter1d(image, window[0], axis=1), window[1], axis=2), np.float32)


def _spine(cells: FloatImage, mm: Spacing) -> tuple[int, int] | None:
    """Row and column of the back of the spine: the hindmost place where bone stacks up along the slices."""
    body = (cells > -200).sum(axis=0) > 0.5 * len(cells)
    rows, columns = np.nonzero(body)
    if not len(rows):
        return None
    bone = (cells > BONE_HU).sum(axis=0).astype(np.float32)
    stacked = ndimage.gaussian_filter(bone, [12 / mm[1], 12 / mm[2]])
    middle = (columns.min() + columns.max()) / 2
    near = np.abs(np.arange(cells.shape[2]) - middle) * mm[2] < 50
    behind = np.arange(cells.shape[1]) > (rows.min() + rows.max()) / 2
    stacked = np.where(behind[:, None] & near[None, :], stacked, 0)
    if stacked.max() < 0.02 * len(cells):
        return None
    # The hindmost stack: a bright aorta stacks up, too, in front of the spine.
    peaks = (stacked == ndimage.maximum_filter(stacked, size=5)) & (stacked > SPINE_SHARE * stacked.max())
    at_rows, at_columns = np.nonzero(peaks)
    return int(at_rows[-1]), int(at_columns[-1])


def aorta_hu(cells: FloatImage, mm: Spacing) -> float | None:
    """Median HU of a round, even, long structure in front of the spine that is brighter than what surrounds it."""
    spine = _spine(cells, mm)
    if spine is None:
        return None
    row, column = spine
    margin = math.ceil(RING_MM[1] / mm[1])
    top, bottom = max(0, row - int(AHEAD_MM[1] / mm[1]) - margin), max(0, row - int(AHEAD_MM[0] / mm[1]) + margin)
    left, right = max(0, column + int(ASIDE_MM[0] / mm[2]) - margin), column + int(ASIDE_MM[1] / mm[2]) + margin
    box = cells[:, top:bottom, left:right]
    if min(box.shape[1:]) <= 2 * margin:
        return None
    y, x = np.meshgrid(*[np.arange(-margin, margin + 1) * size for size in mm[1:]], indexing="ij")
    distance = np.hypot(y, x)
    core, ring = distance <= CORE_MM, (distance >= RING_MM[0]) & (distance <= RING_MM[1])
    weights = core / core.sum()
    mean = np.asarray(ndimage.convolve(box, weights[None].astype(np.float32)), dtype=np.float32)
    spread = ndimage.convolve(box * box, weights[None].astype(np.float32)) - mean * mean
    darker = np.zeros(box.shape, dtype=np.float32)
    for down, across in zip(*np.nonzero(ring), strict=True):
        darker += np.roll(box, (margin - down, margin - across), axis=(1, 2)) < mean - RING_DARKER
    darker /= ring.sum()
    largest = np.where(mean > ARTERIAL_HU, CORE_SD_ARTERIAL, CORE_SD)
    likely = np.where((spread < largest**2) & (mean > 20) & (mean < 600) & (darker >= RING_SHARE), darker, 0)
    likely[:, :margin], likely[:, -margin:], likely[:, :, :margin], likely[:, :, -margin:] = 0, 0, 0, 0
    return _foremost_tube(likely, mean, mm)


def _foremost_tube(likely: FloatImage, mean: FloatImage, mm: Spacing) -> float | None:
    """The median of mean along the brightest tube through the slices that has no other one in front of it.

    A vertebra can look like a tube, too; aorta and cava lie in front of it.
    """
    down, across = round(TUBE_MM / mm[1]), round(TUBE_MM / mm[2])
    chances = likely.copy()
    tubes: list[tuple[float, float, float]] = []
    for _ in range(MOST_TUBES):
        seen = ndimage.maximum_filter(chances, (1, down | 1, across | 1)) > 0
        row, column = np.unravel_index(int(seen.sum(axis=0).argmax()), seen.shape[1:])
        part = (slice(None), slice(max(0, row - down), row + down + 1), slice(max(0, column - across), column + across + 1))
        near, values = chances[part].reshape(len(chances), -1), mean[part].reshape(len(mean), -1)
        found = near.max(axis=1) > 0
        if found.mean() < TUBE_SHARE or found.sum() * mm[0] < LEAST_TUBE_MM:
            break
        best = near.argmax(axis=1)[:, None]
        tubes.append(
            (float(row * mm[1]), float(column * mm[2]), float(np.median(np.take_along_axis(values, best, axis=1)[found, 0])))
        )
        chances[part] = 0
    free = [
        value
        for ahead, aside, value in tubes
        if not any(
            IN_FRONT_MM[0] < ahead - other[0] < IN_FRONT_MM[1] and abs(aside - other[1]) < ASIDE_LIMIT_MM for other in tubes
        )
    ]
    return max(free, default=None)


def liver_hu(cells: FloatImage, bulky: Mask, mm: Spacing) -> float | None:
    """The commonest HU of bulky organ on the patient's right."""
    columns = np.nonzero((cells > -200).any(axis=(0, 1)))[0]
    if not len(columns):
        return None
    right = np.zeros(cells.shape[2], dtype=bool)
    right[columns[0] : int((columns[0] + columns[-1]) / 2)] = True
    values = cells[bulky & right]
    if values.size * float(np.prod(mm)) / 1000 < LEAST_ORGAN_ML:
        return None
    counts, edges = np.histogram(values, np.arange(ORGAN_HU[0], ORGAN_HU[1] + 1, 2.0))
    return float(edges[int(ndimage.gaussian_filter1d(counts.astype(float), 2).argmax())] + 1)


def liver_veins_hu(cells: FloatImage, liver: float, mm: Spacing) -> float | None:
    """HU of the vessels that the liver encloses: the 75th percentile of what is clearly brighter than it there."""
    like = np.abs(_window_mean(cells, (3, 3)) - liver) < 15
    labelled = np.zeros(like.shape, dtype=np.int32)
    count = ndimage.label(ndimage.binary_opening(like, np.ones((1, 3, 3))), output=labelled)
    if not count:
        return None
    whole = labelled == 1 + int(np.bincount(labelled.ravel())[1:].argmax())
    # Closing takes in the vessels that the liver surrounds; what lies at its border (ribs, kidney) is taken off again.
    steps = max(1, round(6 / mm[1]))
    square = np.ones((1, 3, 3), dtype=bool)
    closed = ndimage.binary_closing(np.pad(whole, ((0, 0), (steps, steps), (steps, steps))), square, iterations=steps)
    within: Mask = np.asarray(ndimage.binary_erosion(closed, square, iterations=steps), dtype=bool)[:, steps:-steps, steps:-steps]
    smooth = ndimage.gaussian_filter(cells, (0.5, 0.8, 0.8))
    bright = cells[within & (smooth > liver + VEINS_ABOVE_LIVER) & (smooth < BONE_HU + 100)]
    if bright.size * float(np.prod(mm)) / 1000 < LEAST_VESSELS_ML:
        return None
    return float(np.quantile(bright, 0.75))
