"""Import of NIfTI and NRRD files, which do not say whose they are."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from lesionlabel.imaging.identity import Identity
from lesionlabel.imaging.importer import ImportReport
from lesionlabel.imaging.patient_list import read_patient_list
from lesionlabel.lesions.errors import InputError


def reasons(report: ImportReport) -> str:
    return "\n".join(f"{refusal.what}: {refusal.reason}" for refusal in report.refused)


def test_nifti_files_are_patients_of_their_own_unless_listed(
    tmp_path: Path, write_file: Callable[..., Path], run: Callable[..., ImportReport], body: NDArray[np.int16]
) -> None:
    for n, name in enumerate(["in/a.nii.gz", "in/b.nrrd", "in/sub/c d.é.nii", "in/phantom-x.nii.gz"]):
        write_file(name, voxels=body - n)
    report = run(tmp_path / "in")
    assert not report.refused
    assert len({image.patient for image in report.imported}) == 4
    for image in report.imported:
        assert image.patient == f"image-{image.image_id}"
        assert not image.image_id.startswith("phantom")
        assert "." not in image.image_id
    (tmp_path / "patients.csv").write_text("file,patient\na.nii.gz,4711\nsub/c d.é.nii,4711\n")
    shutil.rmtree(tmp_path / "studies")
    report = run(tmp_path / "in", patients=read_patient_list(tmp_path / "patients.csv"))
    patients = [image.patient for image in report.imported]
    assert len(set(patients)) == 3
    assert Identity(tmp_path / "home").patient("4711") in patients


@pytest.mark.parametrize("files_first", [False, True])
def test_one_ct_as_series_and_as_files_does_not_become_several_patients(
    files_first: bool,
    tmp_path: Path,
    write_series: Callable[..., Any],
    write_file: Callable[..., Path],
    run: Callable[..., ImportReport],
) -> None:
    write_series("in/dicom")
    for name in ("in/files/a.nii.gz", "in/files/b.nii.gz", "in/files/c.nrrd"):
        write_file(name)
    if files_first:
        assert len(run(tmp_path / "in" / "files").imported) == 1
    report = run(tmp_path / "in")
    assert len(list((tmp_path / "studies").glob("*.nii.gz"))) == 1
    assert reasons(report).count("It holds the same voxels as") == 3
    (image,) = report.imported
    assert image.image_id.startswith("a-" if files_first else "ct-")


def test_a_listed_file_has_the_pseudonym_of_its_dicom_when_the_issuer_is_given(
    tmp_path: Path,
    write_series: Callable[..., Any],
    write_file: Callable[..., Path],
    run: Callable[..., ImportReport],
    body: NDArray[np.int16],
) -> None:
    write_series("in/dicom", PatientID="4711", IssuerOfPatientID="WEST")
    write_file("in/a.nii.gz", voxels=body - 1)
    (tmp_path / "patients.csv").write_text("file,patient,issuer\na.nii.gz,4711,WEST\n")
    report = run(tmp_path / "in", patients=read_patient_list(tmp_path / "patients.csv"))
    assert not report.refused
    assert len(report.imported) == 2
    assert len({image.patient for image in report.imported}) == 1


def test_a_bare_name_of_several_files_and_a_name_of_none_are_told(
    tmp_path: Path, write_file: Callable[..., Path], run: Callable[..., ImportReport], body: NDArray[np.int16]
) -> None:
    for n, name in enumerate(["in/a/ct.nii.gz", "in/b/ct.nii.gz", "in/c.nii.gz"]):
        write_file(name, voxels=body - n)
    (tmp_path / "patients.csv").write_text("file,patient\nct.nii.gz,1\na/ct.nii.gz,2\nc.nii,3\n")
    report = run(tmp_path / "in", patients=read_patient_list(tmp_path / "patients.csv"))
    assert sorted(image.image_id.split("-")[0] for image in report.imported) == ["c", "ct"]
    assert [refusal.what for refusal in report.refused] == ["b/ct.nii.gz", "c.nii"]
    assert "2 files are called so" in report.refused[0].reason
    assert "no such NIfTI or NRRD file" in report.refused[1].reason


def test_another_patient_for_an_imported_file_is_refused(
    tmp_path: Path, write_file: Callable[..., Path], run: Callable[..., ImportReport]
) -> None:
    path = write_file("in/a.nii.gz")
    run(path)
    (tmp_path / "patients.csv").write_text("file,patient\na.nii.gz,4711\n")
    report = run(path, patients=read_patient_list(tmp_path / "patients.csv"))
    assert not report.imported
    assert "now said to be of" in reasons(report)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name,patient\n", r"lacks the column\(s\) file"),
        ("file,patient\na.nii.gz,\n", "line 2, column patient: it is empty"),
        ("file,patient\na.nii.gz,1\na.nii.gz,2\n", "line 3, column file: a.nii.gz is given to two patients"),
    ],
)
def test_a_wrong_patient_list_is_named_by_line_and_column(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "patients.csv").write_text(text)
    with pytest.raises(InputError, match=message):
        read_patient_list(tmp_path / "patients.csv")
