from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from lesionlabel.imaging.nifti import read_image, stored_geometry, write_image
from lesionlabel.lesions.volume import Geometry


@given(
    turn=st.tuples(*[st.floats(-40, 40)] * 3),
    spacing=st.tuples(st.floats(0.3, 1.5), st.floats(0.3, 1.5), st.floats(0.5, 10)),
    origin=st.tuples(*[st.floats(-2000, 2000)] * 3),
)
@settings(max_examples=60, deadline=None)
def test_a_stored_geometry_is_stored_as_it_is(
    turn: tuple[float, ...], spacing: tuple[float, ...], origin: tuple[float, ...]
) -> None:
    affine = np.eye(4)
    affine[:3, :3] = Rotation.from_euler("xyz", turn, degrees=True).as_matrix() * np.asarray(spacing)
    affine[:3, 3] = origin
    geometry = Geometry((3, 4, 5), affine)
    stored = stored_geometry(geometry)
    np.testing.assert_allclose(stored.affine, affine, atol=2e-4)
    np.testing.assert_array_equal(stored_geometry(stored).affine, stored.affine)


def test_writing_never_replaces_a_file(tmp_path: Path, body: NDArray[np.int16], write_file: Callable[..., Path]) -> None:
    path = write_file()
    before = path.read_bytes()
    with pytest.raises(FileExistsError):
        write_image(path, body + 1, read_image(path)[1])
    assert path.read_bytes() == before
    assert not any(path.parent.joinpath(".incoming").iterdir())


def test_the_same_volume_is_written_as_the_same_bytes(
    tmp_path: Path, body: NDArray[np.int16], write_file: Callable[..., Path]
) -> None:
    geometry = read_image(write_file())[1]
    for name in ("a.nii.gz", "b.nii.gz"):
        write_image(tmp_path / name, body, geometry)
    assert (tmp_path / "a.nii.gz").read_bytes() == (tmp_path / "b.nii.gz").read_bytes()
