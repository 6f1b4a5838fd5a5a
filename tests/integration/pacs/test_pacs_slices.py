"""Series of a real Orthanc of which not all is a volume: damaged and odd slices, scouts, several patients' in one."""

from __future__ import annotations

import pydicom
import pytest
import SimpleITK as sitk

from lesionlabel.lesions.errors import InputError, PacsError

pytestmark = pytest.mark.usefixtures("impatient")

SLICES = 6


@pytest.fixture
def uid(tiny_series, tmp_path) -> str:
    """A series whose slices lie in tmp_path / "dicom"."""
    return tiny_series(tmp_path / "dicom", slices=SLICES, side=32)[1]


@pytest.fixture
def change(tmp_path):
    """Changes elements of one slice's file; returns its SOP Instance UID."""

    def change(number, **elements):
        path = tmp_path / "dicom" / f"{number:04d}.dcm"
        ds = pydicom.dcmread(path)
        if elements.get("Rows"):
            ds.PixelData = ds.PixelData[: 2 * elements["Rows"] * ds.Columns]
        for keyword, value in elements.items():
            setattr(ds, keyword, value)
        ds.save_as(path)
        return str(ds.SOPInstanceUID)

    return change


@pytest.fixture
def open_it(orthanc, opened, uid, tmp_path):
    def open_it():
        orthanc.add(tmp_path / "dicom")
        return sitk.ReadImage(opened(orthanc.url).get_image_uri(uid))

    return open_it


@pytest.mark.parametrize(
    ("how", "number", "why"),
    [
        ("zeros", 3, r"cannot read a (slice of the series|series that was asked for)"),
        ("cut short", 3, "1 of its 4 slices .* cut short"),
        ("cut short", 1, "1 of its files were left out, the first is \\(UID\\): .* cut short"),
    ],
)
def test_a_series_with_a_damaged_slice_is_refused_with_the_reason(opened, five_series, tmp_path, how, number, why) -> None:
    own, uids = five_series
    damaged = str(pydicom.dcmread(tmp_path / "0" / "dicom" / f"{number:04d}.dcm").SOPInstanceUID)
    own.damage(damaged, how=how)
    datastore = opened(own.url)
    with pytest.raises((InputError, PacsError), match=why) as raised:
        datastore.get_image_uri(uids[0])
    assert damaged not in str(raised.value)
    assert not list(datastore.studies.glob("*.nrrd"))


SCOUT = ["ORIGINAL", "PRIMARY", "LOCALIZER"]


@pytest.mark.parametrize(
    ("elements", "why"),
    [
        ({"ImagePositionPatient": None}, "lacks ImagePosition"),
        ({"Rows": None}, "damaged"),
        ({"Rows": 16}, "matrix, spacing or orientation is not that of its series"),
        ({"PixelSpacing": [1.5, 1.5]}, "matrix, spacing or orientation is not that of its series"),
        ({"ImageOrientationPatient": [-1, 0, 0, 0, -1, 0]}, "matrix, spacing or orientation is not that of its series"),
        ({"ImageOrientationPatient": [0, 0, 0, 0, 0, 0]}, "matrix, spacing or orientation is not that of its series"),
        ({"ImageOrientationPatient": [1, 0, 0, 0, 0.99, 0.1]}, "matrix, spacing or orientation is not that of its series"),
        ({"PhotometricInterpretation": ""}, "lacks PhotometricInterpretation"),
        ({"RescaleType": "OD"}, "values are OD, not HU"),
        ({"PhotometricInterpretation": "MONOCHROME1"}, "MONOCHROME1"),
        ({"BitsStored": 8, "HighBit": 7}, "8-bit"),
        ({"NumberOfFrames": 2}, "2 frames"),
        ({"Modality": "OT"}, "modality is OT"),
    ],
)
def test_a_last_slice_that_cannot_be_used_is_not_left_out_in_silence(open_it, change, elements, why) -> None:
    damaged = change(SLICES - 1, **elements)
    with pytest.raises(InputError, match=f"1 of its {SLICES} slices cannot be used; .*{why}") as raised:
        open_it()
    assert damaged not in str(raised.value)


def test_what_a_scanner_rounds_differently_from_slice_to_slice_parts_no_series(open_it, change, tmp_path) -> None:
    for number, turned in enumerate((0.0, 0.0015, 0.0015, 0.0015, 0.0015, 0.003)):
        change(number, ImageOrientationPatient=[1, turned, 0, -turned, 1, 0])
    spacing = float(pydicom.dcmread(tmp_path / "dicom" / "0000.dcm").PixelSpacing[0])
    change(0, PixelSpacing=[spacing + 0.0002, spacing + 0.0002])
    assert open_it().GetSize() == (32, 32, SLICES)


def test_scouts_in_the_series_are_left_out(open_it, change) -> None:
    """By what they say of themselves, or by how they lie."""
    change(4, ImageType=SCOUT, Rows=16)
    change(5, ImageOrientationPatient=[1, 0, 0, 0, 0, -1])
    assert open_it().GetSize() == (32, 32, SLICES - 2)


def test_a_series_of_several_patients_is_refused_in_those_words_whatever_else_is_in_it(open_it, change) -> None:
    change(0, ImageType=SCOUT, Rows=16)
    change(5, PatientID="another")
    with pytest.raises(InputError, match="several patients or studies") as raised:
        open_it()
    assert "another" not in str(raised.value)


def test_what_a_picture_in_the_series_does_not_say_is_not_held_against_it(open_it, change) -> None:
    change(0, ImageType=SCOUT, PatientID="")
    assert open_it().GetSize() == (32, 32, SLICES - 1)


def test_files_of_which_some_do_not_say_whose_they_are_are_refused_in_those_words(open_it, change) -> None:
    change(2, IssuerOfPatientID="hospital")
    with pytest.raises(InputError, match="lack the Patient ID, its issuer or the study that the others name") as raised:
        open_it()
    assert "hospital" not in str(raised.value)


def test_a_scout_of_another_patient_is_no_part_of_the_series(open_it, change) -> None:
    change(0, ImageType=SCOUT, PatientID="another")
    with pytest.raises(InputError, match="several patients or studies"):
        open_it()


def test_a_mark_on_a_file_that_is_left_out_makes_the_series_synthetic(open_it, change, uid, orthanc, opened, tmp_path) -> None:
    path = tmp_path / "dicom" / "0005.dcm"
    change(5, ImageType=SCOUT)
    ds = pydicom.dcmread(path)
    ds.add_new(0x0008001C, "CS", "YES")
    ds.save_as(path)
    open_it()
    assert uid not in opened(orthanc.url).get_unlabeled_images()
