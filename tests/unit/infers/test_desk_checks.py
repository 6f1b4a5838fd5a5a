"""What the desk takes as an image that can be asked about."""

import shutil

import numpy as np
import pytest
import SimpleITK as sitk

from lesionlabel.infers.desk import Desk
from lesionlabel.lesions.errors import InputError, NotCTError
from lesionlabel.settings import Settings


@pytest.fixture
def fresh(tmp_path):
    return Desk(Settings(home=tmp_path / "home", device="cpu"))


@pytest.fixture
def reads(monkeypatch):
    """The images that were read, one entry each time."""
    from lesionlabel.imaging import store

    seen = []
    real = store.read_volume
    monkeypatch.setattr(store, "read_volume", lambda path: (seen.append(path), real(path))[1])
    return seen


def test_a_ct_is_read_once_for_the_check_and_the_questions_that_follow(fresh, ct, tmp_path, reads):
    sent = shutil.copy(ct, tmp_path / "tmp123.nii.gz")
    fresh.require_ct(sent)
    stored = shutil.copy(ct, tmp_path / "stored.nii.gz")
    assert fresh.open(stored).volume.voxels.shape == (24, 96, 96)
    assert len(reads) == 1


@pytest.mark.parametrize("name", ["tmp123.nii.gz", "tmp123.nii", "tmp123.nrrd"])
def test_what_is_no_image_is_refused_without_the_name_of_a_temporary_file(fresh, tmp_path, name):
    (tmp_path / name).write_text("no image at all")
    with pytest.raises(InputError, match=r"was not taken.* The file cannot be read") as refused:
        fresh.require_ct(tmp_path / name)
    assert "tmp123" not in str(refused.value)


def test_a_picture_and_pixels_that_are_not_square_are_refused(fresh, ct, tmp_path):
    picture = sitk.GetImageFromArray(np.random.default_rng(0).integers(0, 255, (8, 64, 64)).astype(np.uint8))
    sitk.WriteImage(picture, str(tmp_path / "picture.nrrd"))
    with pytest.raises(NotCTError, match="8-bit"):
        fresh.require_ct(tmp_path / "picture.nrrd")
    image = sitk.ReadImage(str(ct))
    image.SetSpacing((2.0, 1.0, 3.0))
    sitk.WriteImage(image, str(tmp_path / "oblong.nrrd"))
    with pytest.raises(InputError, match="square"):
        fresh.require_ct(tmp_path / "oblong.nrrd")


def test_of_a_folder_every_volume_is_looked_at_and_else_the_series(fresh, ct, tmp_path):
    folder = tmp_path / "session"
    folder.mkdir()
    with pytest.raises(InputError, match="no CT series"):
        fresh.require_ct(folder)
    shutil.copy(ct, folder / "00000.nii.gz")
    fresh.require_ct(folder)
    (folder / "00001.nii.gz").write_text("no image")
    with pytest.raises(InputError, match="cannot be read"):
        fresh.require_ct(folder)
