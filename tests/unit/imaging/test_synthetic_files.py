"""PNG, NumPy and NIfTI files of synthetic ROIs: the mark is in each, and the pixels are the same in all."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk
from numpy.typing import NDArray
from PIL import Image
from PIL.PngImagePlugin import PngImageFile

from lesionlabel.imaging.read import read_volume
from lesionlabel.imaging.synthetic import SyntheticMark
from lesionlabel.imaging.synthetic_files import write_nifti, write_npy, write_png_grid
from lesionlabel.imaging.synthetic_pixels import burn_in, to_grey, to_hu
from lesionlabel.imaging.synthetic_seen import synthetic_mark_of
from lesionlabel.lesions.errors import InputError

Rois = NDArray[np.float32]


def texts(path: Path) -> dict[str, str]:
    with Image.open(path) as picture:
        assert isinstance(picture, PngImageFile)
        assert (picture.mode, picture.format) == ("L", "PNG")
        return dict(picture.text)


def test_a_grid_holds_every_roi_pixel_by_pixel_and_the_mark_in_words_and_json(
    tmp_path: Path, rois: Rois, mark: SyntheticMark
) -> None:
    path = tmp_path / f"{mark.stem}.png"
    write_png_grid(path, rois, mark)
    grid = np.asarray(Image.open(path))
    assert grid.shape == (2 + 2 * 66, 2 + 3 * 66)
    for number, grey in enumerate(to_grey(to_hu(rois))):
        top, left = 2 + number // 3 * 66, 2 + number % 3 * 66
        np.testing.assert_array_equal(grid[top : top + 64, left : left + 64], grey)
    assert np.abs(to_grey(to_hu(rois)) / 255 - rois).max() <= 0.5 / 340 + 0.5 / 255 + 1e-6
    found = texts(path)
    assert found["Description"] == mark.text
    assert "not for clinical use" in found["Disclaimer"]
    assert json.loads(found["lesionlabel-synthetic"]) == mark.to_json()


@pytest.mark.parametrize("count", [1, 6])
def test_a_burnt_band_stands_above_the_grid_and_covers_no_roi(
    count: int, tmp_path: Path, rois: Rois, mark: SyntheticMark
) -> None:
    plain, burnt = tmp_path / "SYNTHETIC-plain.png", tmp_path / "SYNTHETIC-burnt.png"
    write_png_grid(plain, rois[:count], mark)
    write_png_grid(burnt, rois[:count], mark, burn=True)
    below, whole = np.asarray(Image.open(plain)), np.asarray(Image.open(burnt))
    band = whole[: len(whole) - len(below)]
    np.testing.assert_array_equal(whole[len(band) :], below)
    assert len(band) >= 7
    assert set(np.unique(band)) == {0, 255}
    assert 0.1 < np.mean(band[:, : np.flatnonzero(band.any(axis=0))[-1]] == 255) < 0.5


def test_a_burnt_mark_lies_in_a_corner_and_leaves_the_lesion(rois: Rois) -> None:
    before = rois.copy()
    burnt = burn_in(rois)
    np.testing.assert_array_equal(rois, before)
    y, x = np.nonzero((burnt != rois).any(axis=0))
    assert y.max() < 7
    assert x.max() < 36
    assert np.hypot(y - 31.5, x - 31.5).min() > 24  # a lesion's diameter is 43 pixels without scaling
    assert {0.0, 1.0} == set(np.unique(burnt[:, :7, :36]))


def test_numpy_values_are_those_of_every_other_form_and_the_mark_is_beside(
    tmp_path: Path, rois: Rois, mark: SyntheticMark
) -> None:
    path = tmp_path / f"{mark.stem}.npy"
    beside = write_npy(path, rois, mark)
    values = np.load(path, allow_pickle=False)
    assert (values.dtype, values.shape) == (np.float32, rois.shape)
    assert np.abs(values - rois).max() <= 0.5 / 340 + 1e-6
    np.testing.assert_array_equal(to_hu(values), to_hu(rois))
    note = json.loads(beside.read_text())
    assert note["text"] == mark.text
    assert (note["synthetic"], note["file"], note["images"]) == (True, path.name, 6)


@pytest.mark.parametrize("ending", [".nii", ".nii.gz"])
@pytest.mark.parametrize("burn", [False, True])
def test_nifti_opens_as_a_volume_in_hu_with_the_mark_in_its_header(
    ending: str, burn: bool, tmp_path: Path, rois: Rois, mark: SyntheticMark
) -> None:
    path = tmp_path / f"{mark.stem}{ending}"
    write_nifti(path, rois, mark, burn)
    image = sitk.ReadImage(str(path))
    wanted = to_hu(burn_in(rois) if burn else rois)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(image), wanted)
    assert image.GetPixelID() == sitk.sitkInt16
    assert image.GetSpacing() == (1, 1, 1)
    assert image.GetMetaData("descrip").startswith("SYNTHETIC, no patient: cyst by LesionLabel gan_cyst")
    volume = read_volume(path)
    np.testing.assert_array_equal(volume.voxels, wanted)
    np.testing.assert_array_equal(volume.geometry.affine[:3, :3], np.eye(3))
    content = path.read_bytes() if ending == ".nii" else gzip.decompress(path.read_bytes())
    size, code = np.frombuffer(content[352:360], "<i4")
    assert (content[348], code, size % 16, 352 + size) == (1, 6, 0, np.frombuffer(content[108:112], "<f4")[0])
    assert json.loads(content[360 : 352 + size].rstrip(b"\0")) == mark.to_json()


def test_the_same_images_make_the_same_files(tmp_path: Path, rois: Rois, mark: SyntheticMark) -> None:
    for write, ending in ((write_nifti, ".nii.gz"), (write_npy, ".npy"), (write_png_grid, ".png")):
        path = tmp_path / f"{mark.stem}{ending}"
        write(path, rois, mark)
        first = path.read_bytes()
        write(path, rois, mark)
        assert path.read_bytes() == first


def test_a_name_that_says_nothing_is_not_written(tmp_path: Path, rois: Rois, mark: SyntheticMark) -> None:
    for write, name in ((write_nifti, "cyst.nii"), (write_npy, "cyst.npy"), (write_png_grid, "cyst.png")):
        with pytest.raises(InputError, match="is named SYNTHETIC-"):
            write(tmp_path / name, rois, mark)
    assert not list(tmp_path.iterdir())


def test_what_is_no_set_of_rois_is_not_written(tmp_path: Path, rois: Rois, mark: SyntheticMark) -> None:
    nan = rois.copy()
    nan[0, 3, 3] = np.nan
    wrongs: list[Any] = [rois[0], rois[:0], rois[:, :32], rois + 0.5, -rois, nan, to_hu(rois)]
    for wrong in wrongs:
        with pytest.raises(InputError, match="Synthetic ROIs are"):
            write_nifti(tmp_path / "SYNTHETIC-x.nii", wrong, mark)
    assert not list(tmp_path.iterdir())


def test_marks_are_seen_whatever_a_file_is_called_and_real_files_have_none(
    tmp_path: Path, rois: Rois, mark: SyntheticMark
) -> None:
    write_nifti(tmp_path / "SYNTHETIC-a.nii.gz", rois, mark)
    write_nifti(tmp_path / "SYNTHETIC-b.nii", rois, mark)
    write_png_grid(tmp_path / "SYNTHETIC-c.png", rois, mark)
    write_npy(tmp_path / "SYNTHETIC-d.npy", rois, mark)
    for path in sorted(tmp_path.iterdir()):
        assert synthetic_mark_of(path) == "its name begins with SYNTHETIC-"
        renamed = path.rename(tmp_path / path.name.removeprefix("SYNTHETIC-"))
        says = None if path.suffix in (".npy", ".json") else "its header says so"
        assert synthetic_mark_of(renamed) == says
    itk = sitk.ReadImage(str(tmp_path / "a.nii.gz"))
    for name in ("again.nii.gz", "again.nii", "again.nrrd"):  # ITK carries the description along
        sitk.WriteImage(itk, str(tmp_path / name))
        assert synthetic_mark_of(tmp_path / name) == "its header says so"
    plain = sitk.GetImageFromArray(to_hu(rois))
    for name in ("plain.nii.gz", "plain.nii", "plain.nrrd"):
        sitk.WriteImage(plain, str(tmp_path / name))
        assert synthetic_mark_of(tmp_path / name) is None
    Image.fromarray(to_grey(to_hu(rois))[0]).save(tmp_path / "plain.png")
    assert synthetic_mark_of(tmp_path / "plain.png") is None


def test_a_text_behind_the_pixels_of_a_png_is_seen(tmp_path: Path, rois: Rois, mark: SyntheticMark) -> None:
    path = tmp_path / "SYNTHETIC-a.png"
    write_png_grid(path, rois[:1], mark)
    content = path.read_bytes()
    chunks: list[bytes] = []
    at = 8
    while at < len(content):
        end = at + 12 + int.from_bytes(content[at : at + 4], "big")
        chunks.append(content[at:end])
        at = end
    order = {b"IHDR": 0, b"IDAT": 1, b"tEXt": 2, b"iTXt": 2, b"IEND": 3}
    moved = tmp_path / "moved.png"
    moved.write_bytes(content[:8] + b"".join(sorted(chunks, key=lambda chunk: order[bytes(chunk)[4:8]])))
    assert synthetic_mark_of(moved) == "its header says so"


def test_damaged_and_missing_files_say_nothing(tmp_path: Path, rois: Rois, mark: SyntheticMark) -> None:
    png = tmp_path / "SYNTHETIC-a.png"
    write_png_grid(png, rois[:1], mark)
    for name in ("a.png", "b.nii.gz", "c.nii", "d.nrrd", "e.dcm", "f"):
        assert synthetic_mark_of(tmp_path / name) is None
        (tmp_path / name).write_bytes(png.read_bytes()[:30])
        assert synthetic_mark_of(tmp_path / name) is None
