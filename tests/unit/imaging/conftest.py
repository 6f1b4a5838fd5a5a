"""Small CT series as real DICOM files, and volumes as NIfTI and NRRD."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
from numpy.typing import NDArray
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian, generate_uid

from lesionlabel.imaging.identity import Identity
from lesionlabel.imaging.importer import ImportReport, import_studies
from lesionlabel.imaging.synthetic import SyntheticMark
from lesionlabel.lesions.roi import cut_roi
from lesionlabel.phantom.cohort import make_cohort

CT_IMAGE = UID("1.2.840.10008.5.1.4.1.1.2")
SLICES, ROWS, COLUMNS = 6, 20, 24
SPACING = (0.75, 0.75, 2.5)


@dataclass(frozen=True)
class WrittenSeries:
    folder: Path
    files: list[Path]
    hu: NDArray[np.int16]
    series_uid: str
    study_uid: str


@pytest.fixture
def body() -> NDArray[np.int16]:
    """HU of a small body: air outside, soft tissue with noise, a bright vessel off the middle; no two slices alike."""
    rng = np.random.default_rng(5)
    y, x = np.mgrid[:ROWS, :COLUMNS]
    inside = ((x - 11.5) / 10) ** 2 + ((y - 9.5) / 8) ** 2 <= 1
    hu = np.where(inside, rng.normal(100, 15, (SLICES, ROWS, COLUMNS)), -1000)
    hu[:, 5:8, 6:9] = 170 + 3 * np.arange(SLICES)[:, None, None]
    return np.rint(hu).astype(np.int16)


@pytest.fixture
def write_series(tmp_path: Path, body: NDArray[np.int16]) -> Callable[..., WrittenSeries]:
    """A function that writes a CT series without file extensions, instances in shuffled order.

    change(dataset, number) edits a slice before it is written.
    """

    def write(
        name: str = "series",
        *,
        hu: NDArray[np.int16] | None = None,
        change: Callable[[FileDataset, int], Any] | None = None,
        orientation: tuple[float, ...] = (1, 0, 0, 0, 1, 0),
        origin: tuple[float, float, float] = (-9.0, -7.5, 30.0),
        spacing: tuple[float, float, float] = SPACING,
        study_uid: str = "",
        series_uid: str = "",
        **elements: Any,
    ) -> WrittenSeries:
        values = body if hu is None else hu
        folder = tmp_path / name
        folder.mkdir(parents=True, exist_ok=True)
        study, series = study_uid or generate_uid(), series_uid or generate_uid()
        normal = np.cross(orientation[:3], orientation[3:])
        files = []
        for number, plane in enumerate(values):
            dataset = _slice(plane, study, series)
            place = np.asarray(origin) + normal * spacing[2] * number
            dataset.ImagePositionPatient = [f"{v:.6f}" for v in place]
            dataset.ImageOrientationPatient = [f"{v:.10f}" for v in orientation]
            dataset.PixelSpacing = [spacing[1], spacing[0]]
            dataset.InstanceNumber = (number * 5) % len(values)
            for keyword, value in elements.items():
                setattr(dataset, keyword, value)
            if change is not None:
                change(dataset, number)
            path = folder / f"IM_{(number * 5) % len(values):04d}"
            dataset.save_as(path, write_like_original=False)
            files.append(path)
        return WrittenSeries(folder, files, values, series, study)

    return write


def _slice(hu: NDArray[np.int16], study: str, series: str) -> FileDataset:
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = CT_IMAGE
    meta.MediaStorageSOPInstanceUID = generate_uid()
    dataset = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    dataset.is_little_endian, dataset.is_implicit_VR = True, False
    dataset.SOPClassUID, dataset.SOPInstanceUID = CT_IMAGE, meta.MediaStorageSOPInstanceUID
    dataset.Modality, dataset.ImageType = "CT", ["ORIGINAL", "PRIMARY", "AXIAL"]
    dataset.PatientID, dataset.PatientName = "4711", "Muster^Erika"
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = study, series
    dataset.FrameOfReferenceUID = study
    dataset.SliceThickness = 2.5
    dataset.Rows, dataset.Columns = hu.shape
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 16, 16, 15, 1
    dataset.RescaleSlope, dataset.RescaleIntercept = 1, 0
    dataset.PixelData = np.ascontiguousarray(hu).tobytes()
    return dataset


@pytest.fixture
def write_file(tmp_path: Path, body: NDArray[np.int16]) -> Callable[..., Path]:
    """A function that writes voxels (slice, row, column) as NIfTI or NRRD, LPS geometry given as for ITK."""

    def write(
        name: str = "case.nii.gz",
        *,
        voxels: NDArray[Any] | None = None,
        direction: tuple[float, ...] = (1, 0, 0, 0, 1, 0, 0, 0, 1),
        origin: tuple[float, float, float] = (-9.0, -7.5, 30.0),
        spacing: tuple[float, float, float] = SPACING,
        vector: bool = False,
    ) -> Path:
        image = sitk.GetImageFromArray(body if voxels is None else voxels, isVector=vector)
        if image.GetDimension() == 3:
            image.SetDirection(direction)
            image.SetOrigin(origin)
            image.SetSpacing(spacing)
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        sitk.WriteImage(image, str(path))
        return path

    return write


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., ImportReport]:
    """Import from a folder below tmp_path into tmp_path/studies."""

    def run(source: Path, **options: Any) -> ImportReport:
        return import_studies(source, tmp_path / "studies", Identity(tmp_path / "home"), **options)

    return run


@pytest.fixture(scope="session")
def rois() -> NDArray[np.float32]:
    """Six ROIs of phantom lesions, (6, 64, 64) in [0, 1]: what a good generator's look like, to import as well."""
    cohort = make_cohort({"cyst": 3, "metastasis": 3}, seed=6)
    return np.array([cut_roi(lesion.context) for lesion in cohort])


@pytest.fixture(scope="session")
def mark() -> SyntheticMark:
    return SyntheticMark("cyst", "gan_cyst", "20260101T000000Z-0123abcd", "5e" * 32, 7, 40, "patients", truncation=0.7)
