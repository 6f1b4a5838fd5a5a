"""Where a volume that nobody has read may hold lesions: dark places in the liver, each clicked as a reader would.

For ranking volumes only: nothing that it finds is shown to a reader or trained on. Places are found on a coarse copy, so that
noise averages out; the click segmenter then says which of them are lesions, and outlines them. What is as bright as the liver or
brighter (filled hemangiomas) or smaller than 10 mm is missed, and much that is no lesion is found, the gallbladder above all. How
often: docs/active-learning.md.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from lesionlabel.lesions.blood_pool import FloatImage, Mask, Spacing, bulky_organ, liver_hu
from lesionlabel.lesions.contour import Contour
from lesionlabel.lesions.errors import InputError
from lesionlabel.lesions.segmenter import Clicks, Segmenter
from lesionlabel.lesions.volume import Volume

#: The volume is looked at in cells of about this many mm.
CELL_MM = 3.0
#: Liver is within this of its commonest HU; a candidate is darker by at least this, and no fat.
LIVER_WITHIN, DARKER_BY, LEAST_HU = 20.0, 15.0, -30.0
#: How far the liver is taken off its neighbours, and closed over what it encloses, in mm.
OPEN_MM, CLOSE_MM = 6.0, 15.0
#: Smallest and largest diameter of a candidate in mm.
DIAMETERS_MM = (8.0, 120.0)
#: How many places of a volume are clicked, the likeliest first, and how many candidates are kept.
MOST_CLICKS, MOST_CANDIDATES = 12, 8


@dataclass(frozen=True, eq=False)
class Candidate:
    """contour: in one slice. weight: in (0, 1], the Dice that the segmenter expects of it, or how likely a lesion it looks."""

    contour: Contour
    weight: float


@dataclass(frozen=True, eq=False)
class _Cells:
    """hu: means over blocks of voxels, (slices, rows, columns). step: voxels a block along each. mm: its sides."""

    hu: FloatImage
    step: tuple[int, int, int]
    mm: Spacing


@dataclass(frozen=True, eq=False)
class Place:
    """A dark place in the liver. click: (i, j, k) of its innermost voxel. weight: in (0, 1], higher where round and enclosed."""

    click: tuple[float, float, float]
    weight: float


def find_candidates(volume: Volume, segmenter: Segmenter) -> list[Candidate]:
    """At most MOST_CANDIDATES outlines that may be lesions, the likeliest first; none where no liver is found."""
    found: list[Candidate] = []
    for place in find_places(volume)[:MOST_CLICKS]:
        try:
            segmented = segmenter.segment(volume, Clicks((place.click,)))
        except InputError:  # on a vessel, in plain liver, outside it
            continue
        contour = segmented.contour
        diameter_mm = contour.diameter_px * volume.geometry.pixel_mm
        if DIAMETERS_MM[0] <= diameter_mm <= DIAMETERS_MM[1] and not any(_same(contour, c.contour, volume) for c in found):
            weight = place.weight if segmented.confidence is None else segmented.confidence
            found.append(Candidate(contour, float(np.clip(weight, 0.01, 1.0))))
    return sorted(found, key=lambda candidate: -candidate.weight)[:MOST_CANDIDATES]


def find_places(volume: Volume) -> list[Place]:
    """All dark places of the liver, the likeliest lesions first."""
    cells = _cells(volume)
    liver = liver_hu(cells.hu, bulky_organ(cells.hu, cells.mm), cells.mm)
    if liver is None:
        return []
    smooth = np.asarray(ndimage.gaussian_filter(cells.hu, (0.5, 0.8, 0.8)), dtype=np.float32)
    box = _liver_box(np.abs(smooth - liver) < LIVER_WITHIN, cells.mm)
    if box is None:
        return []
    smooth, region = smooth[box[0]], _closed(box[1], cells.mm)
    dark = region & (smooth < liver - DARKER_BY) & (smooth > LEAST_HU)
    parts = np.zeros(dark.shape, dtype=np.int32)
    ndimage.label(ndimage.binary_opening(dark, ndimage.generate_binary_structure(3, 1)), output=parts)
    # What is as bright as liver or a vessel in it encloses a lesion; fat and air do not.
    tissue = region & (smooth >= liver - DARKER_BY)
    found = []
    for number, place in enumerate(ndimage.find_objects(parts), start=1):
        grown = tuple(slice(max(0, s.start - 1), s.stop + 1) for s in place)
        corner = np.array([s.start + b.start for s, b in zip(grown, box[0], strict=True)])
        found.append(_place(parts[grown] == number, tissue[grown], cells, corner))
    return sorted(found, key=lambda place: -place.weight)


def _cells(volume: Volume) -> _Cells:
    column_mm, row_mm, slice_mm = volume.geometry.spacing
    up, down, across = (max(1, round(CELL_MM / side)) for side in (slice_mm, row_mm, column_mm))
    slices, rows, columns = (n // s for n, s in zip(volume.voxels.shape, (up, down, across), strict=True))
    hu = np.zeros((slices, rows, columns), dtype=np.float32)
    for index in range(slices * up):
        image = volume.voxels[index]
        # Sums of rows first: contiguous int16 adds are the fast ones.
        bands = np.zeros((rows, columns * across), dtype=np.int32)
        for row in range(down):
            bands += image[row : rows * down : down, : columns * across]
        hu[index // up] += bands.reshape(rows, columns, across).sum(axis=2)
    hu /= up * down * across
    return _Cells(hu, (up, down, across), (slice_mm * up, row_mm * down, column_mm * across))


def _liver_box(like: Mask, mm: Spacing) -> tuple[tuple[slice, slice, slice], Mask] | None:
    """Where the liver is, with room around it, and its cells there: the largest part of what looks like liver."""
    steps = max(1, round(OPEN_MM / mm[1]))
    core = np.asarray(ndimage.binary_erosion(like, iterations=steps), dtype=bool)
    parts = np.zeros(like.shape, dtype=np.int32)
    if not ndimage.label(core, output=parts):
        return None
    largest = parts == 1 + int(np.bincount(parts.ravel())[1:].argmax())
    [place] = ndimage.find_objects(largest.astype(np.int8))
    room = [math.ceil(CLOSE_MM / side) + steps for side in mm]
    box = tuple(slice(max(0, s.start - r), s.stop + r) for s, r in zip(place, room, strict=True))
    whole = ndimage.binary_dilation(largest[box], iterations=steps + 1, mask=like[box])
    return box, np.asarray(whole, dtype=bool)  # pyright: ignore[reportReturnType]


def _closed(whole: Mask, mm: Spacing) -> Mask:
    """The liver with what it encloses or nearly encloses: closed by a ball, holes filled in each slice."""
    room = [math.ceil(CLOSE_MM / side) + 1 for side in mm]
    padded = np.pad(whole, [(r, r) for r in room])
    grown = np.asarray(ndimage.distance_transform_edt(~padded, sampling=mm)) <= CLOSE_MM
    closed = np.asarray(ndimage.distance_transform_edt(grown, sampling=mm)) > CLOSE_MM
    closed = closed[tuple(slice(r, -r) for r in room)] | whole
    return np.array([ndimage.binary_fill_holes(plane) for plane in closed], dtype=bool)


def _place(part: Mask, tissue: Mask, cells: _Cells, corner: NDArray[np.intp]) -> Place:
    """The part's innermost voxel, and how round it is and how much of its surroundings is liver or a vessel in it."""
    shell = np.asarray(ndimage.binary_dilation(part, ndimage.generate_binary_structure(3, 2)), dtype=bool) & ~part
    enclosed = float(tissue[shell].mean()) if shell.any() else 0.0
    depth = np.asarray(ndimage.distance_transform_edt(np.pad(part, 1), sampling=cells.mm))
    innermost = np.array(np.unravel_index(int(depth.argmax()), depth.shape)) - 1
    widest = max(float(np.ptp(np.nonzero(part)[axis]) + 1) * side for axis, side in enumerate(cells.mm))
    filled = float(part.sum()) * float(np.prod(cells.mm)) / (math.pi / 6 * widest**3)
    # The middle of cell n is at n * step + (step - 1) / 2 in voxels.
    step = np.array(cells.step)
    k, j, i = (innermost + corner) * step + (step - 1) // 2
    return Place((float(i), float(j), float(k)), max(0.01, enclosed * min(1.0, filled)))


def _same(first: Contour, second: Contour, volume: Volume) -> bool:
    """Whether two outlines are of one lesion: the middle of one is within the other's sphere."""
    places = np.array([(*contour.centre, contour.slice_index) for contour in (first, second)])
    apart = float(np.linalg.norm((places[0] - places[1]) * volume.geometry.spacing))
    return apart < max(first.diameter_px, second.diameter_px) / 2 * volume.geometry.pixel_mm
