from __future__ import annotations

import gzip
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from lesionlabel.imaging.read import read_volume
from lesionlabel.lesions.errors import InputError

#: Offsets in a NIfTI-1 header.
PIXDIM, CODES, SROW_X, SROW_Y = 80, 252, 280, 296


@pytest.fixture
def change(write_file: Callable[..., Path]) -> Callable[..., Path]:
    """A function that writes a good NIfTI file, then packs other numbers into its header: (offset, format, numbers) each."""

    def write(*edits: tuple[int, str, tuple[float, ...]]) -> Path:
        path = write_file()
        content = bytearray(gzip.decompress(path.read_bytes()))
        for offset, kind, numbers in edits:
            struct.pack_into("<" + kind, content, offset, *numbers)
        path.write_bytes(gzip.compress(bytes(content)))
        return path

    return write


#: The sform of write_file's geometry, rows x and y, RAS.
ROW_X, ROW_Y = (-0.75, 0.0, 0.0, 9.0), (0.0, -0.75, 0.0, 7.5)


def test_the_header_that_is_changed_below_is_good(change: Callable[..., Path]) -> None:
    assert read_volume(change((SROW_X, "4f", ROW_X), (SROW_Y, "4f", ROW_Y))).geometry.spacing == (0.75, 0.75, 2.5)


@pytest.mark.parametrize(
    ("edits", "message"),
    [
        pytest.param([(CODES, "2h", (0, 0))], "does not say where", id="no orientation"),
        pytest.param([(SROW_Y, "4f", (0.0, -0.75, 0.5, 7.5))], r"miss the right angle by 11\.3", id="tilted gantry"),
        pytest.param([(CODES, "2h", (0, 1)), (PIXDIM, "3f", (1, 1, 1))], "by pixdim and", id="sizes of pixdim"),
        pytest.param([(SROW_X, "4f", (0.75, 0.0, 0.0, 9.0))], "qform and sform", id="left for right"),
        pytest.param([(SROW_X, "4f", (-0.75, 0.0, 0.0, 12.0))], "qform and sform", id="shifted"),
        pytest.param([(SROW_X, "4f", (0.0, 0.0, 0.0, 9.0))], "no place of voxels", id="no length"),
    ],
)
def test_a_file_that_gives_its_voxels_no_place_or_two_is_refused(
    edits: list[tuple[int, str, tuple[float, ...]]], message: str, change: Callable[..., Path]
) -> None:
    with pytest.raises(InputError, match=message):
        read_volume(change(*edits))


def test_either_form_alone_is_enough(change: Callable[..., Path]) -> None:
    for codes in ((1, 0), (0, 1)):
        assert read_volume(change((CODES, "2h", codes))).geometry.spacing == (0.75, 0.75, 2.5)


@pytest.mark.parametrize("turn", [(10, 43, 35), (15, 43, 115), (0, 30, 0), (20, 10, 70), (90, 0, 0)])
def test_slices_stay_slices_however_the_grid_is_turned(
    turn: tuple[float, ...], write_file: Callable[..., Path], body: NDArray[np.int16]
) -> None:
    """In the first two, an axis within the slice would fit the head as well if left and back alone were looked at."""
    direction = Rotation.from_euler("zxz", turn, degrees=True).as_matrix()
    volume = read_volume(write_file(direction=tuple(direction.ravel())))
    assert volume.geometry.affine[2, 2] > 0
    assert volume.geometry.spacing == pytest.approx((0.75, 0.75, 2.5), abs=1e-5)
    assert sorted(plane.sum() for plane in volume.voxels) == sorted(plane.sum() for plane in body)
