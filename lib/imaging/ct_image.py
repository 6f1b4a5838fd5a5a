"""A new CT Image Storage data set (PS3.3 A.3), as the phantom and the generators write their slices."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import UID, CTImageStorage, ExplicitVRLittleEndian

INTERCEPT = -1024


def new_ct_image(instance_uid: UID) -> FileDataset:
    """An image without a patient, a place or pixels, explicit little endian, in UTF-8."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = CTImageStorage
    meta.MediaStorageSOPInstanceUID = instance_uid
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    ds.is_little_endian, ds.is_implicit_VR = True, False
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.SOPClassUID, ds.SOPInstanceUID = CTImageStorage, instance_uid
    ds.Modality = "CT"
    return ds


def place_slice(ds: Dataset, first_pixel: tuple[float, float, float], pixel_mm: float, slice_mm: float) -> None:
    """An axial slice, columns to the left and rows to the back. first_pixel: LPS mm."""
    ds.ImagePositionPatient = decimals(first_pixel)
    ds.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    ds.SliceLocation = decimals(first_pixel[2:])[0]
    ds.PixelSpacing = decimals((pixel_mm, pixel_mm))
    ds.SliceThickness = decimals((slice_mm,))[0]
    ds.SpacingBetweenSlices = ds.SliceThickness


def put_hu(ds: Dataset, hu: NDArray[np.floating[Any]] | NDArray[np.int16]) -> None:
    """Store hu (rows, columns), rounded, as 12 bits from -1024 to 3071."""
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.Rows, ds.Columns = hu.shape
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 12, 11, 0
    ds.RescaleIntercept, ds.RescaleSlope, ds.RescaleType = INTERCEPT, 1, "HU"
    ds.PixelData = np.clip(np.rint(hu) - INTERCEPT, 0, 4095).astype("<u2").tobytes()


def decimals(values: Sequence[float]) -> list[str]:
    """Decimal strings of at most 16 characters (PS3.5, VR DS)."""
    return [f"{value:.6f}" for value in values]
