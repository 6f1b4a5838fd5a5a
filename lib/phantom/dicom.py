"""Simulated slices as CT Image Storage (PS3.3 A.3), marked as synthetic in every way the standard has."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileDataset, FileMetaDataset
from pydicom.uid import UID, CTImageStorage, ExplicitVRLittleEndian, generate_uid

INTERCEPT = -1024
#: Synthetic Data (PS3.3 C.7.6.1), newer than pydicom 2.4's dictionary.
SYNTHETIC_DATA = 0x0008001C
MARK = "SIMULATED phantom, no patient: results say nothing about patients"


@dataclass(frozen=True)
class SeriesHeader:
    """What all slices of one series share. origin: LPS mm of the first pixel of the lowest slice. seed: for the UIDs."""

    patient_id: str
    issuer: str
    description: str
    pixel_mm: float
    slice_mm: float
    origin: tuple[float, float, float]
    slices: int
    seed: int

    def uid(self, *of_what: str) -> UID:
        """The UID of the study, the series, the frame of reference or an instance: the same for the same seed and patient."""
        return UID(
            generate_uid(entropy_srcs=["lesionlabel phantom", str(self.seed), self.description, self.patient_id, *of_what])
        )


def write_slice(path: Path, hu: NDArray[np.floating[Any]], index: int, header: SeriesHeader) -> None:
    """Write slice index, counted from the feet; hu: (rows, columns). Instances are numbered from the head, as scanners do."""
    instance_uid = header.uid("instance", str(index))
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = CTImageStorage
    meta.MediaStorageSOPInstanceUID = instance_uid
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    ds = FileDataset(str(path), {}, file_meta=meta, preamble=b"\0" * 128)
    ds.is_little_endian, ds.is_implicit_VR = True, False
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.SOPClassUID, ds.SOPInstanceUID = CTImageStorage, instance_uid
    _describe(ds, header)
    x, y, z = header.origin
    ds.InstanceNumber = header.slices - index
    ds.ImagePositionPatient = _decimals((x, y, z + index * header.slice_mm))
    ds.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    ds.SliceLocation = _decimals((z + index * header.slice_mm,))[0]
    ds.PixelSpacing = _decimals((header.pixel_mm, header.pixel_mm))
    ds.SliceThickness = _decimals((header.slice_mm,))[0]
    ds.SpacingBetweenSlices = ds.SliceThickness
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    ds.Rows, ds.Columns = hu.shape
    ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 12, 11, 0
    ds.RescaleIntercept, ds.RescaleSlope, ds.RescaleType = INTERCEPT, 1, "HU"
    ds.WindowCenter, ds.WindowWidth = 70, 260
    ds.PixelData = np.clip(np.rint(hu) - INTERCEPT, 0, 4095).astype("<u2").tobytes()
    ds.save_as(str(path), write_like_original=False)


def _describe(ds: Dataset, header: SeriesHeader) -> None:
    ds.ImageType = ["DERIVED", "SECONDARY", "AXIAL"]
    ds.add_new(SYNTHETIC_DATA, "CS", "YES")
    ds.StudyDate = ds.SeriesDate = ds.AcquisitionDate = ds.ContentDate = "20240101"
    ds.StudyTime = ds.SeriesTime = ds.AcquisitionTime = ds.ContentTime = "120000"
    ds.AccessionNumber = ds.StudyID = ""
    ds.ReferringPhysicianName = ""
    ds.Modality, ds.Manufacturer, ds.ManufacturerModelName = "CT", "LesionLabel", "Phantom (simulated)"
    ds.StudyDescription = "Simulated upper abdomen (phantom)"
    ds.SeriesDescription = header.description
    ds.ImageComments = MARK
    ds.DerivationDescription = MARK
    ds.PatientName = f"{header.patient_id}^Simulated"
    ds.PatientID, ds.IssuerOfPatientID = header.patient_id, header.issuer
    ds.PatientBirthDate = ds.PatientSex = ""
    ds.PatientPosition, ds.BodyPartExamined = "HFS", "ABDOMEN"
    ds.StudyInstanceUID, ds.SeriesInstanceUID = header.uid("study"), header.uid("series")
    ds.FrameOfReferenceUID, ds.PositionReferenceIndicator = header.uid("frame"), ""
    ds.SeriesNumber, ds.AcquisitionNumber = 2, 1
    ds.KVP = 120
    ds.ContrastBolusAgent, ds.ContrastBolusRoute = "simulated, portal venous phase", "Intravenous"
    purpose = Dataset()
    purpose.CodeValue, purpose.CodingSchemeDesignator = "109100", "DCM"
    purpose.CodeMeaning = "Synthesizing Equipment"
    equipment = Dataset()
    equipment.Manufacturer, equipment.ManufacturerModelName = "LesionLabel", "Phantom (simulated)"
    equipment.ContributionDescription = MARK
    equipment.PurposeOfReferenceCodeSequence = [purpose]
    ds.ContributingEquipmentSequence = [equipment]


def _decimals(values: Sequence[float]) -> list[str]:
    """Decimal strings of at most 16 characters (PS3.5, VR DS)."""
    return [f"{value:.6f}" for value in values]
