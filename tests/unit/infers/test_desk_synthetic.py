"""What a generator made, sent for an answer: it is answered as simulated, by its mark or by its pixels."""

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

from lesionlabel.imaging.synthetic import SyntheticMark
from lesionlabel.imaging.synthetic_dicom import write_dicom_series
from lesionlabel.imaging.synthetic_files import write_nifti
from lesionlabel.imaging.synthetic_pixels import to_hu
from lesionlabel.infers.asked import read_request
from lesionlabel.infers.desk import Desk
from lesionlabel.infers.notes import SIMULATED
from lesionlabel.settings import Settings

MARK = SyntheticMark("cyst", "gan_cyst", "v1", "5e" * 32, 7, 0, "patients")
ASKED = {"point": [31, 31, 2], "diameter_mm": 30, "override_phase": True}


@pytest.fixture
def desk(tmp_path, promote_untrained):
    settings = Settings(home=tmp_path / "home", device="cpu")
    promote_untrained(settings)
    return Desk(settings)


@pytest.fixture
def rois():
    return np.random.default_rng(4).uniform(0.4, 0.7, (5, 64, 64)).astype(np.float32)


def saved(path: Path, hu) -> Path:
    sitk.WriteImage(sitk.GetImageFromArray(hu), str(path))
    return path


def test_a_marked_volume_is_answered_with_the_warning(desk, tmp_path, rois):
    write_nifti(tmp_path / "SYNTHETIC-x.nii.gz", rois, MARK)
    for name in ("SYNTHETIC-x.nii.gz", "upload.nii.gz"):
        found = desk.answer((tmp_path / "SYNTHETIC-x.nii.gz").rename(tmp_path / name), read_request(ASKED)).json
        assert found["simulated"] is True
        assert SIMULATED in found["warnings"]
        assert SIMULATED in found["reader_notes"]
        (tmp_path / name).rename(tmp_path / "SYNTHETIC-x.nii.gz")
    assert "synthetic" in SIMULATED
    assert "no patient" in SIMULATED


def test_a_dicom_series_of_a_generator_is_simulated(desk, tmp_path, rois):
    write_dicom_series(tmp_path / "series", rois, MARK)
    assert desk.open(tmp_path / "series").simulated


def test_pixels_that_this_site_made_are_known_without_a_mark(desk, tmp_path, rois):
    path = saved(tmp_path / "upload.nrrd", to_hu(rois))
    assert not desk.open(path).simulated
    desk.register.add(rois[2:3])
    fresh = Desk(desk.settings)
    assert fresh.answer(path, read_request(ASKED)).json["simulated"] is True
    assert fresh.recognise_synthetic(path)
    other = saved(tmp_path / "real.nrrd", to_hu(rois) + np.int16(1))
    found = fresh.answer(other, read_request(ASKED)).json
    assert found["simulated"] is False
    assert SIMULATED not in found["warnings"] + found["reader_notes"]
    assert fresh.recognise_synthetic(other) is None
