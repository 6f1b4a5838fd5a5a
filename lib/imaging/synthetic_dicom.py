"""Synthetic ROIs as one CT series, marked as synthetic in every way the standard has."""

from __future__ import annotations

import io
import os
import shutil
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.uid import UID, generate_uid

from lesionlabel import __version__
from lesionlabel.imaging.ct_image import new_ct_image, place_slice, put_hu
from lesionlabel.imaging.synthetic import WORD, WORDS, SyntheticMark
from lesionlabel.imaging.synthetic_pixels import HIGH, LOW, burn_in, to_hu
from lesionlabel.imaging.synthetic_tags import GENERATOR_MODEL, mark_synthetic
from lesionlabel.lesions.errors import InputError
from lesionlabel.lesions.files import sync, write_atomically
from lesionlabel.lesions.roi import ROI_SIZE

#: Side of a voxel in mm. Arbitrary, as for NIfTI: a ROI was scaled to its lesion, so its pixels have no size.
VOXEL_MM = 1.0
#: Longest value of VR LO.
LO_LENGTH = 64


def write_dicom_series(folder: Path, images: NDArray[np.float32], mark: SyntheticMark, burn: bool = False) -> list[Path]:
    """Write ROIs (n, 64, 64) in [0, 1] as the slices of one series, one file each, and return their paths in that order.

    folder: new or empty; it appears whole. burn: with SYNTHETIC burnt into the pixels. UIDs follow from the mark, burn and
    the image's number: the same images give the same files. Raises InputError for other images or a folder that holds files.
    """
    hu = to_hu(burn_in(images) if burn else images)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"{folder} exists and is not empty. Give a new folder, so that two series never mix.")
    folder.parent.mkdir(parents=True, exist_ok=True)
    making = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    try:
        names = [f"{mark.stem}-{index:05d}.dcm" for index in range(len(hu))]
        for index, (name, plane) in enumerate(zip(names, hu, strict=True)):
            write_atomically(making / name, _slice(plane, index, mark, burn))
        sync(making)
        os.replace(making, folder)
    finally:
        shutil.rmtree(making, ignore_errors=True)
    return [folder / name for name in names]


def _slice(hu: NDArray[np.int16], index: int, mark: SyntheticMark, burn: bool) -> bytes:
    def uid(*of_what: str) -> UID:
        made_from = (mark.sha256, mark.generator, mark.version, mark.label, mark.seed, mark.first, mark.truncation, burn)
        return UID(generate_uid(entropy_srcs=["lesionlabel synthetic", *map(str, made_from), *of_what]))

    ds = new_ct_image(uid("instance", str(index)))
    mark_synthetic(ds, GENERATOR_MODEL, f"{mark.text}{', SYNTHETIC burnt into the pixels' if burn else ''}")
    _describe(ds, mark)
    ds.StudyInstanceUID, ds.SeriesInstanceUID = uid("study"), uid("series")
    ds.FrameOfReferenceUID, ds.PositionReferenceIndicator = uid("frame"), ""
    ds.InstanceNumber = index + 1
    corner = -(ROI_SIZE - 1) / 2 * VOXEL_MM
    place_slice(ds, (corner, corner, index * VOXEL_MM), VOXEL_MM, VOXEL_MM)
    put_hu(ds, hu)
    ds.WindowCenter, ds.WindowWidth = int((LOW + HIGH) / 2), int(HIGH - LOW)
    # It tells of what identifies a patient (PS3.3 C.7.6.1), which the word SYNTHETIC does not.
    ds.BurnedInAnnotation = ds.RecognizableVisualFeatures = "NO"
    content = io.BytesIO()
    ds.save_as(content, write_like_original=False)
    return content.getvalue()


def _describe(ds: Dataset, mark: SyntheticMark) -> None:
    ds.SoftwareVersions = f"lesionlabel {__version__}"[:LO_LENGTH]
    ds.ContributingEquipmentSequence[0].SoftwareVersions = f"{mark.generator} {mark.version}"[:LO_LENGTH]
    ds.PatientName, ds.PatientID, ds.IssuerOfPatientID = f"{WORD}^No patient", WORD, "LesionLabel generator"
    ds.PatientBirthDate = ds.PatientSex = ""
    # Nothing was acquired, so there is no date; DICOM allows none here.
    ds.StudyDate = ds.StudyTime = ds.AccessionNumber = ds.ReferringPhysicianName = ""
    ds.StudyID = WORD
    ds.StudyDescription = WORDS
    ds.SeriesDescription = f"{WORDS}: {mark.label}"[:LO_LENGTH]
    ds.PatientPosition, ds.BodyPartExamined = "HFS", "LIVER"
    ds.SeriesNumber, ds.AcquisitionNumber = 1, ""
    ds.KVP = ""
