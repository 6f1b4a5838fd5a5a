"""The HU of one DICOM slice: decoded, padding cleared, rescaled (PS3.3 C.11.1)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import FileDataset
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian, RLELossless

from lesionlabel.imaging.dicom import UNREADABLE, read_dataset
from lesionlabel.lesions.errors import InputError

AIR = -1024
INT16_RANGE = (-32768, 32767)


def read_hu(path: Path) -> NDArray[np.int16]:
    """The HU of a slice, (rows, columns), rounded and clipped to int16. Raises InputError when the file cannot be decoded."""
    return to_hu(read_dataset(path))


def to_hu(dataset: FileDataset) -> NDArray[np.int16]:
    """HU = slope · stored + intercept. Padding (0028,0120) that would lie below air becomes air, -1024 HU.

    Padding inside the scale is left alone: some archives declare 0 as padding where 0 HU is water.
    """
    stored = decode(dataset)
    try:
        values = _clear_unused_bits(dataset, stored)
        slope = float(_number(dataset, "RescaleSlope", 1))
        intercept = float(_number(dataset, "RescaleIntercept", 0))
        padding = _padding(dataset, stored)
    except UNREADABLE as error:
        raise InputError(f"Its bits, rescale or padding values are no numbers ({type(error).__name__}).") from error
    if slope == 0 or not np.isfinite([slope, intercept]).all():
        raise InputError(f"Its rescale slope {slope} and intercept {intercept} cannot give HU; a CT has slope 1 or near it.")
    hu = values * slope + intercept
    if padding is not None:
        hu[padding & (hu < AIR)] = AIR
    return np.clip(np.rint(hu), *INT16_RANGE).astype(np.int16)


def decode(dataset: FileDataset) -> NDArray[Any]:
    """The stored values, (rows, columns), by pydicom's own or pylibjpeg's decoder, whatever else is installed.

    Raises InputError when there are too few bytes or the transfer syntax is not decoded.
    """
    meta = dataset.file_meta
    if "TransferSyntaxUID" not in meta:
        meta.TransferSyntaxUID = ImplicitVRLittleEndian if dataset.is_implicit_VR else ExplicitVRLittleEndian
    syntax = meta.TransferSyntaxUID
    if "PixelData" not in dataset:
        raise InputError("It holds no pixels: the file is cut short.")
    name = getattr(syntax, "name", "more than one way")
    try:
        handler = "rle" if syntax == RLELossless else "pylibjpeg" if syntax.is_compressed else "numpy"
        wanted = int(dataset.Rows) * int(dataset.Columns) * (int(dataset.BitsAllocated) // 8)
        if not syntax.is_compressed and len(dataset.PixelData) < wanted:
            raise InputError(f"It holds {len(dataset.PixelData):,} of {wanted:,} bytes of pixels: the file is cut short.")
        dataset.convert_pixel_data(handler)
        stored = dataset.pixel_array
    except InputError:
        raise
    except UNREADABLE as error:
        raise InputError(
            f"Its pixels ({name}) cannot be decoded ({type(error).__name__}): damaged, cut short, or not supported."
        ) from error
    if stored.shape != (dataset.Rows, dataset.Columns):
        raise InputError(f"Its pixels have shape {stored.shape}, its header says {(dataset.Rows, dataset.Columns)}.")
    return stored


def _number(dataset: FileDataset, keyword: str, default: float) -> float:
    value = dataset.get(keyword)
    return default if value is None or value == "" else value


def _padding(dataset: FileDataset, stored: NDArray[Any]) -> NDArray[np.bool_] | None:
    """Where stored values are padding: Pixel Padding Value, or between it and Pixel Padding Range Limit."""
    first = dataset.get("PixelPaddingValue")
    if first is None or first == "":
        return None
    limit = dataset.get("PixelPaddingRangeLimit")
    ends = [int(first), int(first if limit is None or limit == "" else limit)]
    if dataset.PixelRepresentation == 1:  # written as unsigned although the pixels are signed
        ends = [value - 65536 if value > INT16_RANGE[1] else value for value in ends]
    return (stored >= min(ends)) & (stored <= max(ends))


def _clear_unused_bits(dataset: FileDataset, stored: NDArray[Any]) -> NDArray[np.float64]:
    """Values without what old archives keep above Bits Stored: overlays, or zeros where a negative sign belongs."""
    unused = int(dataset.BitsAllocated) - int(dataset.BitsStored)
    lowest = int(dataset.get("HighBit", dataset.BitsStored - 1)) == int(dataset.BitsStored) - 1
    if unused <= 0 or not lowest or int(dataset.BitsAllocated) != 16:
        return stored.astype(np.float64)
    if dataset.PixelRepresentation == 1:
        top = 1 << (int(dataset.BitsStored) - 1)
        unsigned_range = (stored >= top) & (stored < 2 * top)
        return np.where(unsigned_range, stored.astype(np.int32) - 2 * top, stored).astype(np.float64)
    tags = dataset.keys()  # not its elements: pydicom would read each of them
    if any(tag.group & 0xFF00 == 0x6000 and tag.element == 0x0102 and dataset[tag].value for tag in tags):
        return (stored & ((1 << int(dataset.BitsStored)) - 1)).astype(np.float64)
    return stored.astype(np.float64)
