from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.uid import CTImageStorage

from lesionlabel.imaging.read import read_volume
from lesionlabel.imaging.synthetic import SyntheticMark
from lesionlabel.imaging.synthetic_dicom import write_dicom_series
from lesionlabel.imaging.synthetic_pixels import burn_in, to_hu
from lesionlabel.lesions.errors import InputError

Rois = NDArray[np.float32]


@pytest.mark.parametrize("burn", [False, True])
def test_a_series_reads_as_ct_in_hu_and_says_everywhere_what_it_is(
    burn: bool, tmp_path: Path, rois: Rois, mark: SyntheticMark
) -> None:
    files = write_dicom_series(tmp_path / "series", rois, mark, burn)
    assert sorted(p.name for p in (tmp_path / "series").iterdir()) == [p.name for p in files]
    volume = read_volume(tmp_path / "series")
    np.testing.assert_array_equal(volume.voxels, to_hu(burn_in(rois) if burn else rois))
    assert volume.geometry.spacing == pytest.approx((1, 1, 1))
    assert volume.info["simulated"] is True
    headers = [dcmread(path) for path in files]
    assert len({h.SOPInstanceUID for h in headers}) == len(rois)
    assert len({(h.SeriesInstanceUID, h.StudyInstanceUID, h.FrameOfReferenceUID) for h in headers}) == 1
    for path, header in zip(files, headers, strict=True):
        assert path.name.startswith("SYNTHETIC-")
        assert (header.SOPClassUID, header.Modality) == (CTImageStorage, "CT")
        assert header[0x0008001C].value == "YES"
        assert list(header.ImageType[:2]) == ["DERIVED", "SECONDARY"]
        (equipment,) = header.ContributingEquipmentSequence
        (purpose,) = equipment.PurposeOfReferenceCodeSequence
        assert (purpose.CodeValue, purpose.CodingSchemeDesignator) == ("109100", "DCM")
        assert purpose.CodeMeaning == "Synthesizing Equipment"
        assert mark.version in equipment.SoftwareVersions
        for text in (header.ImageComments, header.DerivationDescription, equipment.ContributionDescription):
            assert text.startswith(mark.text)
            assert ("burnt" in text) is burn
        assert header.SeriesDescription == "SYNTHETIC, no patient: cyst"
        # Nothing burnt in identifies a patient, which is what the element tells.
        assert (header.BurnedInAnnotation, header.RecognizableVisualFeatures) == ("NO", "NO")


def test_nobody_is_named(tmp_path: Path, rois: Rois, mark: SyntheticMark) -> None:
    header = dcmread(write_dicom_series(tmp_path / "series", rois, mark)[0])
    assert (str(header.PatientName), header.PatientID) == ("SYNTHETIC^No patient", "SYNTHETIC")
    people = {element.keyword: str(element.value) for element in header.iterall() if element.VR == "PN"}
    assert people == {"PatientName": "SYNTHETIC^No patient", "ReferringPhysicianName": ""}
    assert not any(header.get(word) for word in ("PatientBirthDate", "PatientSex", "StudyDate", "AccessionNumber", "PatientAge"))


def test_uids_follow_from_the_mark_and_two_series_never_share_one(tmp_path: Path, rois: Rois, mark: SyntheticMark) -> None:
    first = [path.read_bytes() for path in write_dicom_series(tmp_path / "a", rois, mark)]
    assert [path.read_bytes() for path in write_dicom_series(tmp_path / "again", rois, mark)] == first
    uids = {dcmread(path).SOPInstanceUID for path in (tmp_path / "a").iterdir()}
    other = {"seed": 8, "first": 41, "version": "v2", "sha256": "00" * 32, "label": "metastasis", "truncation": None}
    for number, (field, value) in enumerate(other.items()):
        for path in write_dicom_series(tmp_path / f"b{number}", rois, replace(mark, **{field: value})):
            uids.add(dcmread(path).SOPInstanceUID)
    for path in write_dicom_series(tmp_path / "burnt", rois, mark, burn=True):
        uids.add(dcmread(path).SOPInstanceUID)
    assert len(uids) == len(rois) * (2 + len(other))


def test_a_folder_with_files_is_left_as_it_is(tmp_path: Path, rois: Rois, mark: SyntheticMark) -> None:
    (tmp_path / "series").mkdir()
    write_dicom_series(tmp_path / "series", rois[:2], mark)
    with pytest.raises(InputError, match="not empty"):
        write_dicom_series(tmp_path / "series", rois, mark)
    assert len(list((tmp_path / "series").iterdir())) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["series"]


def test_class_names_outside_ascii_are_kept(tmp_path: Path, rois: Rois, mark: SyntheticMark) -> None:
    (path, *_) = write_dicom_series(tmp_path / "series", rois, replace(mark, label="Hämangiom"))
    assert dcmread(path).SeriesDescription == "SYNTHETIC, no patient: Hämangiom"
