"""Simulated slices as CT Image Storage (PS3.3 A.3), marked as synthetic in every way the standard has."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.uid import UID, generate_uid

from lesionlabel.imaging.ct_image import new_ct_image, place_slice, put_hu
from lesionlabel.imaging.synthetic_tags import mark_synthetic

MODEL = "Phantom (simulated)"
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
    ds = new_ct_image(header.uid("instance", str(index)))
    mark_synthetic(ds, MODEL, MARK)
    _describe(ds, header)
    x, y, z = header.origin
    ds.InstanceNumber = header.slices - index
    place_slice(ds, (x, y, z + index * header.slice_mm), header.pixel_mm, header.slice_mm)
    put_hu(ds, hu)
    ds.WindowCenter, ds.WindowWidth = 70, 260
    ds.save_as(str(path), write_like_original=False)


def _describe(ds: Dataset, header: SeriesHeader) -> None:
    ds.StudyDate = ds.SeriesDate = ds.AcquisitionDate = ds.ContentDate = "20240101"
    ds.StudyTime = ds.SeriesTime = ds.AcquisitionTime = ds.ContentTime = "120000"
    ds.AccessionNumber = ds.StudyID = ""
    ds.ReferringPhysicianName = ""
    ds.StudyDescription = "Simulated upper abdomen (phantom)"
    ds.SeriesDescription = header.description
    ds.PatientName = f"{header.patient_id}^Simulated"
    ds.PatientID, ds.IssuerOfPatientID = header.patient_id, header.issuer
    ds.PatientBirthDate = ds.PatientSex = ""
    ds.PatientPosition, ds.BodyPartExamined = "HFS", "ABDOMEN"
    ds.StudyInstanceUID, ds.SeriesInstanceUID = header.uid("study"), header.uid("series")
    ds.FrameOfReferenceUID, ds.PositionReferenceIndicator = header.uid("frame"), ""
    ds.SeriesNumber, ds.AcquisitionNumber = 2, 1
    ds.KVP = 120
    ds.ContrastBolusAgent, ds.ContrastBolusRoute = "simulated, portal venous phase", "Intravenous"
