"""NIfTI and NRRD files in and out, by ITK (SimpleITK: the same readers, 0.2 s to start against 3 s, and no lock on threads)."""

from __future__ import annotations

import os
import re
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from lesionlabel.imaging.nifti_file import not_finite, whole_nifti
from lesionlabel.imaging.nifti_place import check_place
from lesionlabel.lesions.errors import InputError, NotCTError
from lesionlabel.lesions.volume import Geometry

#: File endings that are read, and ITK's reader for each. Both formats keep header and voxels in one file here.
READERS = {".nii.gz": "NiftiImageIO", ".nii": "NiftiImageIO", ".nrrd": "NrrdImageIO"}
MAX_SIDE = 4096
MAX_VOXELS = 2**30
#: Fewer slices are no volume: with two, uneven spacing cannot be seen.
MIN_SLICES = 3
#: Distances of neighbouring voxels in mm that a CT can have.
SPACING_MM = (0.05, 20.0)
#: Decimals of mm that are kept: what 32-bit floats cannot hold would differ between a series and the NIfTI made from it.
DECIMALS = 6

EIGHT_BIT = (sitk.sitkUInt8, sitk.sitkInt8)
INT16_RANGE = (-32768, 32767)
DETACHED_DATA = re.compile(rb"^data ?file:", re.IGNORECASE | re.MULTILINE)


def image_suffix(path: Path) -> str | None:
    """The ending of a NIfTI or NRRD file name, or None for any other."""
    name = path.name.casefold()
    return next((suffix for suffix in READERS if name.endswith(suffix)), None)


def check_size(slices: int, rows: int, columns: int) -> None:
    """Raise InputError unless the grid is a volume of a size that can be worked on."""
    if slices < MIN_SLICES:
        raise InputError(f"The image has {slices} slice(s); at least {MIN_SLICES} are needed. Import the whole series.")
    if min(rows, columns) < 4 or max(slices, rows, columns) > MAX_SIDE or slices * rows * columns > MAX_VOXELS:
        raise InputError(
            f"The image has {columns} × {rows} × {slices} voxels; allowed are at least 4 × 4 pixels, at most {MAX_SIDE} along "
            f"each axis and {MAX_VOXELS:,} voxels in all. Crop it."
        )


def check_spacing(geometry: Geometry) -> None:
    """Raise InputError unless the voxels have a size that a CT can have."""
    low, high = SPACING_MM
    if not np.all(np.isfinite(geometry.affine)) or any(not low <= mm <= high for mm in geometry.spacing):
        sizes = " × ".join(f"{mm:.4g}" for mm in geometry.spacing)
        raise InputError(f"Voxels are {sizes} mm; allowed are {low} to {high} mm. The file's geometry is wrong.")


def read_image(path: Path) -> tuple[NDArray[np.int16], Geometry]:
    """The voxels (slice, row, column) of a NIfTI or NRRD file, rounded and clipped to int16, and the grid as the file has it.

    Raises InputError when the file cannot be read, is not 3-D, has several components, a size that is not allowed, or a NIfTI
    header that gives its voxels no place or two; NotCTError for 8-bit voxels and for NaN or infinite values.
    """
    suffix = image_suffix(path)
    if suffix is None:
        raise InputError(f"{path.name} is no NIfTI or NRRD file by its name. Allowed: {', '.join(READERS)}.")
    if suffix == ".nrrd":
        _refuse_detached_data(path)
        return _read_with_itk(path, path, READERS[suffix])
    with whole_nifti(path) as plain:
        check_place(path, plain)
        return _read_with_itk(path, plain, READERS[suffix])


def _read_with_itk(path: Path, plain: Path, image_io: str) -> tuple[NDArray[np.int16], Geometry]:
    """Read the file plain; messages name path."""
    reader = sitk.ImageFileReader()
    reader.SetImageIO(image_io)
    reader.SetFileName(os.fspath(plain))
    try:
        reader.ReadImageInformation()
        _check_header(path, reader)
        image = reader.Execute()
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[-1].strip() if str(error).strip() else "unknown"
        raise InputError(f"{path.name} cannot be read, it may be damaged or cut short ({reason}).") from error
    return _to_int16(path, sitk.GetArrayFromImage(image)), _geometry(image)


def _refuse_detached_data(path: Path) -> None:
    """A NRRD header can name any other file as its data; only data in the file itself is read."""
    with path.open("rb") as file:
        header = file.read(65536).split(b"\n\n", 1)[0].replace(b"\r", b"")
    if DETACHED_DATA.search(header):
        raise InputError(f"{path.name} keeps its voxels in another file. Save it as one .nrrd file.")


def _check_header(path: Path, reader: sitk.ImageFileReader) -> None:
    size = reader.GetSize()
    if len(size) < 3 or any(n != 1 for n in size[3:]):
        raise InputError(f"{path.name} is {len(size)}-D ({' × '.join(map(str, size))}); a CT volume is 3-D. Export one volume.")
    if len(size) > 3:
        reader.SetExtractSize([*size[:3], *[0] * (len(size) - 3)])
    if reader.GetNumberOfComponents() != 1:
        raise NotCTError(f"{path.name} has {reader.GetNumberOfComponents()} components a voxel, a CT has one (HU).")
    if reader.GetPixelID() in EIGHT_BIT:
        raise NotCTError(f"{path.name} has 8-bit voxels: that cannot hold HU (-1024 to 3071). Export the original series.")
    columns, rows, slices = size[:3]
    check_size(slices, rows, columns)


def _to_int16(path: Path, values: NDArray[Any]) -> NDArray[np.int16]:
    if values.dtype == np.int16:
        return values
    if values.dtype.kind not in "iuf":
        raise NotCTError(f"{path.name} has voxels of type {values.dtype}; a CT has whole or real numbers (HU).")
    voxels = np.empty(values.shape, dtype=np.int16)
    for target, plane in zip(voxels, values, strict=True):
        if plane.dtype.kind == "f" and not np.all(np.isfinite(plane)):
            count = int(sum(np.count_nonzero(~np.isfinite(p)) for p in values))
            raise NotCTError(not_finite(path, count))
        target[...] = np.clip(np.rint(plane), *INT16_RANGE)
    return voxels


def _geometry(image: sitk.Image) -> Geometry:
    affine = np.eye(4)
    affine[:3, :3] = np.asarray(image.GetDirection()).reshape(3, 3) * np.asarray(image.GetSpacing())
    affine[:3, 3] = image.GetOrigin()
    columns, rows, slices = image.GetSize()
    geometry = Geometry((slices, rows, columns), np.round(affine, DECIMALS) + 0.0)
    check_spacing(geometry)
    return geometry


def _place(image: sitk.Image, geometry: Geometry) -> None:
    spacing = np.asarray(geometry.spacing)
    image.SetSpacing(spacing.tolist())
    image.SetDirection((geometry.affine[:3, :3] / spacing).ravel().tolist())
    image.SetOrigin(geometry.affine[:3, 3].tolist())


def stored_geometry(geometry: Geometry) -> Geometry:
    """The geometry as it comes back from a NIfTI file, whose header holds 32-bit floats.

    A DICOM series takes this geometry too, so that it and the NIfTI written from it give the same answers to the last bit.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = os.fspath(Path(folder) / "header.nii")
        for _ in range(8):
            image = sitk.Image(1, 1, 1, sitk.sitkInt16)
            _place(image, geometry)
            sitk.WriteImage(image, path)
            stored = Geometry(geometry.shape, _geometry(sitk.ReadImage(path)).affine)
            if np.array_equal(stored.affine, geometry.affine):
                break
            geometry = stored
    return geometry


def write_image(path: Path, voxels: NDArray[np.int16] | NDArray[np.uint8], geometry: Geometry, *, compress: bool = True) -> None:
    """Write voxels (slice, row, column) as a .nii.gz or .nrrd file that appears whole or not at all.

    The file is made in a hidden folder beside it and linked to its name, which directory watchers notice; a rename they
    do not. Raises FileExistsError when the name is taken.
    """
    waiting = path.parent / ".incoming"
    waiting.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=waiting, suffix=image_suffix(path))
    os.close(handle)
    try:
        image = sitk.GetImageFromArray(np.ascontiguousarray(voxels))
        _place(image, geometry)
        sitk.WriteImage(image, temporary, useCompression=compress)
        with Path(temporary).open("rb") as file:
            os.fsync(file.fileno())
        _appear(Path(temporary), path)
    finally:
        Path(temporary).unlink(missing_ok=True)


def _appear(temporary: Path, path: Path) -> None:
    try:
        os.link(temporary, path)
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links
        if path.exists():
            raise FileExistsError(path) from None
        os.replace(temporary, path)
