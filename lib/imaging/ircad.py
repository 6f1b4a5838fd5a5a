"""The layout of 3D-IRCADb: PATIENT_DICOM beside MASKS_DICOM/<name>, one mask series a structure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from lesionlabel.imaging.dicom import Refusal
from lesionlabel.imaging.series import files_below, find_series, load_mask, name_below
from lesionlabel.lesions.errors import InputError
from lesionlabel.lesions.volume import Volume

IMAGES, MASKS = "PATIENT_DICOM", "MASKS_DICOM"
#: The other folders of a patient there: pictures of the labels, and surfaces.
PASSED_OVER = frozenset({MASKS, "LABELLED_DICOM", "MESHES_VTK"})
#: The liver and what is in it; "leftsurrenaltumor" is not.
WANTED = re.compile(r"liver.*|tumou?r.*", re.IGNORECASE)
#: Two grids this close (mm) are the same.
SAME_MM = 1e-3


def patient_folders(files: Iterable[Path]) -> set[Path]:
    """The folders that hold PATIENT_DICOM and MASKS_DICOM, among the parents of files."""
    candidates = {path.parents[i + 1] for path in files for i, p in enumerate(path.parents[:-1]) if p.name == IMAGES}
    return {folder for folder in candidates if (folder / MASKS).is_dir()}


def is_passed_over(path: Path, folders: set[Path]) -> bool:
    """Whether the file is one of such a patient's masks, pictures or surfaces, which are no CT series of their own."""
    return any(folder in path.parents and path.relative_to(folder).parts[0] in PASSED_OVER for folder in folders)


def read_masks(folder: Path, volume: Volume, below: Path) -> tuple[NDArray[np.uint8] | None, list[str], list[Refusal]]:
    """The masks of the liver and its tumours as one label image on the grid of volume, uint8 (slice, row, column).

    Label n is the n-th of the returned names, which are the archive's own: it knows no lesion types. The liver comes first and
    tumours are written over it. None when there is no such mask.
    """
    labels, names, refused = None, [], []
    found = [path for path in (folder / MASKS).iterdir() if path.is_dir() and WANTED.fullmatch(path.name)]
    for mask_folder in sorted(found, key=lambda path: (path.name.casefold() != "liver", path.name.casefold())):
        try:
            mask = _read_mask(mask_folder, volume, below)
        except InputError as error:
            refused.append(Refusal(name_below(mask_folder, below), str(error)))
            continue
        if labels is None:
            labels = np.zeros(volume.geometry.shape, dtype=np.uint8)
        names.append(mask_folder.name)
        labels[mask] = len(names)
    return labels, names, refused


def _read_mask(folder: Path, volume: Volume, below: Path) -> NDArray[np.bool_]:
    series, refused = find_series(files_below(folder), below, eight_bit=True)
    if len(series) != 1:
        reason = f" {refused[0].what}: {refused[0].reason}" if refused else ""
        raise InputError(f"The mask's folder holds {len(series)} series; one is needed.{reason}")
    mask, grid = load_mask(series[0], below)
    same = grid.geometry.shape == volume.geometry.shape
    if not same or np.abs(grid.geometry.affine - volume.geometry.affine).max() > SAME_MM:
        raise InputError(f"The mask's grid {grid.geometry.shape} is not the CT's {volume.geometry.shape}, or lies elsewhere.")
    if not mask.any():
        raise InputError("The mask is empty.")
    return mask
