"""Synthetic images handed back to import: never a patient's, whatever happened to their names and headers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
from numpy.typing import NDArray
from PIL import Image
from pydicom import dcmread
from pydicom.dataset import FileDataset

from lesionlabel.imaging.identity import Identity
from lesionlabel.imaging.importer import ImportReport
from lesionlabel.imaging.rois import RoiImport, import_rois
from lesionlabel.imaging.synthetic import SyntheticMark
from lesionlabel.imaging.synthetic_dicom import write_dicom_series
from lesionlabel.imaging.synthetic_files import write_nifti, write_npy, write_png_grid
from lesionlabel.imaging.synthetic_pixels import to_grey, to_hu
from lesionlabel.imaging.synthetic_register import SyntheticRegister
from lesionlabel.imaging.synthetic_seen import synthetic_mark_of, synthetic_volume
from lesionlabel.lesions.classes import DEFAULT_CLASSES
from lesionlabel.phantom.dicom import SeriesHeader, write_slice

Rois = NDArray[np.float32]
REFUSED = "made by a generator, no patient's"


@pytest.fixture
def register(tmp_path: Path, rois: Rois) -> SyntheticRegister:
    made = SyntheticRegister(tmp_path / "home" / "synthetic")
    made.add(rois)
    return made


def refused(report: ImportReport) -> bool:
    """Whether all was refused, and as synthetic."""
    return not report.imported and bool(report.refused) and all(REFUSED in refusal.reason for refusal in report.refused)


@pytest.mark.parametrize("phantom", [False, True])
@pytest.mark.parametrize("burn", [False, True])
def test_files_as_they_were_written_are_refused(
    phantom: bool, burn: bool, tmp_path: Path, rois: Rois, mark: SyntheticMark, run: Callable[..., ImportReport]
) -> None:
    write_nifti(tmp_path / "in" / f"{mark.stem}.nii.gz", rois, mark, burn)
    write_dicom_series(tmp_path / "in" / "series", rois, mark, burn)
    report = run(tmp_path / "in", phantom=phantom)
    assert refused(report)
    assert len(report.refused) == 2
    assert not [path for path in (tmp_path / "studies").rglob("*") if path.is_file()]


@pytest.mark.parametrize("phantom", [False, True])
def test_renamed_files_are_refused_by_their_headers(
    phantom: bool, tmp_path: Path, rois: Rois, mark: SyntheticMark, run: Callable[..., ImportReport]
) -> None:
    for ending in (".nii", ".nii.gz"):
        write_nifti(tmp_path / f"{mark.stem}{ending}", rois, mark)
        (tmp_path / "in").mkdir(exist_ok=True)
        (tmp_path / f"{mark.stem}{ending}").rename(tmp_path / "in" / f"liver{ending}")
    for number, path in enumerate(write_dicom_series(tmp_path / "in" / "series", rois, mark)):
        path.rename(path.with_name(f"IM{number}"))
    report = run(tmp_path / "in", phantom=phantom)
    assert refused(report)
    assert len(report.refused) == 3


MARKS = {
    "model": "ManufacturerModelName",
    "equipment": "ContributingEquipmentSequence",
    "patient": "PatientID",
    "study": "StudyDescription",
    "series": "SeriesDescription",
    "comment": "ImageComments",
    "derivation": "DerivationDescription",
}


def strip(dataset: FileDataset, keep: str = "") -> None:
    """Take every mark away, as an archive or a pseudonymiser might, but one."""
    dataset.pop(0x0008001C, None)
    dataset.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    dataset.PatientName = "Muster^Erika"
    for keyword in MARKS.values():
        if keyword != keep and keyword in dataset:
            setattr(dataset, keyword, [] if keyword == "ContributingEquipmentSequence" else "4711")


def rewrite(tmp_path: Path, rois: Rois, mark: SyntheticMark, change: Callable[[FileDataset], Any]) -> Path:
    folder = tmp_path / "in"
    for number, path in enumerate(write_dicom_series(folder, rois, mark)):
        dataset = dcmread(path)
        change(dataset)
        dataset.save_as(path.rename(folder / f"IM{number}"))
    return folder


@pytest.mark.parametrize("phantom", [False, True])
@pytest.mark.parametrize("keep", MARKS)
def test_any_one_mark_that_an_archive_left_is_enough(
    phantom: bool, keep: str, tmp_path: Path, rois: Rois, mark: SyntheticMark, run: Callable[..., ImportReport]
) -> None:
    folder = rewrite(tmp_path, rois[:4], mark, lambda dataset: strip(dataset, MARKS[keep]))
    assert refused(run(folder, phantom=phantom))


def test_without_any_mark_the_register_knows_the_pixels(
    tmp_path: Path, rois: Rois, mark: SyntheticMark, run: Callable[..., ImportReport], register: SyntheticRegister
) -> None:
    folder = rewrite(tmp_path, rois, mark, strip)
    assert refused(run(folder, register=register))
    # Without it nothing is left to tell by: this is what the register is for.
    assert len(run(folder).imported) == 1


@pytest.mark.parametrize("phantom", [False, True])
@pytest.mark.parametrize("axes", ["LPS", "RAS", "PIR"])
def test_a_volume_that_another_program_saved_as_nrrd_is_refused(
    phantom: bool,
    axes: str,
    tmp_path: Path,
    rois: Rois,
    mark: SyntheticMark,
    run: Callable[..., ImportReport],
    register: SyntheticRegister,
) -> None:
    write_nifti(tmp_path / "SYNTHETIC-x.nii.gz", rois, mark)
    read = sitk.ReadImage(str(tmp_path / "SYNTHETIC-x.nii.gz"))
    plain = sitk.GetImageFromArray(sitk.GetArrayFromImage(read))  # the pixels alone
    plain.CopyInformation(read)
    saved = tmp_path / "in" / "Volume_1.nrrd"
    saved.parent.mkdir()
    sitk.WriteImage(sitk.DICOMOrient(plain, axes), str(saved))
    assert b"SYNTHETIC" not in saved.read_bytes()
    assert refused(run(saved, phantom=phantom, register=register))
    assert synthetic_volume(saved, register) == "this site's generators made its pixels"


def test_real_volumes_of_64_by_64_are_imported(
    tmp_path: Path,
    rois: Rois,
    write_file: Callable[..., Path],
    write_series: Callable[..., Any],
    run: Callable[..., ImportReport],
    register: SyntheticRegister,
) -> None:
    real = to_hu(rois).astype(np.int16)
    real += np.random.default_rng(3).integers(-2, 3, real.shape, dtype=np.int16)
    write_series("in/series", hu=real, SeriesDescription="SYNTHETIC MR comparison, portal venous")
    write_file("in/real.nrrd", voxels=real[::-1] + np.int16(1))
    report = run(tmp_path / "in", register=register)
    assert not report.refused
    assert sorted(image.image_id.split("-")[0] for image in report.imported) == ["ct", "real"]
    assert not any(image.simulated for image in report.imported)
    assert synthetic_volume(tmp_path / "in" / "real.nrrd", register) is None


def test_the_phantoms_series_bears_no_generators_mark_and_comes_in_as_simulated(
    tmp_path: Path, run: Callable[..., ImportReport], body: NDArray[np.int16], register: SyntheticRegister
) -> None:
    header = SeriesHeader("PHANTOM-0001", "LesionLabel phantom seed 1", "PHANTOM", 0.75, 2.5, (0.0, 0.0, 0.0), len(body), 1)
    (tmp_path / "in").mkdir()
    for index, hu in enumerate(body):
        write_slice(tmp_path / "in" / f"{index}.dcm", hu.astype(np.float64), index, header)
    assert synthetic_mark_of(tmp_path / "in" / "0.dcm") is None
    (image,) = run(tmp_path / "in", phantom=True, register=register).imported
    assert image.simulated
    assert "Import it with --phantom" in run(tmp_path / "in", register=register).refused[0].reason


def test_a_slice_with_a_damaged_description_stays_a_patients(
    tmp_path: Path, write_series: Callable[..., Any], run: Callable[..., ImportReport]
) -> None:
    for path in write_series("in", StudyDescription="abdomen").files:
        content = path.read_bytes()
        assert content.count(b"\x08\x00\x30\x10LO") == 1
        path.write_bytes(content.replace(b"\x08\x00\x30\x10LO", b"\x08\x00\x30\x10ZZ"))  # of no kind that is known
    assert len(run(tmp_path / "in").imported) == 1


def rows(folder: Path, names: list[str], register: SyntheticRegister | None) -> RoiImport:
    lines = ["file,patient,class,diameter_px", *(f"{name},4711,cyst,43" for name in names)]
    (folder / "rois.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return import_rois(folder / "rois.csv", DEFAULT_CLASSES, Identity(folder / "home"), register)


def test_marked_rois_are_wrong_rows(tmp_path: Path, rois: Rois, mark: SyntheticMark) -> None:
    png = tmp_path / "SYNTHETIC-lesion.png"
    write_png_grid(png, rois[:1], mark, burn=True)
    (tmp_path / "lesion.png").write_bytes(png.read_bytes())
    dicom, *_ = write_dicom_series(tmp_path / "series", rois, mark)
    (tmp_path / "IM0").write_bytes(dicom.read_bytes())
    write_npy(tmp_path / "SYNTHETIC-all.npy", rois, mark)
    np.save(tmp_path / "SYNTHETIC-one.npy", to_hu(rois)[0])
    names = [png.name, "lesion.png", f"series/{dicom.name}", "IM0", "SYNTHETIC-all.npy", "SYNTHETIC-one.npy"]
    result = rows(tmp_path, names, None)
    assert not len(result.cohort)
    assert [(problem.line, problem.column) for problem in result.problems] == [(n, "file") for n in range(2, 8)]
    for problem, name in zip(result.problems, names, strict=True):
        assert name in problem.reason
        assert REFUSED in problem.reason


def test_rois_without_a_mark_are_known_by_their_pixels(
    tmp_path: Path, rois: Rois, mark: SyntheticMark, register: SyntheticRegister
) -> None:
    hu = to_hu(rois)
    np.save(tmp_path / "hu.npy", hu[0])
    np.save(tmp_path / "float.npy", hu[1][:, ::-1] + 0.3)
    Image.fromarray(to_grey(hu)[2]).save(tmp_path / "plain.png")
    Image.fromarray(np.rint((hu[3] + 100.0) / 340 * 65535).astype(np.uint16)).save(tmp_path / "deep.png")
    rewrite(tmp_path, rois[:5], mark, strip)
    names = ["hu.npy", "float.npy", "plain.png", "deep.png", "in/IM4"]
    result = rows(tmp_path, names, register)
    assert not len(result.cohort)
    assert all(REFUSED in problem.reason for problem in result.problems)
    assert len(rows(tmp_path, names, None).cohort) == len(names)


def test_a_renamed_numpy_file_is_no_roi_in_hu(tmp_path: Path, rois: Rois, mark: SyntheticMark) -> None:
    write_npy(tmp_path / "SYNTHETIC-x.npy", rois, mark)
    (tmp_path / "SYNTHETIC-x.npy").rename(tmp_path / "x.npy")
    (problem,) = rows(tmp_path, ["x.npy"], None).problems
    assert "normalised" in problem.reason


def test_real_rois_of_64_by_64_are_imported(tmp_path: Path, rois: Rois, register: SyntheticRegister) -> None:
    np.save(tmp_path / "real.npy", to_hu(rois)[0] + 1)
    Image.fromarray(255 - to_grey(to_hu(rois))[0]).save(tmp_path / "real.png")
    result = rows(tmp_path, ["real.npy", "real.png"], register)
    assert not result.problems
    assert len(result.cohort) == 2
