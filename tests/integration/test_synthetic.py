"""What generators made, as dicom3tools' checker reads it, and as the command line takes it back."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import typer
from typer.testing import CliRunner

from lesionlabel.cli.importing import import_command, import_rois_command
from lesionlabel.imaging.synthetic import SyntheticMark
from lesionlabel.imaging.synthetic_dicom import write_dicom_series
from lesionlabel.imaging.synthetic_pixels import to_hu
from lesionlabel.imaging.synthetic_register import SyntheticRegister
from lesionlabel.settings import Settings

#: Synthetic Data came into the standard in 2022, after the checker that Debian ships.
NEWER_THAN_THE_CHECKER = "(0x0008,0x001c)"
MARK = SyntheticMark("Hämangiom", "acgan", "20260101T000000Z-0123abcd", "5e" * 32, 2**31, 99999, "patients", truncation=0.7)

app = typer.Typer()
app.command("import")(import_command)
app.command("import-rois")(import_rois_command)


@pytest.fixture
def rois() -> np.ndarray:
    return np.random.default_rng(4).uniform(0.4, 0.7, (4, 64, 64)).astype(np.float32)


@pytest.mark.parametrize("burn", [False, True])
def test_a_synthetic_slice_is_a_valid_ct_image(burn: bool, dciodvfy: str, tmp_path: Path, rois: np.ndarray) -> None:
    for file in write_dicom_series(tmp_path / "series", rois, MARK, burn):
        printed = subprocess.run([dciodvfy, str(file)], capture_output=True, text=True, check=False)
        lines = (printed.stdout + printed.stderr).splitlines()
        assert "CTImage" in lines, "the checker did not recognise a CT image"
        errors = [line for line in lines if line.startswith("Error") and NEWER_THAN_THE_CHECKER not in line]
        assert errors == []


def test_the_command_line_knows_what_this_site_has_made(
    tmp_path: Path, rois: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LESIONLABEL_HOME", str(tmp_path / "home"))
    SyntheticRegister(Settings().synthetic_folder).add(rois)
    sitk.WriteImage(sitk.GetImageFromArray(to_hu(rois)), str(tmp_path / "Volume.nrrd"))
    np.save(tmp_path / "roi.npy", to_hu(rois)[0])
    (tmp_path / "rois.csv").write_text("file,patient,class,diameter_px\nroi.npy,4711,cyst,43\n")
    for command in (
        ["import", str(tmp_path / "Volume.nrrd"), "--studies", str(tmp_path / "studies")],
        ["import", str(tmp_path / "Volume.nrrd"), "--studies", str(tmp_path / "studies"), "--phantom"],
        ["import-rois", str(tmp_path / "rois.csv"), "--out", str(tmp_path / "cohort.npz")],
    ):
        result = CliRunner().invoke(app, command)
        assert result.exit_code == 1
        assert "made by a generator, no patient's" in result.output
    assert not (tmp_path / "cohort.npz").exists()
