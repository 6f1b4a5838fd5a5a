from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import typer
from typer.testing import CliRunner

from lesionlabel.cli.importing import import_command, import_rois_command
from lesionlabel.lesions.cohort import load_cohort

app = typer.Typer()
app.command("import")(import_command)
app.command("import-rois")(import_rois_command)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LESIONLABEL_HOME", str(tmp_path / "home"))


def ct(path: Path, *, scale: int = 1) -> None:
    path.parent.mkdir(exist_ok=True)
    voxels = np.full((5, 16, 16), -1000, np.int16)
    voxels[:, 4:12, 4:12] = np.random.default_rng(0).normal(100, 20, (5, 8, 8)) * scale
    sitk.WriteImage(sitk.GetImageFromArray(voxels), str(path))


def test_import_tells_what_came_in_and_what_did_not(tmp_path: Path) -> None:
    ct(tmp_path / "in" / "good.nii.gz")
    ct(tmp_path / "in" / "bad.nii.gz", scale=30)
    (tmp_path / "in" / "notes.txt").write_text("hello")
    (tmp_path / "patients.csv").write_text("file,patient\ngood.nii.gz,4711\n")
    options = ["--studies", str(tmp_path / "studies"), "--patients", str(tmp_path / "patients.csv")]
    result = CliRunner().invoke(app, ["import", str(tmp_path / "in"), *options])
    assert result.exit_code == 0, result.output
    (image,) = (tmp_path / "studies").glob("*.nii.gz")
    line = next(line for line in result.output.splitlines() if line.startswith("good-"))
    assert line.split()[:3] == [image.name.removesuffix(".nii.gz"), line.split()[1], "5"]
    assert line.split()[1].startswith("p-")
    assert "1.000 × 1.000 × 1.000" in line
    assert "notes.txt: It is no DICOM" in result.output
    assert "bad.nii.gz: Its values run from" in result.output
    assert "4711" not in result.output


def test_import_fails_when_nothing_came_in(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "notes.txt").write_text("hello")
    result = CliRunner().invoke(app, ["import", str(tmp_path / "in"), "--studies", str(tmp_path / "studies")])
    assert result.exit_code == 1
    assert "0 image(s)" in result.output


def test_import_rois_writes_a_cohort_and_names_wrong_cells(tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", np.random.default_rng(1).normal(50, 20, (20, 20)))
    table = tmp_path / "rois.csv"
    table.write_text("file,patient,class,diameter_px\na.npy,4711,cyst,12\na.npy,4711,wart,12\n")
    result = CliRunner().invoke(app, ["import-rois", str(table), "--out", str(tmp_path / "cohort.npz")])
    assert result.exit_code == 0, result.output
    assert "rois.csv, line 3, column class: Unknown lesion class 'wart'" in result.output
    assert load_cohort(tmp_path / "cohort.npz").counts()["cyst"] == 1
    table.write_text("file,patient,class,diameter_px\nb.npy,4711,cyst,12\n")
    result = CliRunner().invoke(app, ["import-rois", str(table), "--out", str(tmp_path / "none.npz")])
    assert result.exit_code == 1
    assert not (tmp_path / "none.npz").exists()
