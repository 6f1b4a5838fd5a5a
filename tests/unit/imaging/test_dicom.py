"""Whose a DICOM file is, as far as it can be read."""

import subprocess
import sys
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


def test_what_a_file_says_of_itself_is_not_printed_whichever_threads_read_it(path):
    """pydicom's warnings quote what breaks the standard. In a process of its own, as pytest has its own ways with warnings."""
    content = path.read_bytes()
    uid = str(pydicom.dcmread(path).SeriesInstanceUID).encode()
    path.write_bytes(content.replace(uid, b"0" * (len(uid) - len(b"01.2.03.4")) + b"01.2.03.4"))
    program = """
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from lesionlabel.imaging.pixels import read_hu
from lesionlabel.imaging.dicom import read_dataset, read_header
sys.setswitchinterval(1e-5)
def read(_):
    read_header(Path(sys.argv[1]))
    read_hu(Path(sys.argv[1]))
    str(read_dataset(Path(sys.argv[1])).SeriesInstanceUID)
with ThreadPoolExecutor(4) as pool:
    list(pool.map(read, range(40)))
print("read")
"""
    done = subprocess.run([sys.executable, "-c", program, str(path)], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("read\n", "")
