"""A CT series: int16 HU with its geometry. Axes are (slice, row, column); points are (i, j, k) = (column, row, slice)."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lesionlabel.lesions.errors import InputError, OutsideVolumeError

FloatArray = NDArray[np.float64]

#: Relative difference of row and column spacing up to which pixels count as square.
SQUARE_TOLERANCE = 0.01
#: Below this a voxel is air: no lesion of the liver is there.
AIR_HU = -300


@dataclass(frozen=True, eq=False)
class Geometry:
    """A voxel grid in the patient. affine: (4, 4), (i, j, k, 1) -> LPS mm. shape: (slices, rows, columns)."""

    shape: tuple[int, int, int]
    affine: FloatArray

    @cached_property
    def spacing(self) -> tuple[float, float, float]:
        """Distance in mm of neighbouring columns, rows and slices."""
        lengths = np.linalg.norm(self.affine[:3, :3], axis=0)
        return float(lengths[0]), float(lengths[1]), float(lengths[2])

    @property
    def pixel_mm(self) -> float:
        """The side of an in-plane pixel in mm. Raises InputError when pixels are not square within 1 %."""
        column, row, _ = self.spacing
        if abs(column - row) > SQUARE_TOLERANCE * max(column, row):
            raise InputError(
                f"Pixels are {column:.4g} × {row:.4g} mm; a ROI needs square ones (within 1 %). "
                "Resample the series to square pixels and import it again."
            )
        return (column + row) / 2

    def to_lps(self, ijk: ArrayLike) -> FloatArray:
        """Voxel indices (..., 3) as (i, j, k) -> LPS mm (..., 3)."""
        points = np.asarray(ijk, dtype=np.float64)
        return points @ self.affine[:3, :3].T + self.affine[:3, 3]

    def to_voxel(self, lps: ArrayLike) -> FloatArray:
        """LPS mm (..., 3) -> continuous voxel indices (..., 3) as (i, j, k)."""
        points = np.asarray(lps, dtype=np.float64) - self.affine[:3, 3]
        return points @ np.linalg.inv(self.affine[:3, :3]).T

    def contains(self, ijk: ArrayLike) -> bool:
        """Whether the continuous index lies within the outer faces of the grid."""
        point = np.asarray(ijk, dtype=np.float64)
        sizes = np.asarray(self.shape[::-1])
        return bool(np.all(np.isfinite(point)) and np.all(point >= -0.5) and np.all(point <= sizes - 0.5))


@dataclass(frozen=True, eq=False)
class Volume:
    """One CT series.

    voxels: (slices, rows, columns) int16 in HU, columns towards the patient's left, rows towards the back, slices towards
    the head; may be a read-only memory map. geometry: of voxels. native: the grid of the file that clients see and index.
    info: what the series says of itself (phase, thickness …); never a name or an identifier of a patient.
    """

    voxels: NDArray[np.int16]
    geometry: Geometry
    native: Geometry
    info: dict[str, str | float | int | bool | None] = field(default_factory=dict)

    def from_native(self, ijk: ArrayLike) -> FloatArray:
        """Indices in the file's own grid -> indices in voxels, both (i, j, k)."""
        return self.geometry.to_voxel(self.native.to_lps(ijk))

    def to_native(self, ijk: ArrayLike) -> FloatArray:
        """Indices in voxels -> indices in the file's own grid, both (i, j, k)."""
        return self.native.to_voxel(self.geometry.to_lps(ijk))

    @cached_property
    def viewer(self) -> Geometry:
        """native as 3D Slicer and OHIF count it: they reverse the slices of a left-handed grid (such as LAS) on opening it."""
        if np.linalg.det(self.native.affine[:3, :3]) > 0:
            return self.native
        last = self.native.shape[0] - 1
        reverse = np.array([[1, 0, 0, 0], [0, 1, 0, 0], [0, 0, -1, last], [0, 0, 0, 1]], dtype=np.float64)
        return Geometry(self.native.shape, self.native.affine @ reverse)

    def from_viewer(self, ijk: ArrayLike) -> FloatArray:
        """Indices as viewers count the file's grid -> indices in voxels, both (i, j, k)."""
        return self.geometry.to_voxel(self.viewer.to_lps(ijk))

    def require_tissue(self, ijk: ArrayLike) -> tuple[int, int, int]:
        """The voxel at the continuous index. Raises OutsideVolumeError outside the grid or in air (below -300 HU)."""
        point = np.asarray(ijk, dtype=np.float64)
        if not self.geometry.contains(point):
            slices, rows, columns = self.geometry.shape
            raise OutsideVolumeError(
                f"The point (i, j, k) = ({point[0]:.1f}, {point[1]:.1f}, {point[2]:.1f}) lies outside the volume of "
                f"{columns} × {rows} × {slices} voxels. Give a voxel index in the image, or LPS mm as center_lps."
            )
        rounded = np.clip(np.rint(point), 0, np.asarray(self.geometry.shape[::-1]) - 1).astype(int)
        i, j, k = int(rounded[0]), int(rounded[1]), int(rounded[2])
        hu = int(self.voxels[k, j, i])
        if hu < AIR_HU:
            raise OutsideVolumeError(
                f"The point (i, j, k) = ({i}, {j}, {k}) lies in air ({hu} HU, tissue is above {AIR_HU} HU). Point at the lesion."
            )
        return i, j, k
