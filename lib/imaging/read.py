"""Any CT, whatever its form, as a volume: a NIfTI or NRRD file, or a folder with one DICOM series."""

from __future__ import annotations

from pathlib import Path

from lesionlabel.imaging.nifti import read_image
from lesionlabel.imaging.orientation import to_canonical
from lesionlabel.imaging.plausible import check_hu
from lesionlabel.imaging.series import files_below, find_series, load_series
from lesionlabel.imaging.sidecar import info_beside
from lesionlabel.lesions.errors import InputError, NotFoundError
from lesionlabel.lesions.volume import Volume


def read_volume(path: Path) -> Volume:
    """The CT in a NIfTI or NRRD file, or in a folder that holds one DICOM series (other files in it are passed over).

    Voxels are (slice, row, column) int16 HU, rounded and clipped, columns to the left, rows to the back, slices to the head;
    `native` is the file's own grid. Raises NotFoundError where there is nothing, InputError when it cannot be read or has a
    shape or spacing that is not allowed, NotCTError when it is no CT in HU.
    """
    if path.is_dir():
        return _read_folder(path)
    if not path.is_file():
        raise NotFoundError(f"There is no image at {path}.")
    voxels, native = read_image(path)
    check_hu(voxels)
    canonical, geometry = to_canonical(voxels, native)
    return Volume(canonical, geometry, native, info_beside(path))


def _read_folder(folder: Path) -> Volume:
    series, refused = find_series(files_below(folder), folder)
    if len(series) > 1:
        raise InputError(f"{folder.name} holds {len(series)} CT series; one is needed. Import the folder to take them apart.")
    if not series:
        first = f" The first file ({refused[0].what}): {refused[0].reason}" if refused else ""
        raise InputError(f"{folder.name} holds no CT series ({len(refused)} files passed over).{first}")
    return load_series(series[0], folder).volume
