"""Segmentations on the pixels of their own series: where they lie, what they say, whose they are."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from pydicom.config import IGNORE
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid
from pydicom.valuerep import DSfloat

from lesionlabel.imaging.codes import LESION, class_code
from lesionlabel.imaging.dicom_seg import Algorithm, Segment, frames_of, make_segmentation
from lesionlabel.imaging.result_instance import Reference, ResultInstance
from lesionlabel.imaging.series import find_series, load_series
from lesionlabel.imaging.source_series import SourceSeries, source_series
from lesionlabel.lesions.classes import DEFAULT_CLASSES
from lesionlabel.lesions.contour import contour_from_mask
from lesionlabel.lesions.errors import InputError
from lesionlabel.lesions.volume import Volume

CYST = class_code(DEFAULT_CLASSES.classes[0])
TILTED = (0.9396926208, 0.3213938048, 0.1169777784, -0.3420201433, 0.8830222216, 0.3213938048)
ORIENTATIONS = {
    "axial": (1, 0, 0, 0, 1, 0),
    "head first, columns to the right": (-1, 0, 0, 0, 1, 0),
    "rows and columns exchanged": (0, 1, 0, 1, 0, 0),
    "upside down": (1, 0, 0, 0, -1, 0),
    "oblique": TILTED,
}


def instance(**changes: Any) -> ResultInstance:
    made = ResultInstance(
        series_uid=generate_uid(),
        sop_uid=generate_uid(),
        series_number=9001,
        version=1,
        what="reader's outlines",
        said_at=datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC),
        device_uid="2.25.77",
    )
    return replace(made, **changes)


def opened(series: Any) -> tuple[SourceSeries, Volume]:
    found, _ = find_series(series.files, series.folder)
    return source_series(series.files), load_series(found[0], series.folder).volume


def two_lesions(volume: Volume) -> list[NDArray[np.int64]]:
    """Voxels (i, j, k) of a ragged block over three slices, and of one pixel in the last slice."""
    block = np.array([(i, j, k) for k in (1, 2, 3) for j in (4, 5, 6, 7) for i in (3, 4, 5) if (i + j + k) % 5])
    return [block, np.array([[7, 2, volume.geometry.shape[0] - 1]])]


def segment(source: SourceSeries, volume: Volume, voxels: NDArray[np.int64], **changes: Any) -> Segment:
    made = Segment(source.pixels_of(voxels, volume.geometry), "cyst", CYST, "Lesion 1", generate_uid())
    return replace(made, **changes)


def reread(ds: Dataset, folder: Path) -> pydicom.FileDataset:
    ds.save_as(folder / "result.dcm", write_like_original=False)
    return pydicom.dcmread(folder / "result.dcm")


def pixels_in_the_patient(ds: Dataset, number: int) -> NDArray[np.float64]:
    """LPS mm of every pixel of a segment, from what the file says of its frames alone."""
    found, shared = [], ds.SharedFunctionalGroupsSequence[0]
    orientation = np.array(shared.PlaneOrientationSequence[0].ImageOrientationPatient, dtype=float)
    row_mm, column_mm = (float(v) for v in shared.PixelMeasuresSequence[0].PixelSpacing)
    frames = ds.pixel_array.reshape(-1, ds.Rows, ds.Columns)
    for at in frames_of(ds, number):
        corner = np.array(ds.PerFrameFunctionalGroupsSequence[at - 1].PlanePositionSequence[0].ImagePositionPatient, dtype=float)
        rows, columns = np.nonzero(frames[at - 1])
        found.append(corner + np.outer(columns * column_mm, orientation[:3]) + np.outer(rows * row_mm, orientation[3:]))
    return np.concatenate(found)


@pytest.mark.parametrize("orientation", ORIENTATIONS.values(), ids=ORIENTATIONS)
def test_a_segment_lies_where_its_voxels_lie(
    orientation: tuple[float, ...], write_series: Callable[..., Any], tmp_path: Path
) -> None:
    series = write_series(orientation=orientation, spacing=(0.75, 0.75, 3.1))
    source, volume = opened(series)
    lesions = two_lesions(volume)
    segments = [segment(source, volume, voxels) for voxels in lesions]
    ds = reread(make_segmentation(source, segments, instance()), tmp_path)
    slices = {str(header.SOPInstanceUID): header for header in map(pydicom.dcmread, series.files)}
    frames = ds.pixel_array.reshape(-1, ds.Rows, ds.Columns)
    for number, voxels in enumerate(lesions, start=1):
        expected = volume.geometry.to_lps(voxels)
        place = pixels_in_the_patient(ds, number)
        assert len(place) == len(voxels)
        assert max(np.linalg.norm(place - point, axis=1).min() for point in expected) < 1e-3
        # No two pixels of the body are alike: the densities under the frames are those of the voxels.
        under = []
        for at in frames_of(ds, number):
            image = ds.PerFrameFunctionalGroupsSequence[at - 1].DerivationImageSequence[0].SourceImageSequence[0]
            under += slices[str(image.ReferencedSOPInstanceUID)].pixel_array[frames[at - 1] == 1].tolist()
        assert sorted(under) == sorted(volume.voxels[voxels[:, 2], voxels[:, 1], voxels[:, 0]].tolist())
    referenced = {str(item.ReferencedSOPInstanceUID) for item in ds.ReferencedSeriesSequence[0].ReferencedInstanceSequence}
    assert len(referenced) == 4


def test_an_outline_goes_into_its_slice_where_it_lies(write_series: Callable[..., Any]) -> None:
    series = write_series(orientation=TILTED)
    source, volume = opened(series)
    mask = np.zeros(volume.voxels.shape[1:], dtype=bool)
    mask[3:9, 4:8] = True
    contour = contour_from_mask(mask, 4)
    number, points = source.outline(contour, volume.geometry)
    header = source.headers([number])[0]
    orientation = np.array(header.ImageOrientationPatient, dtype=float)
    row_mm, column_mm = (float(v) for v in header.PixelSpacing)
    # The corner of the first pixel is 0\0 (PS3.3 C.18.6.1.1), its middle is at Image Position.
    place = np.array(header.ImagePositionPatient, dtype=float)
    place = (
        place
        + np.outer((points[:, 0] - 0.5) * column_mm, orientation[:3])
        + np.outer((points[:, 1] - 0.5) * row_mm, orientation[3:])
    )
    expected = volume.geometry.to_lps(np.column_stack([contour.points, np.full(len(contour.points), 4)]))
    assert np.abs(place[:-1] - expected).max() < 1e-3
    assert np.array_equal(points[0], points[-1])


def test_voxels_of_another_grid_are_refused(write_series: Callable[..., Any]) -> None:
    source, volume = opened(write_series())
    geometry = volume.geometry
    moved = geometry.affine.copy()
    moved[0, 3] += 0.3
    other = replace(geometry, affine=moved)
    with pytest.raises(InputError, match="not the pixels of its DICOM series"):
        source.pixels_of(np.array([[1, 1, 1]]), other)
    with pytest.raises(InputError, match="not the pixels of its DICOM series"):
        source.pixels_of(np.array([[1, 1, geometry.shape[0]]]), geometry)


def test_slices_that_changed_since_are_refused(write_series: Callable[..., Any]) -> None:
    series = write_series()
    source, _ = opened(series)
    for path in series.files:
        header = pydicom.dcmread(path)
        header.ImagePositionPatient = [-9, -7.5, float(header.ImagePositionPatient[2]) + 40]
        header.save_as(path)
    with pytest.raises(InputError, match="not what it was"):
        source.headers([0])


@pytest.mark.parametrize(("offset", "date", "time"), [("+0900", "20260304", "140607"), ("-0530", "20260303", "233607")])
def test_times_are_those_of_the_decision_in_the_offset_of_the_series(
    offset: str, date: str, time: str, write_series: Callable[..., Any]
) -> None:
    series = write_series()
    for path in series.files:
        header = pydicom.dcmread(path)
        header.TimezoneOffsetFromUTC, header.StudyTime = offset, "101112"
        header.save_as(path)
    source, volume = opened(series)
    ds = make_segmentation(source, [segment(source, volume, two_lesions(volume)[0])], instance())
    assert (ds.TimezoneOffsetFromUTC, str(ds.StudyTime)) == (offset, "101112")
    assert (ds.ContentDate.strftime("%Y%m%d"), ds.ContentTime.strftime("%H%M%S")) == (date, time)


def test_without_an_offset_times_are_local_as_those_of_the_series(write_series: Callable[..., Any]) -> None:
    source, volume = opened(write_series())
    said = instance()
    ds = make_segmentation(source, [segment(source, volume, two_lesions(volume)[0])], said)
    assert "TimezoneOffsetFromUTC" not in ds
    assert ds.ContentTime.strftime("%H%M%S") == said.said_at.astimezone().strftime("%H%M%S")


def test_segments_say_what_they_are_and_what_drew_them(write_series: Callable[..., Any], tmp_path: Path) -> None:
    source, volume = opened(write_series())
    drawn = two_lesions(volume)
    algorithm = Algorithm("LesionLabel segmenter", "0.1.0", (("weights-sha256", "abc"),))
    by_hand = segment(source, volume, drawn[0], tracking_uid="2.25.5")
    clicked = segment(source, volume, drawn[1], algorithm=algorithm, kind=LESION, label="Lesion 2", tracking_id="Lesion 2")
    ds = reread(make_segmentation(source, [by_hand, clicked], instance()), tmp_path)
    first, second = ds.SegmentSequence
    assert [s.SegmentAlgorithmType for s in ds.SegmentSequence] == ["MANUAL", "SEMIAUTOMATIC"]
    kind, category = first.SegmentedPropertyTypeCodeSequence[0], first.SegmentedPropertyCategoryCodeSequence[0]
    assert (kind.CodeValue, kind.CodingSchemeDesignator, kind.CodeMeaning) == ("85057007", "SCT", "Cyst of liver")
    assert (category.CodeValue, category.CodingSchemeDesignator) == ("49755003", "SCT")
    assert first.AnatomicRegionSequence[0].CodeValue == "10200004"
    assert (first.TrackingID, first.TrackingUID, second.TrackingID) == ("Lesion 1", "2.25.5", "Lesion 2")
    assert "SegmentAlgorithmName" not in first
    named = second.SegmentationAlgorithmIdentificationSequence[0]
    assert (second.SegmentAlgorithmName, named.AlgorithmName, named.AlgorithmVersion) == ("LesionLabel segmenter",) * 2 + (
        "0.1.0",
    )
    assert "abc" in str(named.AlgorithmParameters)
    assert (ds.SegmentationType, ds.BitsAllocated) == ("BINARY", 1)
    assert ds.SeriesDescription == "RESEARCH reader's outlines (not for clinical use)"
    assert ds.ContentDescription.startswith("RESEARCH, not for clinical use")
    assert (ds.Manufacturer, ds.ContentLabel) == ("LesionLabel", "RESEARCH")


def test_outlines_that_overlap_are_both_kept_whole(write_series: Callable[..., Any], tmp_path: Path) -> None:
    source, volume = opened(write_series())
    first = two_lesions(volume)[0]
    second = np.concatenate([first[:5], [[9, 9, 2]]])
    ds = reread(make_segmentation(source, [segment(source, volume, v) for v in (first, second)], instance()), tmp_path)
    assert [len(pixels_in_the_patient(ds, number)) for number in (1, 2)] == [len(first), len(second)]


def test_patient_and_study_are_those_of_the_series(write_series: Callable[..., Any], tmp_path: Path) -> None:
    said = {
        "SpecificCharacterSet": "ISO_IR 100",
        "PatientName": "Müller^Jörg",
        "PatientID": "0815/ä",
        "IssuerOfPatientID": "Haus",
        "PatientBirthDate": "19600230",  # no such day: real archives have it
        "PatientSex": "W",  # and no such sex
        "StudyID": "7",
        "StudyDate": "20260102",
        "StudyTime": "101112",
        "AccessionNumber": "A1",
        "ReferringPhysicianName": "Größe^Dr.",
        "StudyDescription": "CT Oberbauch",
        "PatientAge": "066Y",
    }
    source, volume = opened(write_series(**said))
    ds = reread(make_segmentation(source, [segment(source, volume, two_lesions(volume)[0])], instance()), tmp_path)
    assert {keyword: str(ds[keyword].value) for keyword in said} == {**said, "SpecificCharacterSet": "ISO_IR 192"}
    assert (ds.StudyInstanceUID, ds.FrameOfReferenceUID) == (source.study_uid, source.study_uid)
    assert ds.SeriesInstanceUID != source.series_uid


def test_a_series_that_names_nobody_gives_a_result_that_names_nobody(write_series: Callable[..., Any], tmp_path: Path) -> None:
    def bare(ds: Dataset, _: int) -> None:
        del ds.PatientID, ds.PatientName, ds.FrameOfReferenceUID

    source, volume = opened(write_series(change=bare))
    ds = reread(make_segmentation(source, [segment(source, volume, two_lesions(volume)[0])], instance()), tmp_path)
    assert (ds.PatientID, ds.PatientName, ds.StudyDate, ds.PatientSex) == ("", "", "", "")
    assert "FrameOfReferenceUID" not in ds


def test_a_later_version_names_the_one_it_replaces(write_series: Callable[..., Any], tmp_path: Path) -> None:
    source, volume = opened(write_series())
    before = Reference(source.study_uid, "2.25.1", "1.2.840.10008.5.1.4.1.1.66.4", "2.25.2")
    made = instance(version=2, replaces=before)
    ds = reread(make_segmentation(source, [segment(source, volume, two_lesions(volume)[0])], made), tmp_path)
    (earlier,) = ds.ReferencedInstanceSequence
    assert (earlier.ReferencedSOPInstanceUID, earlier.PurposeOfReferenceCodeSequence[0].CodeValue) == ("2.25.2", "REPLACES")
    assert (ds.InstanceNumber, ds.ContentDescription[-9:]) == (2, "version 2")
    assert ds.CodingSchemeIdentificationSequence[0].CodingSchemeDesignator == "99LESIONLABEL"


def test_a_segmentation_of_nothing_is_refused(write_series: Callable[..., Any]) -> None:
    source, volume = opened(write_series())
    with pytest.raises(InputError, match="at least one pixel"):
        make_segmentation(source, [segment(source, volume, np.zeros((0, 3), dtype=np.int64))], instance())


@pytest.fixture
def checked(write_series: Callable[..., Any], tmp_path: Path) -> Callable[..., pydicom.FileDataset]:
    """A function that writes result.dcm with all that a segmentation may have, and gives it as read."""

    # A spacing of more digits than a decimal string may have, as in the real CT.
    def long_decimals(ds: Dataset, _: int) -> None:
        ds.SpacingBetweenSlices = DSfloat("1.6000000238418579", validation_mode=IGNORE)

    def write(simulated: bool = False) -> pydicom.FileDataset:
        series = write_series(
            spacing=(0.742999970912933, 0.742999970912933, 1.6), change=long_decimals, FrameOfReferenceUID=generate_uid()
        )
        source, volume = opened(series)
        algorithm = Algorithm("LesionLabel segmenter", "0.1.0")
        segments = [
            segment(source, volume, voxels, algorithm=a) for voxels, a in zip(two_lesions(volume), (None, algorithm), strict=True)
        ]
        before = Reference(source.study_uid, "2.25.1", "1.2.840.10008.5.1.4.1.1.66.4", "2.25.2")
        return reread(make_segmentation(source, segments, instance(simulated=simulated, replaces=before)), tmp_path)

    return write


@pytest.mark.parametrize("simulated", [False, True])
def test_the_checker_finds_no_error(simulated: bool, checked: Callable[..., Dataset], tmp_path: Path, dciodvfy: str) -> None:
    ds = checked(simulated)
    printed = subprocess.run([dciodvfy, str(tmp_path / "result.dcm")], capture_output=True, text=True, check=False)
    lines = (printed.stdout + printed.stderr).splitlines()
    assert "Segmentation" in lines
    # Synthetic Data came into the standard after the checker that Debian ships.
    assert [line for line in lines if line.startswith("Error") and "(0x0008,0x001c)" not in line] == []
    assert (ds.get(0x0008001C) is not None) == simulated
    assert ds.SeriesDescription.startswith("SIMULATED reader's outlines (no patient)" if simulated else "RESEARCH")


@pytest.mark.parametrize("simulated", [False, True])
def test_dicom_validator_finds_no_error(
    simulated: bool, checked: Callable[..., Dataset], tmp_path: Path, dicom_validator: Callable[[Path], list[str]]
) -> None:
    checked(simulated)
    # Synthetic Data came into the standard after 2020, the year of the tables.
    assert dicom_validator(tmp_path / "result.dcm") == (["(0008,001C) TagUnexpected"] if simulated else [])


def test_dicom_validator_names_what_is_wrong(
    checked: Callable[..., Dataset], tmp_path: Path, dicom_validator: Callable[[Path], list[str]]
) -> None:
    ds = checked()
    del ds.ContentLabel, ds.SegmentSequence[0].SegmentLabel
    ds.SharedFunctionalGroupsSequence[0].FrameContentSequence = ds.PerFrameFunctionalGroupsSequence[0].FrameContentSequence
    for frame in ds.PerFrameFunctionalGroupsSequence:
        del frame.FrameContentSequence, frame.SegmentIdentificationSequence[0].ReferencedSegmentNumber
    ds.SegmentSequence[0].SegmentAlgorithmType = "GUESSED"
    ds.KVP = 120
    reread(ds, tmp_path)
    assert set(dicom_validator(tmp_path / "result.dcm")) == {
        "(0070,0080) TagMissing",
        "(0062,0002)/(0062,0005) TagMissing",
        "(0062,0002)/(0062,0008) EnumValueNotAllowed",
        # What is not drawn by hand has an algorithm's name.
        "(0062,0002)/(0062,0009) TagMissing",
        "(5200,9229)/(0020,9111) TagNotAllowed",
        "(5200,9230)/(0020,9111) TagMissing",
        "(5200,9230)/(0062,000A)/(0062,000B) TagMissing",
        "(0018,0060) TagUnexpected",
    }
