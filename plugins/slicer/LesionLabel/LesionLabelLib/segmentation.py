"""Lesions as voxels: from a measurement to a region, and from the regions of a case to the one labelmap that is sent."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .errors import StepError
from .geometry import Geometry

#: A lesion's longest diameter in mm.
DIAMETER_MM = (1.0, 300.0)
#: Lesions that fit in one labelmap.
MOST = 255
#: Of how far two grids may drift apart and still have the same voxels, in voxels.
SAME_VOXELS = 0.1


@dataclass(frozen=True, eq=False)
class Region:
    """The smallest box that holds a lesion. first: (i, j, k) of its first voxel. mask: (slices, rows, columns), 0 or 1."""

    first: tuple[int, int, int]
    mask: np.ndarray[Any, Any]

    @property
    def is_empty(self) -> bool:
        return self.mask.size == 0

    def is_same(self, other: Region) -> bool:
        return self.first == other.first and np.array_equal(self.mask, other.mask)

    def slices(self) -> tuple[slice, slice, slice]:
        """Where it lies in an array (slices, rows, columns) of the whole grid."""
        i, j, k = (slice(start, start + size) for start, size in zip(self.first, self.mask.shape[::-1]))
        return k, j, i

    def place(self, geometry: Geometry) -> Geometry:
        """Its own place, within the whole grid's."""
        slices, rows, columns = self.mask.shape
        return geometry.from_voxel(self.first, (slices, rows, columns))


def region_of(mask: np.ndarray[Any, Any]) -> Region:
    """What is not 0 in an array of the whole grid."""
    inside = mask != 0
    axes = [np.flatnonzero(inside.any(axis=tuple(other for other in range(3) if other != axis))) for axis in range(3)]
    if not axes[0].size:
        return Region((0, 0, 0), np.zeros((0, 0, 0), dtype=np.uint8))
    box = tuple(slice(int(occupied[0]), int(occupied[-1]) + 1) for occupied in axes)
    return Region((box[2].start, box[1].start, box[0].start), inside[box].astype(np.uint8))


def disc(geometry: Geometry, first: Sequence[float], second: Sequence[float]) -> Region:
    """The disc whose diameter runs from one voxel position (i, j, k) to the other, in one axial slice. Raises StepError.

    It is round in mm, also where the slice's pixels are not square, and holds at least the voxel in its middle.
    """
    ends = np.array([first, second], dtype=float)
    axial = geometry.axial_axis
    levels = np.rint(ends[:, axial]).astype(int)
    if levels[0] != levels[1]:
        raise StepError(f"The two points lie in different slices ({levels[0]} and {levels[1]}). Measure in one axial slice.")
    if not all(geometry.contains(end) for end in ends):
        raise StepError("A point of the measurement lies outside the image. Measure in the image.")
    ends[:, axial] = levels[0]
    scale = geometry.to_lps[:3, :3]
    length = float(np.linalg.norm(scale @ (ends[1] - ends[0])))
    low, high = DIAMETER_MM
    if not low <= length <= high:
        raise StepError(f"The two points are {length:.1f} mm apart; a lesion's diameter is {low:.0f} to {high:.0f} mm.")
    indices = [np.arange(size) for size in geometry.shape[::-1]]
    indices[axial] = levels[:1]
    i, j, k = np.meshgrid(*indices, indexing="ij")
    middle = ends.mean(axis=0)
    inside = np.linalg.norm((np.stack([i, j, k], axis=-1) - middle) @ scale.T, axis=-1) <= length / 2
    mask = np.zeros(geometry.shape, dtype=np.uint8)
    mask[k[inside], j[inside], i[inside]] = 1
    column, row, level = np.rint(middle).astype(int)
    mask[level, row, column] = 1
    return region_of(mask)


def moved(region: Region, source: Geometry, target: Geometry) -> Region:
    """The same voxels on another grid that differs in the order and the direction of its axes only.

    3D Slicer turns the axes of some files when it reads them. Raises StepError where the grids do not have the same voxels.
    """
    if region.is_empty:
        return region
    between = np.linalg.inv(target.to_lps) @ source.to_lps
    turn = np.rint(between[:3, :3])
    shift = between[:3, 3]
    sizes = np.array(source.shape[::-1])
    drift = np.abs(between[:3, :3] - turn) @ sizes + np.abs(shift - np.rint(shift))
    whole = sorted(np.abs(turn).sum(axis=0)) == sorted(np.abs(turn).sum(axis=1)) == [1, 1, 1]
    if not whole or drift.max() > SAME_VOXELS or sorted(source.shape) != sorted(target.shape):
        raise StepError("The outline is not on the image's own voxels, so it is not used. Open the case again.")
    k, j, i = np.nonzero(region.mask)
    voxels = np.stack([i, j, k], axis=1) + np.asarray(region.first)
    there = np.rint(voxels @ turn.T + shift).astype(int)
    if there.min() < 0 or np.any(there.max(axis=0) >= np.array(target.shape[::-1])):
        raise StepError("The outline reaches outside the image, so it is not used. Open the case again.")
    first = there.min(axis=0)
    mask = np.zeros((there.max(axis=0) - first + 1)[::-1], dtype=np.uint8)
    at = there - first
    mask[at[:, 2], at[:, 1], at[:, 0]] = 1
    return Region((int(first[0]), int(first[1]), int(first[2])), mask)


def labelmap(geometry: Geometry, regions: Mapping[int, Region]) -> np.ndarray[Any, Any]:
    """One labelmap of the whole grid with the values 1, 2, … for the regions in their order. Raises StepError.

    regions: by the number that the reader knows the lesion by. Every lesion needs a voxel, and no voxel belongs to two: which of
    them it were, only a reader knows.
    """
    joined = np.zeros(geometry.shape, dtype=np.uint8)
    numbers = list(regions)
    if len(numbers) > MOST:
        raise StepError(f"{len(numbers)} lesions are marked; {MOST} can be sent at once.")
    for value, (number, region) in enumerate(regions.items(), start=1):
        if region.is_empty:
            raise StepError(f"Lesion {number} is empty. Outline it, or remove it from the list.")
        part, inside = joined[region.slices()], region.mask != 0
        if part.shape != region.mask.shape:
            raise StepError(f"Lesion {number} reaches outside the image. Draw it on this case.")
        shared = int(part[inside].max())
        if shared:
            raise StepError(f"Lesions {numbers[shared - 1]} and {number} share voxels. Correct one outline, or remove one.")
        part[inside] = value
    return joined


def label_info(types: Sequence[str]) -> list[dict[str, Any]]:
    """What names the values of a labelmap: the type of each lesion, by its number."""
    return [{"name": name, "idx": number} for number, name in enumerate(types, start=1)]


def same_regions(before: Mapping[int, Region], now: Mapping[int, Region]) -> bool:
    """Whether the same lesions hold the same voxels."""
    return before.keys() == now.keys() and all(before[number].is_same(now[number]) for number in before)
