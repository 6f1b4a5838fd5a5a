"""The pixels of a ready-cut ROI: PNG, NumPy or DICOM, as HU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from lesionlabel.imaging.dicom import UNREADABLE, read_dataset
from lesionlabel.imaging.pixels import to_hu
from lesionlabel.imaging.synthetic_tags import is_synthetic
from lesionlabel.lesions.errors import InputError, NotCTError
from lesionlabel.lesions.roi import HU_WINDOW

MAX_SIDE = 4096
#: The brightest grey of each kind of PNG that is read.
GREYS = {"L": 255, "I;16": 65535}
HU_RANGE = (-4096, 32767)
#: What soft tissue, fat and contrast agent are in, and the share of a ROI that must be: a lesion fills a third of its own.
TISSUE_HU = (-200, 400)
TISSUE_SHARE = 0.1


def read_picture(path: Path) -> tuple[NDArray[np.float32], float | None]:
    """A ROI's HU, (rows, columns) float32, and the side of its pixels in mm where the file says it.

    PNG: 8- or 16-bit grey, its whole range [0, 255] or [0, 65535] mapped linearly onto HU_WINDOW. NumPy (.npy): HU. DICOM
    (any other name): stored values with their rescale. Raises InputError or NotCTError with the reason.
    """
    suffix = path.suffix.casefold()
    if suffix == ".png":
        hu, spacing = _read_png(path), None
    elif suffix == ".npy":
        hu, spacing = _read_npy(path), None
    else:
        hu, spacing = _read_dicom(path)
    if hu.ndim != 2 or min(hu.shape) < 4 or max(hu.shape) > MAX_SIDE:
        raise InputError(f"The ROI has shape {hu.shape}; allowed is a 2-D image of 4 to {MAX_SIDE} pixels a side.")
    if not np.all(np.isfinite(hu)):
        raise NotCTError("The ROI holds NaN or infinite values; HU must be finite.")
    if hu.min() < HU_RANGE[0] or hu.max() > HU_RANGE[1]:
        raise NotCTError(f"The ROI's values run from {hu.min():.4g} to {hu.max():.4g}; HU are within {HU_RANGE}.")
    tissue = float(np.mean((hu >= TISSUE_HU[0]) & (hu <= TISSUE_HU[1])))
    if tissue < TISSUE_SHARE:
        raise NotCTError(
            f"The ROI's values run from {hu.min():.4g} to {hu.max():.4g}, and only {tissue:.0%} of them are in {TISSUE_HU}, "
            "where tissue is: they are not on the HU scale (a rescale intercept of about -1024 is missing?)."
        )
    if np.ptp(hu) == 0:
        raise NotCTError(f"All pixels of the ROI are {hu.flat[0]:.4g}: it is empty.")
    return hu.astype(np.float32), spacing


def _read_png(path: Path) -> NDArray[Any]:
    try:
        with Image.open(path, formats=["PNG"]) as picture:
            if picture.mode not in GREYS:
                raise NotCTError(f"The PNG is of mode {picture.mode}; allowed is 8- or 16-bit grey without colours or alpha.")
            if max(picture.size) > MAX_SIDE:
                raise InputError(f"The PNG has {picture.size[0]} × {picture.size[1]} pixels; allowed are {MAX_SIDE} a side.")
            grey, brightest = np.asarray(picture, dtype=np.float64), GREYS[picture.mode]
    except InputError:
        raise
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise InputError(f"The PNG cannot be read: it is damaged or cut short ({type(error).__name__}).") from error
    low, high = HU_WINDOW
    return low + grey / brightest * (high - low)


def _read_npy(path: Path) -> NDArray[Any]:
    try:
        values = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise InputError(
            f"The NumPy file cannot be read: no .npy of plain numbers, or cut short ({type(error).__name__})."
        ) from error
    if not isinstance(values, np.ndarray) or values.dtype.kind not in "iuf" or values.dtype.itemsize < 2:
        raise NotCTError(
            f"The NumPy file holds {getattr(values, 'dtype', 'an archive')}; allowed are HU as int16 or wider, or float."
        )
    if values.size and values.dtype.kind == "f" and np.abs(values).max() <= 1.5:
        raise NotCTError(
            f"The values run from {values.min():.3g} to {values.max():.3g}: normalised. Give HU (water 0, air -1000)."
        )
    return values


def _read_dicom(path: Path) -> tuple[NDArray[Any], float | None]:
    dataset = read_dataset(path)
    try:
        modality, bits = str(dataset.get("Modality") or "missing"), int(dataset.BitsStored)
        spacing = [float(v) for v in dataset.get("PixelSpacing") or ()]
    except UNREADABLE as error:
        raise InputError(f"The DICOM header is damaged or cut short ({type(error).__name__}).") from error
    if modality != "CT" or bits <= 8:
        raise NotCTError(f"The DICOM file is of modality {modality} with {bits} bits; allowed is CT with more than 8 bits.")
    if is_synthetic(dataset):
        raise InputError("The DICOM file is marked as Synthetic Data (0008,001C): simulated, no patient's.")
    return to_hu(dataset), spacing[0] if spacing else None
