from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from lesionlabel.imaging.identity import Identity
from lesionlabel.imaging.rois import RoiImport, import_rois
from lesionlabel.lesions.classes import DEFAULT_CLASSES
from lesionlabel.lesions.cohort import load_cohort, save_cohort
from lesionlabel.lesions.errors import InputError
from lesionlabel.lesions.lesion import Proof

HEADER = "file,patient,class,diameter_px,margin,proof,spacing_mm\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rng = np.random.default_rng(2)
    hu = rng.normal(60, 20, (30, 30))
    np.save(tmp_path / "float.npy", hu)
    np.save(tmp_path / "int.npy", np.rint(hu).astype(np.int16))
    Image.fromarray(rng.integers(0, 256, (30, 30), dtype=np.uint8)).save(tmp_path / "grey8.png")
    Image.fromarray(rng.integers(0, 65536, (24, 24), dtype=np.uint16)).save(tmp_path / "grey16.png")
    return tmp_path


def read(folder: Path, *rows: str, header: str = HEADER) -> RoiImport:
    (folder / "rois.csv").write_text(header + "\n".join(rows) + "\n", encoding="utf-8")
    return import_rois(folder / "rois.csv", DEFAULT_CLASSES, Identity(folder / "home"))


def test_numpy_rois_become_lesions(folder: Path) -> None:
    result = read(folder, "float.npy,4711,Metastasis,20,,pathology,0.8", "int.npy,4712,cyst,18,5,,")
    assert not result.problems
    first, second = result.cohort
    assert (first.label, first.proof, second.label, second.proof) == (
        "metastasis",
        Proof.PATHOLOGY,
        "cyst",
        Proof.SINGLE_READER,
    )
    context = first.context
    np.testing.assert_allclose(context.hu, np.load(folder / "float.npy"), atol=1e-4)
    assert (context.centre, context.diameter_px, context.margin_px, context.spacing_mm) == ((14.5, 14.5), 20, 5, 0.8)
    assert (second.context.margin_px, second.context.spacing_mm) == (5, 0)
    assert first.patient == Identity(folder / "home").patient("4711")
    assert "4711" not in first.patient + first.lesion_id


def test_a_cohort_of_rois_is_saved_and_loaded(folder: Path) -> None:
    cohort = read(folder, "float.npy,4711,cyst,20,,,", "grey8.png,4711,hemangioma,20,,,").cohort
    save_cohort(cohort, folder / "cohort.npz")
    assert load_cohort(folder / "cohort.npz").digest == cohort.digest


@pytest.mark.parametrize(("name", "brightest"), [("grey8.png", 255), ("grey16.png", 65535)])
def test_the_greys_of_a_png_are_the_hu_window(name: str, brightest: int, folder: Path) -> None:
    (lesion,) = read(folder, f"{name},4711,cyst,16,,,").cohort
    grey = np.asarray(Image.open(folder / name), dtype=np.float64)
    np.testing.assert_allclose(lesion.context.hu, -100 + 340 * grey / brightest, atol=1e-3)


def test_dicom_rois_are_rescaled_and_bring_their_spacing(folder: Path, write_series: Any) -> None:
    series = write_series("dicom", RescaleIntercept=-10)
    (lesion,) = read(folder, "dicom/IM_0000,4711,cyst,12,,,").cohort
    np.testing.assert_array_equal(lesion.context.hu, series.hu[0] - 10)
    assert lesion.context.spacing_mm == 0.75
    assert lesion.context.centre == (11.5, 9.5)
    assert lesion.saw_model is False  # or no cohort of ready-cut ROIs could be tested
    assert lesion.context.margin_px == 4


def test_wrong_rows_are_named_by_line_and_column_and_the_rest_is_imported(folder: Path, write_series: Any) -> None:
    write_series("mr", Modality="MR")
    write_series("phantom", change=lambda dataset, _: dataset.add_new(0x0008001C, "CS", "YES"))
    np.save(folder / "nan.npy", np.full((8, 8), np.nan))
    np.save(folder / "unit.npy", np.linspace(0, 1, 64).reshape(8, 8))
    np.save(folder / "raw.npy", np.load(folder / "float.npy") + 1024)
    np.save(folder / "cube.npy", np.full((8, 8, 8), 50.0))
    np.save(folder / "bytes.npy", np.arange(64, dtype=np.uint8).reshape(8, 8))
    np.save(folder / "object.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(folder / "rgb.png")
    (folder / "cut.png").write_bytes((folder / "grey8.png").read_bytes()[:200])
    np.save(folder / "copy.npy", np.load(folder / "float.npy"))
    np.save(folder.parent / "outside.npy", np.load(folder / "float.npy"))
    (folder / "link.npy").symlink_to(folder.parent / "outside.npy")
    wrong = [
        ("float.npy,4711,adenoma,20,,,", "class", "Unknown lesion class 'adenoma'"),
        ("missing.npy,4711,cyst,20,,,", "file", "no file missing.npy"),
        ("float.npy,4711,cyst,big,,,", "diameter_px", "'big' is not a number"),
        ("float.npy,4711,cyst,,,,", "diameter_px", "'' is not a positive number"),
        ("float.npy,4711,cyst,-3,,,", "diameter_px", "'-3' is not a positive number"),
        ("float.npy,4711,cyst,40,,,", "diameter_px", "more than the picture's side of 30"),
        ("float.npy,4711,cyst,20,9,,", "margin", "9 is not between 0 and 5"),
        ("float.npy,4711,cyst,20,,hearsay,", "proof", "Unknown proof level 'hearsay'"),
        ("float.npy,4711,cyst,20,,,0", "spacing_mm", "0 is not a positive number"),
        ("float.npy, ,cyst,20,,,", "patient", "It is empty"),
        (",4711,cyst,20,,,", "file", "It is empty"),
        ("../outside.npy,4711,cyst,20,,,", "file", "outside the CSV's folder"),
        (f"{folder}/float.npy,4711,cyst,20,,,", "file", "outside the CSV's folder"),
        ("link.npy,4711,cyst,20,,,", "file", "outside the CSV's folder"),
        ("nan.npy,4711,cyst,4,,,", "file", "NaN or infinite"),
        ("unit.npy,4711,cyst,4,,,", "file", "normalised"),
        ("raw.npy,4711,cyst,4,,,", "file", "not on the HU scale"),
        ("cube.npy,4711,cyst,4,,,", "file", "2-D image"),
        ("bytes.npy,4711,cyst,4,,,", "file", "uint8"),
        ("object.npy,4711,cyst,4,,,", "file", "cannot be read"),
        ("rgb.png,4711,cyst,4,,,", "file", "mode RGB"),
        ("cut.png,4711,cyst,4,,,", "file", "cut short"),
        ("rois.csv,4711,cyst,4,,,", "file", "no DICOM"),
        ("mr/IM_0000,4711,cyst,4,,,", "file", "modality MR"),
        ("phantom/IM_0000,4711,cyst,4,,,", "file", "marked as Synthetic Data"),
    ]
    result = read(
        folder, "float.npy,4711,cyst,20,,,", *[row for row, _, _ in wrong], "copy.npy,4711,cyst,20,,,", "int.npy,1,cyst,9,,,"
    )
    assert [lesion.label for lesion in result.cohort] == ["cyst", "cyst"]
    expected = [*wrong, ("", "file", "copy.npy has the pixels of line 2")]
    assert [(problem.line, problem.column) for problem in result.problems] == [
        (n, c) for n, (_, c, _) in enumerate(expected, start=3)
    ]
    for problem, (_, _, words) in zip(result.problems, expected, strict=True):
        assert words in str(problem)


def test_a_csv_that_is_none_is_refused(folder: Path) -> None:
    with pytest.raises(InputError, match=r"lacks the column\(s\) diameter_px"):
        read(folder, header="file,patient,class\n")
    with pytest.raises(InputError, match="separated by commas"):
        read(folder, header="file;patient;class;diameter_px\n")
    with pytest.raises(InputError, match="cannot be read"):
        import_rois(folder / "missing.csv", DEFAULT_CLASSES, Identity(folder / "home"))
    (folder / "latin.csv").write_bytes("file,patient,class,diameter_px\nä,1,cyst,3\n".encode("latin-1"))
    with pytest.raises(InputError, match="UTF-8"):
        import_rois(folder / "latin.csv", DEFAULT_CLASSES, Identity(folder / "home"))
