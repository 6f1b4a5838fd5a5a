"""Answers as files that 3D Slicer opens: labelled points, or outlines as voxels."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk

from lesionlabel import NOT_FOR_CLINICAL_USE
from lesionlabel.infers.answer import Answer
from lesionlabel.infers.overlay import on_native_grid
from lesionlabel.lesions.contour import Contour
from lesionlabel.lesions.errors import InputError
from lesionlabel.lesions.volume import Volume

MASK_EXTENSIONS = (".nrrd", ".nii.gz", ".nii")
MARKUPS_EXTENSION = ".json"
SCHEMA = (
    "https://raw.githubusercontent.com/slicer/slicer/master/Modules/Loadable/Markups/Resources/Schema/markups-schema-v1.0.3.json#"
)


def draw(answer: Answer, extension: str) -> Path:
    """Write one answer to a new temporary file; the caller removes it. Raises InputError for an unknown extension."""
    if extension == MARKUPS_EXTENSION:
        return draw_points([answer])
    return draw_outlines(answer.volume, [(1, answer.contour)], extension, (MARKUPS_EXTENSION, *MASK_EXTENSIONS))


def draw_points(answers: Sequence[Answer]) -> Path:
    """Write a labelled point for each answer to a new temporary file; the caller removes it."""
    path = _new_file(MARKUPS_EXTENSION)
    path.write_text(json.dumps(markups(answers)), encoding="utf-8")
    return path


def draw_outlines(
    volume: Volume, outlines: Sequence[tuple[int, Contour]], extension: str, allowed: tuple[str, ...] = MASK_EXTENSIONS
) -> Path:
    """Write outlines, each with its voxel value, on the file's own grid to a new temporary file; the caller removes it.

    Raises InputError for an extension that holds no voxels. allowed: what the message then names.
    """
    if extension not in MASK_EXTENSIONS:
        raise InputError(f"result_extension {extension!r} is not known. Allowed: {', '.join(allowed)}.")
    path = _new_file(extension)
    sitk.WriteImage(_mask(volume, outlines), os.fspath(path), useCompression=True)
    return path


def markups(answers: Sequence[Answer]) -> dict[str, Any]:
    """A 3D Slicer markups document: for each answer one point at the lesion's centre in LPS, labelled with its type."""
    points = [
        {
            "id": str(number),
            "label": answer.text,
            "description": _description(answer),
            "position": answer.json["lesion"]["centre_lps"],
            "selected": True,
            "locked": True,
            "visibility": True,
        }
        for number, answer in enumerate(answers, start=1)
    ]
    node = {"type": "Fiducial", "coordinateSystem": "LPS", "coordinateUnits": "mm", "locked": True, "controlPoints": points}
    return {"@schema": SCHEMA, "markups": [node]}


def _description(answer: Answer) -> str:
    """Where the lesion is, as 3D Slicer's slice views say it, its size, and the first thing that a reader has to know."""
    lesion = answer.json["lesion"]
    z = lesion["centre_lps"][2]
    where = f"{'S' if z >= 0 else 'I'} {abs(z):.1f} mm, slice {_slice_in_viewer(answer)} (counted from 0)"
    shown = answer.json["display"][:1].upper() + answer.json["display"][1:]
    said = [f"{where}, {lesion['diameter_mm']} mm across. {shown}.", answer.json["why_not"]]
    return " ".join(filter(None, [*said, answer.json["closed_set"], *answer.json["warnings"], NOT_FOR_CLINICAL_USE]))


def _slice_in_viewer(answer: Answer) -> int:
    volume = answer.volume
    x, y = answer.contour.centre
    centre, beside = (volume.viewer.to_voxel(volume.geometry.to_lps((x, y, answer.contour.slice_index + n))) for n in (0, 1))
    return round(float(centre[int(np.argmax(np.abs(beside - centre)))]))


def _mask(volume: Volume, outlines: Sequence[tuple[int, Contour]]) -> sitk.Image:
    """The outlines on the file's own grid, uint8."""
    _, rows, columns = volume.geometry.shape
    voxels = np.zeros(volume.native.shape, dtype=np.uint8)
    for value, contour in outlines:
        y, x = np.nonzero(contour.mask(rows, columns))
        native = np.rint(volume.to_native(np.column_stack([x, y, np.full(x.size, contour.slice_index)]))).astype(int)
        voxels[native[:, 2], native[:, 1], native[:, 0]] = value
    return on_native_grid(volume, voxels)


def _new_file(extension: str) -> Path:
    handle, name = tempfile.mkstemp(prefix="lesionlabel-", suffix=extension)
    os.close(handle)
    return Path(name)
