"""Where voxels are: a grid's place in LPS, in mm, as DICOM and NRRD have it; 3D Slicer's own axes are RAS."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from .errors import ReaderError

RAS_TO_LPS = np.diag([-1.0, -1.0, 1.0, 1.0])


@dataclass(frozen=True, eq=False)
class Geometry:
    """shape: (slices, rows, columns), as arrays have it. to_lps: 4 × 4, from (i, j, k, 1) to LPS in mm."""

    shape: tuple[int, int, int]
    to_lps: np.ndarray[Any, Any]

    @property
    def spacing(self) -> tuple[float, float, float]:
        """mm of columns, rows and slices."""
        i, j, k = np.linalg.norm(self.to_lps[:3, :3], axis=0)
        return float(i), float(j), float(k)

    @property
    def axial_axis(self) -> int:
        """The grid's axis, 0 to 2 for i to k, that runs nearest to head and feet: slices across it are read."""
        return int(np.argmax(np.abs(self.to_lps[2, :3] / np.asarray(self.spacing))))

    def voxel_of_ras(self, position: Sequence[float]) -> tuple[float, float, float]:
        """(i, j, k) of a position in RAS, not rounded."""
        lps = RAS_TO_LPS @ np.append(np.asarray(position, dtype=float)[:3], 1.0)
        i, j, k = (np.linalg.inv(self.to_lps) @ lps)[:3]
        return float(i), float(j), float(k)

    def contains(self, voxel: Sequence[float]) -> bool:
        """Whether (i, j, k) lies in the grid."""
        return all(-0.5 <= at <= size - 0.5 for at, size in zip(voxel, self.shape[::-1]))

    def from_voxel(self, first: Sequence[int], shape: tuple[int, int, int]) -> Geometry:
        """The part of the grid that begins at (i, j, k)."""
        moved = self.to_lps.copy()
        moved[:3, 3] += self.to_lps[:3, :3] @ np.asarray(first, dtype=float)
        return Geometry(shape, moved)


def geometry_from_ras(ijk_to_ras: Any, shape: tuple[int, int, int]) -> Geometry:
    """From a volume node's IJK to RAS matrix, 4 × 4."""
    return Geometry(shape, RAS_TO_LPS @ np.asarray(ijk_to_ras, dtype=float))


def geometry_of_file(path: Path) -> Geometry:
    """The grid of an image file as the server counts clicks in it. Raises ReaderError.

    It takes them as viewers show them, and those reverse the slices of left-handed grids (such as LAS) on opening.
    """
    reader = sitk.ImageFileReader()
    reader.SetFileName(os.fspath(path))
    try:
        reader.ReadImageInformation()
    except RuntimeError:
        raise ReaderError("The image that the server sent cannot be read. Open the case again.") from None
    if reader.GetDimension() != 3:
        raise ReaderError("The image that the server sent is no volume, so it is not opened.")
    to_lps = np.eye(4)
    to_lps[:3, :3] = np.asarray(reader.GetDirection()).reshape(3, 3) * np.asarray(reader.GetSpacing())
    to_lps[:3, 3] = reader.GetOrigin()
    columns, rows, slices = reader.GetSize()
    if np.linalg.det(to_lps[:3, :3]) < 0:
        to_lps[:3, 3] += to_lps[:3, 2] * (slices - 1)
        to_lps[:3, 2] *= -1
    return Geometry((int(slices), int(rows), int(columns)), to_lps)
