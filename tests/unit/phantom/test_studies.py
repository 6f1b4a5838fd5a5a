"""Simulated studies: DICOM that reads as CT, marked as synthetic, with truth that lies where the lesions are."""

import json

import numpy as np
import pydicom
import pytest
from pydicom.uid import CTImageStorage

from lesionlabel.lesions.contour import Contour
from lesionlabel.lesions.errors import InputError
from lesionlabel.phantom.studies import write_studies

SYNTHETIC_DATA = 0x0008001C


@pytest.fixture(scope="module")
def studies(tmp_path_factory):
    out = tmp_path_factory.mktemp("phantom") / "studies"
    truth = json.loads(write_studies(2, 201, "soft", out, matrix=160).read_text())
    series = {}
    for patient in truth["patients"]:
        headers = [pydicom.dcmread(path) for path in (out / patient["folder"]).iterdir()]
        series[patient["patient_id"]] = sorted(headers, key=lambda header: float(header.ImagePositionPatient[2]))
    return truth, series


def hu_of(header):
    return header.pixel_array.astype(np.float64) * float(header.RescaleSlope) + float(header.RescaleIntercept)


def test_headers_say_ct_portal_venous_and_synthetic(studies):
    truth, series = studies
    for patient in truth["patients"]:
        headers = series[patient["patient_id"]]
        assert patient["patient_id"].startswith("PHANTOM-")
        assert {h.SeriesInstanceUID for h in headers} == {patient["series_uid"]}
        assert len({h.SOPInstanceUID for h in headers}) == len(headers)
        for header in headers:
            assert header.SOPClassUID == CTImageStorage
            assert header.Modality == "CT"
            assert header[SYNTHETIC_DATA].value == "YES"
            assert "phantom" in header.SeriesDescription.lower()
            assert "portal venous" in header.SeriesDescription.lower()
            assert "portal venous" in header.ContrastBolusAgent
            assert header.ContributingEquipmentSequence[0].PurposeOfReferenceCodeSequence[0].CodeValue == "109100"
            assert "nothing about patients" in header.ImageComments


def test_geometry_is_even_and_square(studies):
    _, series = studies
    for headers in series.values():
        heights = np.array([float(h.ImagePositionPatient[2]) for h in headers])
        assert np.allclose(np.diff(heights), 5.0, atol=1e-3)
        assert len({tuple(h.ImagePositionPatient[:2]) for h in headers}) == 1
        assert len({h.FrameOfReferenceUID for h in headers}) == 1
        assert [float(v) for v in headers[0].PixelSpacing] == pytest.approx([0.743 * 512 / 160] * 2, abs=1e-5)
        assert heights[-1] - heights[0] > 180


def test_truth_lies_on_its_lesion(studies):
    truth, series = studies
    checked = 0
    for patient in truth["patients"]:
        headers = series[patient["patient_id"]]
        for lesion in patient["lesions"]:
            header = headers[lesion["slice"]]
            origin = np.array(header.ImagePositionPatient, dtype=float)
            spacing = float(header.PixelSpacing[0])
            points = np.array(lesion["contour_lps"]) - origin
            assert np.allclose(points[:, 2], 0, atol=2e-3)
            contour = Contour(lesion["slice"], points[:, :2] / spacing)
            assert contour.diameter_px * spacing == pytest.approx(lesion["diameter_mm"], abs=0.05)
            assert 10 <= lesion["diameter_mm"] <= 102
            centre = (np.array(lesion["centre_lps"]) - origin)[:2] / spacing
            assert centre == pytest.approx(contour.centre, abs=0.02)
            if lesion["label"] == "cyst":
                hu = hu_of(header)
                inside = hu[contour.mask(*hu.shape)].mean()
                assert inside < 45
            checked += 1
    assert checked >= 2


def test_a_slice_through_the_liver_holds_air_fat_soft_tissue_and_bone(studies):
    _, series = studies
    for headers in series.values():
        hu = hu_of(headers[len(headers) // 2])
        assert (hu < -900).mean() > 0.2
        assert ((hu > -130) & (hu < -70)).mean() > 0.05
        assert ((hu > 60) & (hu < 140)).mean() > 0.1
        assert (hu > 250).mean() > 0.002
        assert hu.min() >= -1024


def test_patients_are_the_same_however_many_there_are(studies, tmp_path):
    truth, series = studies
    again = json.loads(write_studies(1, 201, "soft", tmp_path / "one", matrix=160).read_text())
    assert again["patients"][0] == truth["patients"][0]
    header = series["PHANTOM-0001"][20]
    names = {pydicom.dcmread(p).SOPInstanceUID: p for p in (tmp_path / "one" / "PHANTOM-0001").iterdir()}
    assert pydicom.dcmread(names[header.SOPInstanceUID]).PixelData == header.PixelData


def test_a_folder_in_use_and_impossible_numbers_are_refused(tmp_path):
    (tmp_path / "old.dcm").write_bytes(b"x")
    with pytest.raises(InputError, match="not empty"):
        write_studies(1, 0, "soft", tmp_path)
    with pytest.raises(InputError, match="at least one patient"):
        write_studies(0, 0, "soft", tmp_path / "new")
    with pytest.raises(InputError, match="matrix"):
        write_studies(1, 0, "soft", tmp_path / "new", matrix=32)
