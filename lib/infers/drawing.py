"""An answer as a file that 3D Slicer opens: a labelled point, or the lesion's outline as a segment."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from lesionlabel.infers.answer import Answer
from lesionlabel.lesions.errors import InputError

MASK_EXTENSIONS = (".nrrd", ".nii.gz", ".nii")
MARKUPS_EXTENSION = ".json"
SCHEMA = (
    "https://raw.githubusercontent.com/slicer/slicer/master/Modules/Loadable/Markups/Resources/Schema/markups-schema-v1.0.3.json#"
)


def draw(answer: Answer, extension: str) -> Path:
    """Write the answer to a new temporary file; the caller removes it. Raises InputError for an extension that is neither."""
    if extension == MARKUPS_EXTENSION:
        content = json.dumps(markups(answer)).encode()
        path = _new_file(extension)
        path.write_bytes(content)
        return path
    if extension in MASK_EXTENSIONS:
        path = _new_file(extension)
        sitk.WriteImage(_mask(answer), os.fspath(path), useCompression=True)
        return path
    allowed = ", ".join((MARKUPS_EXTENSION, *MASK_EXTENSIONS))
    raise InputError(f"result_extension {extension!r} is not known. Allowed: {allowed}.")


def markups(answer: Answer) -> dict:
    """A 3D Slicer markups document: one point at the lesion's centre in LPS, labelled with the answer."""
    point = {
        "id": "1",
        "label": answer.text,
        "description": answer.json["closed_set"],
        "position": answer.json["lesion"]["centre_lps"],
        "selected": True,
        "locked": True,
        "visibility": True,
    }
    node = {"type": "Fiducial", "coordinateSystem": "LPS", "coordinateUnits": "mm", "controlPoints": [point]}
    return {"@schema": SCHEMA, "markups": [node]}


def _mask(answer: Answer) -> sitk.Image:
    """The outline as value 1 on the file's own grid, uint8."""
    volume, contour = answer.volume, answer.contour
    _, rows, columns = volume.geometry.shape
    y, x = np.nonzero(contour.mask(rows, columns))
    native = np.rint(volume.to_native(np.column_stack([x, y, np.full(x.size, contour.slice_index)]))).astype(int)
    voxels = np.zeros(volume.native.shape, dtype=np.uint8)
    voxels[native[:, 2], native[:, 1], native[:, 0]] = 1
    image = sitk.GetImageFromArray(voxels)
    spacing = np.asarray(volume.native.spacing)
    image.SetSpacing(spacing.tolist())
    image.SetDirection((volume.native.affine[:3, :3] / spacing).ravel().tolist())
    image.SetOrigin(volume.native.affine[:3, 3].tolist())
    return image


def _new_file(extension: str) -> Path:
    handle, name = tempfile.mkstemp(prefix="lesionlabel-", suffix=extension)
    os.close(handle)
    return Path(name)
