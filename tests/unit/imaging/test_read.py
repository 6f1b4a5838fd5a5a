from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from lesionlabel.imaging.nifti import write_image
from lesionlabel.imaging.read import read_volume
from lesionlabel.lesions.errors import InputError, NotCTError, NotFoundError

TILT = np.deg2rad(12)


def test_voxels_and_geometry_are_those_of_the_file(write_file: Callable[..., Path], body: NDArray[np.int16]) -> None:
    volume = read_volume(write_file())
    assert volume.voxels.dtype == np.int16
    np.testing.assert_array_equal(volume.voxels, body)
    assert volume.geometry.shape == body.shape
    assert volume.geometry.spacing == (0.75, 0.75, 2.5)
    np.testing.assert_array_equal(volume.geometry.to_lps([0, 0, 0]), [-9.0, -7.5, 30.0])


@pytest.mark.parametrize("name", ["case.nii", "case.nii.gz", "case.nrrd"])
@pytest.mark.parametrize(
    "direction",
    [
        (-1, 0, 0, 0, -1, 0, 0, 0, 1),  # RAS, as most NIfTI files
        (1, 0, 0, 0, 1, 0, 0, 0, -1),  # head first, left-handed
        (0, 0, -1, 1, 0, 0, 0, -1, 0),  # stored as sagittal slices
        (np.cos(TILT), 0, -np.sin(TILT), 0, -1, 0, np.sin(TILT), 0, np.cos(TILT)),  # oblique
    ],
)
def test_every_orientation_becomes_left_back_head(
    name: str, direction: tuple[float, ...], write_file: Callable[..., Path], body: NDArray[np.int16]
) -> None:
    if name.startswith("case.nii") and direction[8] == -1:
        direction = (-1, 0, 0, 0, 1, 0, 0, 0, -1)  # a NIfTI quaternion has no mirrored frames
    volume = read_volume(write_file(name, direction=direction))
    axes = volume.geometry.affine[:3, :3] / np.asarray(volume.geometry.spacing)
    assert np.all(np.diag(axes) > 0.9)
    for k, j, i in np.ndindex(body.shape):
        assert volume.native.shape == body.shape
        if (k + j + i) % 37:
            continue
        own = np.rint(volume.from_native([i, j, k])).astype(int)
        assert volume.voxels[own[2], own[1], own[0]] == body[k, j, i]
        np.testing.assert_allclose(volume.to_native(own), [i, j, k], atol=1e-4)


def test_real_numbers_are_rounded_and_clipped(write_file: Callable[..., Path], body: NDArray[np.int16]) -> None:
    voxels = body.astype(np.float64) + 0.4
    voxels[0, 0, 0], voxels[0, 0, 1] = 1e6, -1e6
    volume = read_volume(write_file(voxels=voxels))
    assert (volume.voxels[0, 0, 0], volume.voxels[0, 0, 1]) == (32767, -32768)
    np.testing.assert_array_equal(volume.voxels[1:], body[1:])


@pytest.mark.parametrize(
    "orientation",
    [
        (1, 0, 0, 0, 1, 0),
        (-1, 0, 0, 0, -1, 0),  # prone
        (1, 0, 0, 0, -1, 0),  # slices to the feet
        (0.9961946981, 0.0871557427, 0, -0.0858316512, 0.9810602922, 0.1736481777),  # turned and oblique, not tilted
    ],
)
def test_dicom_and_the_nifti_written_from_it_are_the_same(
    orientation: tuple[float, ...], tmp_path: Path, write_series: Callable[..., Any]
) -> None:
    origin = (-123.456789, -98.7654321, 1234.56789)
    series = write_series(orientation=orientation, origin=origin, spacing=(0.7431234, 0.7431234, 1.6000000238))
    dicom = read_volume(series.folder)
    write_image(tmp_path / "same.nii.gz", dicom.voxels, dicom.geometry)
    nifti = read_volume(tmp_path / "same.nii.gz")
    np.testing.assert_array_equal(dicom.voxels, nifti.voxels)
    np.testing.assert_array_equal(dicom.geometry.affine, nifti.geometry.affine)
    np.testing.assert_allclose(dicom.native.to_lps([0, 0, 0]), origin, atol=1e-4)
    middle = np.rint(dicom.from_native([7, 6, 2])).astype(int)
    assert dicom.voxels[middle[2], middle[1], middle[0]] == series.hu[2, 6, 7]


def test_a_grid_of_one_slice_or_four_dimensions_is_refused(write_file: Callable[..., Path], body: NDArray[np.int16]) -> None:
    with pytest.raises(InputError, match=r"1 slice\(s\); at least 3"):
        read_volume(write_file("one.nii.gz", voxels=body[:1]))
    with pytest.raises(InputError, match="is 4-D"):
        read_volume(write_file("four.nii.gz", voxels=np.stack([body, body])))


def test_one_time_point_is_a_volume(write_file: Callable[..., Path], body: NDArray[np.int16]) -> None:
    np.testing.assert_array_equal(read_volume(write_file(voxels=body[None])).voxels, body)


def test_colours_bytes_and_nan_are_refused(write_file: Callable[..., Path], body: NDArray[np.int16]) -> None:
    colours = np.zeros((6, 20, 24, 3), np.int16)
    with pytest.raises(NotCTError, match="3 components"):
        read_volume(write_file("rgb.nrrd", voxels=colours, vector=True))
    with pytest.raises(NotCTError, match="8-bit"):
        read_volume(write_file("bytes.nii.gz", voxels=np.clip(body, 0, 255).astype(np.uint8)))
    holes = body.astype(np.float32)
    holes[3, 4, 5:7] = np.nan
    for name in ("nan.nii.gz", "nan.nii", "nan.nrrd"):
        with pytest.raises(NotCTError, match="2 NaN or infinite voxels"):
            read_volume(write_file(name, voxels=holes))


def test_damaged_files_are_refused(tmp_path: Path, write_file: Callable[..., Path]) -> None:
    whole = gzip.decompress(write_file().read_bytes())
    for name, content in {
        "short.nii": whole[: len(whole) // 2],
        "short.nii.gz": gzip.compress(whole)[:-2000],
        "damaged.nii.gz": gzip.compress(whole)[:2000] + b"xxxx" + gzip.compress(whole)[2004:],
        "short.nrrd": write_file("whole.nrrd").read_bytes()[:-300],
        "text.nii.gz": b"no image at all" * 50,
        "empty.nii": b"",
        "text.nrrd": b"NRRD0004\ntype: short\n\n",
    }.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match="cannot be read"):
            read_volume(tmp_path / name)


def test_a_header_that_promises_too_much_is_refused_before_reading(tmp_path: Path) -> None:
    header = b"NRRD0004\ntype: short\ndimension: 3\nsizes: 4000 4000 4000\nencoding: raw\nendian: little\n\n"
    (tmp_path / "bomb.nrrd").write_bytes(header)
    with pytest.raises(InputError, match="4000 × 4000 × 4000"):
        read_volume(tmp_path / "bomb.nrrd")


def test_a_nrrd_that_points_to_another_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "voxels.raw").write_bytes(bytes(6 * 20 * 24 * 2))
    header = b"NRRD0004\ntype: short\ndimension: 3\nsizes: 24 20 6\nencoding: raw\nendian: little\ndata file: voxels.raw\n\n"
    (tmp_path / "detached.nrrd").write_bytes(header)
    with pytest.raises(InputError, match="another file"):
        read_volume(tmp_path / "detached.nrrd")


def test_what_is_not_there_and_what_is_no_image(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError):
        read_volume(tmp_path / "missing.nii.gz")
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(InputError, match="no NIfTI or NRRD"):
        read_volume(tmp_path / "notes.txt")
    with pytest.raises(InputError, match="holds no CT series"):
        read_volume(tmp_path)


def test_a_folder_of_two_series_is_refused(write_series: Callable[..., Any]) -> None:
    first = write_series("both/a")
    write_series("both/b")
    with pytest.raises(InputError, match="holds 2 CT series"):
        read_volume(first.folder.parent)


def test_a_series_marked_as_synthetic_says_that_it_is_simulated(write_series: Callable[..., Any]) -> None:
    def mark(dataset: Any, number: int) -> None:
        dataset.add_new(0x0008001C, "CS", "YES")

    assert read_volume(write_series("marked", change=mark).folder).info["simulated"] is True
    assert "simulated" not in read_volume(write_series("plain").folder).info
