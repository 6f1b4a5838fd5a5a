"""Where a volume that nobody has read may hold lesions: dark, compact, enclosed by liver. Cheap, and wrong often.

For ranking volumes only: nothing that it finds is shown to a reader or trained on. It works on a coarse copy, so that noise
averages out and a volume takes a second. It misses what is as bright as the liver or brighter (filled hemangiomas), what is
smaller than 10 mm, and much of what reaches through the liver's surface; it finds gallbladders and fissures. How often:
docs/active-learning.md.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from lesionlabel.lesions.blood_pool import FloatImage, Mask, Spacing, bulky_organ, liver_hu
from lesionlabel.lesions.contour import Contour, contour_from_mask
from lesionlabel.lesions.volume import Volume

#: The volume is looked at in cells of about this many mm.
CELL_MM = 3.0
#: Liver is within this of its commonest HU; a candidate is darker by at least this, and no fat.
LIVER_WITHIN, DARKER_BY, LEAST_HU = 20.0, 15.0, -30.0
#: How far the liver is taken off its neighbours, and closed over what it encloses, in mm.
OPEN_MM, CLOSE_MM = 6.0, 15.0
#: Smallest and largest diameter of a candidate in mm.
DIAMETERS_MM = (8.0, 120.0)
#: Share of a candidate's surroundings that must be liver or its vessels.
ENCLOSED = 0.5
#: Least weight of a candidate, and how many are kept of a volume.
LEAST_WEIGHT, MOST_CANDIDATES = 0.3, 8


@dataclass(frozen=True, eq=False)
class Candidate:
    """contour: in the slice where it is largest. weight: in [LEAST_WEIGHT, 1], higher where it is rounder and better enclosed."""

    contour: Contour
    weight: float


@dataclass(frozen=True, eq=False)
class _Cells:
    """hu: means over blocks of voxels, (slices, rows, columns). step: voxels a block along each. mm: its sides."""

    hu: FloatImage
    step: tuple[int, int, int]
    mm: Spacing


def find_candidates(volume: Volume) -> list[Candidate]:
    """At most MOST_CANDIDATES places that may be lesions, the likeliest first; none where no liver is found."""
    cells = _cells(volume)
    liver = liver_hu(cells.hu, bulky_organ(cells.hu, cells.mm), cells.mm)
    if liver is None:
        return []
    smooth = np.asarray(ndimage.gaussian_filter(cells.hu, (0.5, 0.8, 0.8)), dtype=np.float32)
    like = np.abs(smooth - liver) < LIVER_WITHIN
    box = _liver_box(like, cells.mm)
    if box is None:
        return []
    smooth, whole = smooth[box[0]], box[1]
    region = _closed(whole, cells.mm)
    dark = region & (smooth < liver - DARKER_BY) & (smooth > LEAST_HU)
    parts = np.zeros(dark.shape, dtype=np.int32)
    ndimage.label(ndimage.binary_opening(dark, ndimage.generate_binary_structure(3, 1)), output=parts)
    # What is as bright as liver or a vessel in it encloses a lesion; fat and air do not.
    tissue = region & (smooth >= liver - DARKER_BY)
    found = []
    for number, place in enumerate(ndimage.find_objects(parts), start=1):
        grown = tuple(slice(max(0, s.start - 1), s.stop + 1) for s in place)
        corner = [s.start + b.start for s, b in zip(grown, box[0], strict=True)]
        part = parts[grown] == number
        shell = np.asarray(ndimage.binary_dilation(part, ndimage.generate_binary_structure(3, 2)), dtype=bool) & ~part
        enclosed = float(tissue[grown][shell].mean()) if shell.any() else 0.0
        candidate = _candidate(_to_half_contrast(part, smooth[grown], liver), enclosed, cells, corner)
        if candidate is not None:
            found.append(candidate)
    return sorted(found, key=lambda candidate: -candidate.weight)[:MOST_CANDIDATES]


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


def _to_half_contrast(part: Mask, smooth: FloatImage, liver: float) -> Mask:
    """The largest piece of the part that is darker than the middle between its dark fifth and the liver."""
    middle = (liver + float(np.quantile(smooth[part], 0.2))) / 2
    pieces = np.zeros(part.shape, dtype=np.int32)
    ndimage.label(part & (smooth <= middle), output=pieces)
    return np.asarray(pieces == 1 + int(np.bincount(pieces.ravel())[1:].argmax()), dtype=bool)


def _candidate(part: Mask, enclosed: float, cells: _Cells, corner: list[int]) -> Candidate | None:
    """The part as a candidate, None where its size or its surroundings speak against it."""
    largest = int(part.sum(axis=(1, 2)).argmax())
    coarse = contour_from_mask(part[largest], 0)
    up, down, across = cells.step
    # The middle of cell n is at n * step + (step - 1) / 2 in voxels.
    cell = np.array([across, down], dtype=np.float64)
    points = (coarse.points + np.array([corner[2], corner[1]])) * cell + (cell - 1) / 2
    contour = Contour((corner[0] + largest) * up + (up - 1) // 2, points)
    diameter_mm = contour.diameter_px * cells.mm[2] / across
    if not DIAMETERS_MM[0] <= diameter_mm <= DIAMETERS_MM[1] or enclosed < ENCLOSED:
        return None
    filled = float(part.sum()) * float(np.prod(cells.mm)) / (math.pi / 6 * diameter_mm**3)
    weight = enclosed * min(1.0, 1.5 * filled)
    return Candidate(contour, weight) if weight >= LEAST_WEIGHT else None
