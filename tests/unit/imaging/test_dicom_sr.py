"""Reports of lesions: every value read back, who says it, and what it replaces."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from highdicom.sr import CodedConcept, MeasurementReport, srread
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

from lesionlabel.imaging import codes
from lesionlabel.imaging.dicom_seg import Algorithm, Segment, make_segmentation
from lesionlabel.imaging.dicom_sr import ReportedLesion, Said, make_report
from lesionlabel.imaging.result_instance import Reference, ResultInstance, reference_to
from lesionlabel.imaging.series import find_series, load_series
from lesionlabel.imaging.source_series import SourceSeries, source_series
from lesionlabel.lesions.classes import DEFAULT_CLASSES, LesionClass
from lesionlabel.lesions.contour import contour_from_mask
from lesionlabel.lesions.lesion import Proof
from lesionlabel.lesions.percent import never_certain, whole_percent

CLASSIFIER = Algorithm("LesionLabel lesion classifier", "20260101T000000Z-0123abcd", (("weights-sha256", "5e5e"),))
CLOSED = "Chooses only among cyst, metastasis and hemangioma; HCC, abscess, FNH and others will be misnamed."
CYST, METASTASIS, _ = DEFAULT_CLASSES


def instance(**changes: Any) -> ResultInstance:
    made = ResultInstance(
        generate_uid(), generate_uid(), 9002, 1, "model's prediction", datetime(2026, 3, 4, tzinfo=UTC), "2.25.77"
    )
    return replace(made, **changes)


@dataclass
class Written:
    """Two lesions of a small series: one over three slices, one in a single one."""

    source: SourceSeries
    segmentation: Dataset
    lesions: list[ReportedLesion]


@pytest.fixture
def written(write_series: Callable[..., Any]) -> Written:
    series = write_series(orientation=(1, 0, 0, 0, -1, 0))
    source = source_series(series.files)
    found, _ = find_series(series.files, series.folder)
    volume = load_series(found[0], series.folder).volume
    blocks = [(slice(1, 4), slice(4, 10), slice(3, 7)), (slice(5, 6), slice(2, 6), slice(9, 13))]
    segments, lesions = [], []
    for number, block in enumerate(blocks, start=1):
        mask = np.zeros(volume.voxels.shape, dtype=bool)
        mask[block] = True
        k = block[0].start
        contour = contour_from_mask(mask[k], k)
        slice_number, outline = source.outline(contour, volume.geometry)
        uid = f"2.25.{number}"
        voxels = np.argwhere(mask)[:, ::-1]
        kind = codes.class_code(METASTASIS)
        segments.append(Segment(source.pixels_of(voxels, volume.geometry), "x", kind, f"Lesion {number}", uid))
        lesions.append(
            ReportedLesion(
                finding=kind,
                tracking_id=f"Lesion {number}",
                tracking_uid=uid,
                slice_number=slice_number,
                outline=outline,
                diameter_mm=contour.diameter_px * volume.geometry.pixel_mm,
                segment=number,
                volume_mm3=float(len(voxels) * np.prod(volume.geometry.spacing)) if number == 1 else None,
                percents=tuple((codes.probability_of(c), p) for c, p in zip(DEFAULT_CLASSES, (10, 85, 5), strict=True)),
                algorithm=CLASSIFIER,
                comments=("metastasis, about 85 %",),
            )
        )
    return Written(source, make_segmentation(source, segments, instance(series_number=9001)), lesions)


def decided(lesions: list[ReportedLesion]) -> list[ReportedLesion]:
    said = ((codes.PROVEN_BY, codes.proof_code(Proof.FOLLOW_UP)), (codes.SAW_MODEL, codes.NO))
    return [replace(lesion, percents=(), algorithm=None, comments=(), evaluations=said) for lesion in lesions]


def reread(ds: Dataset, folder: Path) -> Any:
    ds.save_as(folder / "report.dcm", write_like_original=False)
    return srread(folder / "report.dcm")


def items(ds: Dataset, name: str) -> Iterator[Dataset]:
    """Every content item of a name, wherever it is."""
    for item in ds.get("ContentSequence", ()):
        if item.get("ConceptNameCodeSequence") and item.ConceptNameCodeSequence[0].CodeValue == name:
            yield item
        yield from items(item, name)


def coded(concept: Any) -> tuple[str, str, str]:
    return concept.value, concept.scheme_designator, concept.meaning


def test_a_report_holds_each_lesion_with_type_site_sizes_and_references(written: Written, tmp_path: Path) -> None:
    ds = reread(
        make_report(written.source, Said.PREDICTION, written.lesions, instance(), segmentation=written.segmentation), tmp_path
    )
    assert isinstance(ds.content, MeasurementReport)
    drawn = ds.content.get_planar_roi_measurement_groups(reference_type=CodedConcept("111030", "DCM", "Image Region"))
    whole = ds.content.get_volumetric_roi_measurement_groups()
    assert (len(drawn), len(whole)) == (2, 1)
    for group, lesion in zip(drawn, written.lesions, strict=True):
        assert coded(group.finding_type) == ("94381002", "SCT", "Metastatic malignant neoplasm to liver")
        assert [coded(site.value) for site in group.finding_sites] == [("10200004", "SCT", "Liver")]
        assert (group.tracking_identifier, group.tracking_uid) == (lesion.tracking_id, lesion.tracking_uid)
        axis, *chances = group.get_measurements()
        assert (coded(axis.name)[:2], coded(axis.unit)[:2]) == (("103339001", "SCT"), ("mm", "UCUM"))
        assert axis.value == pytest.approx(round(lesion.diameter_mm, 1))
        assert [(coded(c.name)[2], c.value, coded(c.unit)[:2]) for c in chances] == [
            ("Probability of cyst", 10, ("%", "UCUM")),
            ("Probability of metastasis", 85, ("%", "UCUM")),
            ("Probability of hemangioma", 5, ("%", "UCUM")),
        ]
        assert group.roi is not None
        assert (group.roi.graphic_type.value, group.roi.value.shape) == ("POLYLINE", lesion.outline.shape)
        np.testing.assert_allclose(group.roi.value, lesion.outline, atol=1e-4)
        (image,) = group.roi.ContentSequence
        assert image.ReferencedSOPSequence[0].ReferencedSOPInstanceUID == written.source.sop_uids[lesion.slice_number]
    (volume,) = whole[0].get_measurements()
    assert (coded(volume.name)[:2], coded(volume.unit)[:2]) == (("118565006", "SCT"), ("mm3", "UCUM"))
    assert volume.value == round(3 * 6 * 4 * 0.75 * 0.75 * 2.5)
    segments = list(items(ds, "121191"))  # Referenced Segment
    assert [s.ReferencedSOPSequence[0].ReferencedSegmentNumber for s in segments] == [1]
    assert segments[0].ReferencedSOPSequence[0].ReferencedSOPInstanceUID == written.segmentation.SOPInstanceUID
    (frame,) = items(ds, "121214")  # Referenced Segmentation Frame, of the lesion in one slice
    assert frame.ReferencedSOPSequence[0].ReferencedFrameNumber == 4
    assert "ReferencedSegmentNumber" not in frame.ReferencedSOPSequence[0]
    assert {str(item.TextValue) for item in items(ds, "111001")} == {"LesionLabel lesion classifier"}
    assert {str(item.TextValue) for item in items(ds, "111003")} == {CLASSIFIER.version}
    listed = {
        str(image.ReferencedSOPSequence[0].ReferencedSOPInstanceUID)
        for library in items(ds, "126200")
        for image in items(library, "260753009")
    }
    assert listed == {written.source.sop_uids[n] for n in {int(k) for k in written_slices(written)}}


def written_slices(written: Written) -> set[int]:
    uids = {
        str(item.ReferencedSOPInstanceUID) for item in written.segmentation.ReferencedSeriesSequence[0].ReferencedInstanceSequence
    }
    return {number for number, uid in enumerate(written.source.sop_uids) if uid in uids}


def test_prediction_and_decision_say_which_they_are_and_that_nobody_has_verified_them(written: Written, tmp_path: Path) -> None:
    predicted = make_report(written.source, Said.PREDICTION, written.lesions, instance(), comments=[CLOSED])
    decision = make_report(
        written.source, Said.DECISION, decided(written.lesions), instance(what="reader's decision"), reader="Dr. Möller=x"
    )
    for ds, words, observer in ((predicted, "Model's prediction. ", "121007"), (decision, "Reader's decision. ", "121006")):
        kept = reread(ds, tmp_path)
        assert (kept.VerificationFlag, kept.CompletionFlag, kept.PreliminaryFlag) == ("UNVERIFIED", "PARTIAL", "PRELIMINARY")
        comments = [str(item.TextValue) for item in kept.ContentSequence if item.ConceptNameCodeSequence[0].CodeValue == "121106"]
        assert comments[0] == f"{words}Research software, not for clinical use."
        assert [item.ConceptCodeSequence[0].CodeValue for item in items(kept, "121005")] == [observer]
        assert kept.SeriesDescription.endswith(" (not for clinical use)")
    assert any(str(item.TextValue) == CLOSED for item in items(predicted, "121106"))
    (name,) = items(decision, "121008")
    assert str(name.PersonName) == "Dr. Möllerx^"
    assert not list(items(predicted, "121008"))
    assert not list(items(decision, "111001")), "a reader is no algorithm"
    assert {item.ConceptCodeSequence[0].CodeMeaning for item in items(decision, "PROVEN-BY")} == {"Follow-up"}
    assert {item.ConceptCodeSequence[0].CodeValue for item in items(decision, "SAW-MODEL")} == {"373067005"}


def test_a_corrected_report_names_the_one_it_replaces(written: Written, tmp_path: Path) -> None:
    first = make_report(written.source, Said.DECISION, decided(written.lesions), instance(), reader="A")
    made = instance(series_uid=str(first.SeriesInstanceUID), version=2, replaces=reference_to(first))
    second = reread(make_report(written.source, Said.DECISION, decided(written.lesions[:1]), made, reader="A"), tmp_path)
    (study,) = second.PredecessorDocumentsSequence
    (series,) = study.ReferencedSeriesSequence
    (before,) = series.ReferencedSOPSequence
    assert (study.StudyInstanceUID, series.SeriesInstanceUID) == (first.StudyInstanceUID, first.SeriesInstanceUID)
    assert (before.ReferencedSOPInstanceUID, before.ReferencedSOPClassUID) == (first.SOPInstanceUID, first.SOPClassUID)
    assert second.InstanceNumber == 2


def test_a_report_of_no_lesion_says_that_it_takes_back(written: Written, tmp_path: Path) -> None:
    before = Reference(written.source.study_uid, "2.25.3", "1.2.840.10008.5.1.4.1.1.88.33", "2.25.4")
    ds = reread(
        make_report(written.source, Said.DECISION, [], instance(replaces=before), reader="A", comments=["Taken back"]), tmp_path
    )
    assert "Taken back" in [str(item.TextValue) for item in items(ds, "121106")]
    assert not list(items(ds, "125007"))


def test_a_class_without_a_snomed_code_has_one_of_ours(written: Written, tmp_path: Path) -> None:
    strange = LesionClass("Echinococcus (alveolar) of the liver", "", "Alveolar echinococcosis", True, (1, 2, 3))
    short = LesionClass("FNH", "", "FNH", True, (1, 2, 3))
    lesions = [
        replace(lesion, finding=codes.class_code(c), percents=((codes.probability_of(c), 60),))
        for lesion, c in zip(written.lesions, (strange, short), strict=True)
    ]
    ds = reread(make_report(written.source, Said.PREDICTION, lesions, instance()), tmp_path)
    found = [item.ConceptCodeSequence[0] for item in items(ds, "121071")]
    assert [(c.CodingSchemeDesignator, c.CodeMeaning) for c in found] == [
        ("99LESIONLABEL", "Alveolar echinococcosis"),
        ("99LESIONLABEL", "FNH"),
    ]
    assert found[1].CodeValue == "C-FNH"
    assert all(len(c.CodeValue) <= 16 for c in found)
    assert ds.CodingSchemeIdentificationSequence[0].CodingSchemeDesignator == "99LESIONLABEL"
    assert codes.class_code(strange).value != codes.class_code(replace(strange, name="Echinococcus (cystic) of the liver")).value


@pytest.mark.parametrize(
    ("probability", "shown", "number"), [(0.0, 0, 5), (0.024, 0, 5), (0.61, 60, 60), (0.976, 100, 95), (1.0, 100, 95)]
)
def test_no_probability_is_finer_than_five_percent_or_certain(probability: float, shown: int, number: int) -> None:
    assert (whole_percent(probability), never_certain(probability)) == (shown, number)


KINDS = ("prediction", "decision", "taken back", "simulated")


@pytest.fixture
def checked(written: Written, tmp_path: Path) -> Callable[[str], Any]:
    """A function that writes report.dcm of a kind, and gives it as read."""

    def write(which: str) -> Any:
        before = Reference(written.source.study_uid, "2.25.3", "1.2.840.10008.5.1.4.1.1.88.33", "2.25.4")
        made = instance(simulated=which == "simulated", replaces=before)
        if which == "prediction":
            ds = make_report(written.source, Said.PREDICTION, written.lesions, made, segmentation=written.segmentation)
        elif which == "taken back":
            ds = make_report(written.source, Said.DECISION, [], made, reader="A")
        else:
            lesions = decided(written.lesions)
            ds = make_report(written.source, Said.DECISION, lesions, made, reader="A", segmentation=written.segmentation)
        return reread(ds, tmp_path)

    return write


@pytest.mark.parametrize("which", KINDS)
def test_the_checker_finds_no_error(which: str, checked: Callable[[str], Any], tmp_path: Path, dciodvfy: str) -> None:
    ds = checked(which)
    printed = subprocess.run([dciodvfy, str(tmp_path / "report.dcm")], capture_output=True, text=True, check=False)
    lines = (printed.stdout + printed.stderr).splitlines()
    assert "ComprehensiveSR" in lines
    # Synthetic Data came into the standard after the checker that Debian ships.
    assert [line for line in lines if line.startswith("Error") and "(0x0008,0x001c)" not in line] == []
    assert ds.SeriesDescription.startswith("SIMULATED model's prediction (no patient)" if which == "simulated" else "RESEARCH")


@pytest.mark.parametrize("which", KINDS)
def test_dicom_validator_finds_no_error(
    which: str, checked: Callable[[str], Any], tmp_path: Path, dicom_validator: Callable[[Path], list[str]]
) -> None:
    checked(which)
    # Synthetic Data came into the standard after 2020, the year of the tables.
    assert dicom_validator(tmp_path / "report.dcm") == (["(0008,001C) TagUnexpected"] if which == "simulated" else [])


def test_dicom_validator_names_what_is_wrong(
    checked: Callable[[str], Any], tmp_path: Path, dicom_validator: Callable[[Path], list[str]]
) -> None:
    ds = checked("prediction")
    (finding, *_), (diameter, *_) = items(ds, "121071"), items(ds, "103339001")
    del ds.VerificationFlag, finding.ConceptCodeSequence, diameter.RelationshipType
    del diameter.MeasuredValueSequence[0].MeasurementUnitsCodeSequence
    ds.CompletionFlag = "HALF"
    # A comment has a text: the value of a number is not for it.
    (comment, *_) = items(ds, "121106")
    comment.MeasuredValueSequence = diameter.MeasuredValueSequence
    ds.save_as(tmp_path / "report.dcm", write_like_original=False)
    item = "(0040,A730)/(0040,A730)/(0040,A730)/"
    assert set(dicom_validator(tmp_path / "report.dcm")) == {
        "(0040,A493) TagMissing",
        "(0040,A491) EnumValueNotAllowed",
        f"{item}(0040,A168) TagMissing",
        f"{item}(0040,A010) TagMissing",
        f"{item}(0040,A300)/(0040,08EA) TagMissing",
        f"{item}(0040,A300) TagUnexpected",
    }
