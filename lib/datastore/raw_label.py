"""OHIF's labels: one byte a voxel and no header, in the order of the image's own grid."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from lesionlabel.datastore.segments import LabelError
from lesionlabel.imaging.nifti import write_image
from lesionlabel.lesions.volume import Volume


def with_grid(raw: Path, volume: Volume, target: Path) -> Path:
    """Write the bytes in raw as target, a .nrrd or .nii.gz file on the grid of the file that volume was read from.

    Raises LabelError unless there is exactly one byte for each voxel: which ones are missing or too many nobody knows.
    """
    shape, size = volume.native.shape, raw.stat().st_size
    if size != np.prod(shape):
        slices, rows, columns = shape
        raise LabelError(
            f"The raw label has {size} bytes, the image {columns} × {rows} × {slices} = {np.prod(shape)} voxels. "
            "Send one byte a voxel, in the order of the image that this server serves."
        )
    write_image(target, np.fromfile(raw, dtype=np.uint8).reshape(shape), volume.native)
    return target
