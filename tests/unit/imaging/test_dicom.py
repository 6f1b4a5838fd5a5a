"""Whose a DICOM file is, as far as it can be read."""

from dataclasses import replace

import pydicom
import pytest

from lesionlabel.imaging.dicom import Owner, read_owner
from lesionlabel.lesions.errors import InputError


@pytest.fixture
def path(tiny_series, tmp_path):
    tiny_series(tmp_path / "dicom", slices=1, side=32)
    return tmp_path / "dicom" / "0000.dcm"


def test_it_says_whose_a_file_is_and_whether_it_is_marked(path):
    ds = pydicom.dcmread(path)
    owner = read_owner(path)
    assert owner == Owner(ds.PatientID, str(ds.get("IssuerOfPatientID", "")), ds.StudyInstanceUID, marked=False)
    ds.add_new(0x0008001C, "CS", "YES")
    ds.save_as(path)
    assert read_owner(path) == replace(owner, marked=True)


@pytest.mark.parametrize("vr", [b"FD", b"AT", b"ZZ"])
def test_an_element_that_cannot_be_decoded_is_told_in_words(path, vr):
    content = path.read_bytes()
    place = content.index(b"\x10\x00\x20\x00LO")
    path.write_bytes(content[: place + 4] + vr + content[place + 6 :])
    with pytest.raises(InputError, match="damaged or cut short"):
        read_owner(path)
