"""Where a NIfTI file says that its voxels are: refused unless it says so once. ITK picks one of the answers in silence.

Source: nifti1.h, "3D image (volume) orientation and location in space": methods 1 (no orientation), 2 (qform) and 3 (sform).
"""

from __future__ import annotations

import math
import struct
from itertools import product
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lesionlabel.lesions.errors import InputError

FloatArray = NDArray[np.float64]

#: Offsets in NIfTI-1 and NIfTI-2, and the kind of number: sizes, pixdim, quatern_b to qoffset_z, srow_x to srow_z, the codes.
NIFTI_1 = ((40, "8h"), (76, "8f"), (256, "6f"), (280, "12f"), (252, "2h"))
NIFTI_2 = ((16, "8q"), (104, "8d"), (352, "6d"), (400, "12d"), (344, "2i"))
#: Largest distance of a voxel's places by two answers, in the smallest spacing.
SAME_PLACE = 0.5
#: Largest angle by which two axes of a CT may miss the right angle; more is a tilted gantry, as for DICOM.
MAX_SHEAR_DEG = 0.5


def check_place(path: Path, plain: Path) -> None:
    """Raise InputError unless the header of the NIfTI file plain gives its voxels one place; messages name path.

    Refused are a file without qform and sform, a sheared sform, and an sform that contradicts the voxel sizes or the qform.
    """
    sizes, pixdim, quaternion, sform, (q_code, s_code) = _header(plain)
    shape, spacing = np.ones(3), np.abs(pixdim[1:4])
    shape[: min(3, int(sizes[0]))] = sizes[1 : 1 + min(3, int(sizes[0]))]
    if q_code <= 0 and s_code <= 0:
        raise InputError(
            f"{path.name} does not say where the patient's left, back and head are (its qform and sform codes are 0). Convert "
            "the original series again, with its orientation."
        )
    if s_code <= 0:
        return
    directions = sform[:, :3]
    lengths = np.linalg.norm(directions, axis=0)
    if not np.all(np.isfinite(sform)) or not np.all(lengths > 0):
        raise InputError(f"{path.name} has an sform that is no place of voxels. Convert the original series again.")
    cosines = (directions / lengths).T @ (directions / lengths) - np.eye(3)
    shear = math.degrees(math.asin(min(1.0, float(np.abs(cosines).max()))))
    if shear > MAX_SHEAR_DEG:
        raise InputError(
            f"{path.name} has axes that miss the right angle by {shear:.1f}° (a tilted gantry?); allowed are {MAX_SHEAR_DEG}°. "
            "Resample it to an upright grid first."
        )
    limit = SAME_PLACE * float(lengths.min())
    if float(np.abs((lengths - spacing) * (shape - 1)).max()) > limit:
        raise InputError(
            f"{path.name} contradicts itself: voxels of {_sizes(spacing)} by pixdim and of {_sizes(lengths)} by the sform. "
            "Convert the original series again."
        )
    if q_code > 0:
        qform = np.column_stack([_rotation(quaternion[:3]) * spacing * [1, 1, pixdim[0] or 1.0], quaternion[3:]])
        corners = np.array([[*corner, 1.0] for corner in product(*([0.0, n - 1] for n in shape))])
        apart = float(np.linalg.norm(corners @ (qform - sform).T, axis=1).max())
        if not apart <= limit:
            raise InputError(
                f"{path.name} contradicts itself: its qform and sform lay voxels up to {apart:.4g} mm apart. "
                "Convert the original series again."
            )


def _header(plain: Path) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray, FloatArray]:
    with plain.open("rb") as file:
        head = file.read(540)
    order = "<" if struct.unpack_from("<i", head)[0] in (348, 540) else ">"
    places = NIFTI_1 if struct.unpack_from(order + "i", head)[0] == 348 else NIFTI_2
    sizes, pixdim, quaternion, rows, codes = (np.array(struct.unpack_from(order + kind, head, at), float) for at, kind in places)
    return sizes, pixdim, quaternion, rows.reshape(3, 4), codes


def _rotation(bcd: FloatArray) -> FloatArray:
    """The rotation of a unit quaternion of which b, c and d are given."""
    b, c, d = bcd
    a = math.sqrt(max(0.0, 1.0 - float(bcd @ bcd)))
    return np.array(
        [
            [a * a + b * b - c * c - d * d, 2 * (b * c - a * d), 2 * (b * d + a * c)],
            [2 * (b * c + a * d), a * a + c * c - b * b - d * d, 2 * (c * d - a * b)],
            [2 * (b * d - a * c), 2 * (c * d + a * b), a * a + d * d - b * b - c * c],
        ]
    )


def _sizes(lengths: FloatArray) -> str:
    return " × ".join(f"{length:.4g}" for length in lengths)
