"""Points in the file's own grid, in ours, and in the patient."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from lesionlabel.lesions.errors import InputError, OutsideVolumeError
from lesionlabel.lesions.volume import Geometry, Volume

SHAPE = (6, 20, 30)


def affine(spacing: list[float], turn: NDArray[np.float64], origin: list[float]) -> NDArray[np.float64]:
    grid = np.eye(4)
    grid[:3, :3] = turn @ np.diag(spacing)
    grid[:3, 3] = origin
    return grid


def volume_of(geometry: Geometry, native: Geometry) -> Volume:
    return Volume(np.full(geometry.shape, 100, dtype=np.int16), geometry, native)


def test_a_flipped_grid_shows_the_same_voxel_under_another_index() -> None:
    geometry = Geometry(SHAPE, np.diag([0.8, 0.8, 2.5, 1.0]))
    # The file counts columns and rows from the other end, as NIfTI in RAS does.
    native = Geometry(SHAPE, affine([-0.8, -0.8, 2.5], np.eye(3), [29 * 0.8, 19 * 0.8, 0.0]))
    volume = volume_of(geometry, native)
    np.testing.assert_allclose(volume.from_native([0, 0, 4]), [29, 19, 4], atol=1e-9)
    np.testing.assert_allclose(volume.to_native([[29, 19, 4], [3, 4, 0]]), [[0, 0, 4], [26, 15, 0]], atol=1e-9)


def test_a_grid_with_exchanged_axes_is_followed() -> None:
    geometry = Geometry(SHAPE, np.diag([1.0, 1.0, 3.0, 1.0]))
    # The file's first axis runs along our slices, its second along our columns, its third along our rows.
    native = Geometry((20, 30, 6), np.array([[0, 1, 0, 0], [0, 0, 1, 0], [3, 0, 0, 0], [0, 0, 0, 1]], dtype=np.float64))
    np.testing.assert_allclose(volume_of(geometry, native).from_native([5, 7, 11]), [7, 11, 5], atol=1e-9)


def test_a_viewer_counts_the_slices_of_a_left_handed_grid_from_the_other_end() -> None:
    right = Geometry(SHAPE, np.diag([0.8, 0.8, 2.5, 1.0]))
    assert volume_of(right, right).viewer is right
    # As NIfTI in LAS: rows from the other end alone.
    left = Geometry(SHAPE, affine([0.8, -0.8, 2.5], np.eye(3), [0.0, 19 * 0.8, 0.0]))
    volume = volume_of(right, left)
    assert np.linalg.det(volume.viewer.affine) > 0
    last = SHAPE[0] - 1
    np.testing.assert_allclose(volume.from_viewer([3, 4, 1]), volume.from_native([3, 4, last - 1]), atol=1e-9)


number = st.floats(-200, 200)
grids = st.builds(
    lambda spacing, signs, angles, origin: affine(
        [s if positive else -s for s, positive in zip(spacing, signs, strict=True)],
        Rotation.from_euler("xyz", angles, degrees=True).as_matrix(),
        origin,
    ),
    st.lists(st.floats(0.3, 8), min_size=3, max_size=3),
    st.lists(st.booleans(), min_size=3, max_size=3),
    st.lists(st.floats(-180, 180), min_size=3, max_size=3),
    st.lists(number, min_size=3, max_size=3),
)


@given(ours=grids, theirs=grids, point=st.tuples(number, number, number))
@settings(deadline=None)
def test_native_indices_and_back_in_any_oblique_grids(
    ours: NDArray[np.float64], theirs: NDArray[np.float64], point: tuple[float, float, float]
) -> None:
    volume = volume_of(Geometry(SHAPE, ours), Geometry(SHAPE, theirs))
    np.testing.assert_allclose(volume.to_native(volume.from_native(point)), point, atol=1e-6)
    same_place = volume.geometry.to_lps(volume.from_native(point))
    np.testing.assert_allclose(same_place, volume.native.to_lps(point), atol=1e-6)


@given(grid=grids)
@settings(deadline=None)
def test_spacing_is_the_distance_of_neighbours_however_the_grid_lies(grid: NDArray[np.float64]) -> None:
    geometry = Geometry(SHAPE, grid)
    corner = geometry.to_lps([0, 0, 0])
    neighbours = geometry.to_lps(np.eye(3))
    np.testing.assert_allclose(geometry.spacing, np.linalg.norm(neighbours - corner, axis=1))


def test_pixels_must_be_square_within_a_hundredth() -> None:
    assert Geometry(SHAPE, np.diag([0.8, 0.806, 2, 1])).pixel_mm == pytest.approx(0.803)
    with pytest.raises(InputError, match=r"0\.8 × 0\.9 mm"):
        _ = Geometry(SHAPE, np.diag([0.8, 0.9, 2, 1])).pixel_mm


def test_a_point_must_lie_in_the_volume_and_in_tissue() -> None:
    geometry = Geometry(SHAPE, np.eye(4))
    voxels = np.full(SHAPE, 100, dtype=np.int16)
    voxels[2, 3, 4] = -800
    volume = Volume(voxels, geometry, geometry)
    assert volume.require_tissue([29.4, 19.49, -0.4]) == (29, 19, 0)
    with pytest.raises(OutsideVolumeError, match="-800 HU"):
        volume.require_tissue([4.2, 2.8, 2.0])
    for outside in ([29.6, 5, 1], [5, -0.6, 1], [5, 5, 5.6], [np.nan, 5, 1], [5, np.inf, 1]):
        with pytest.raises(OutsideVolumeError, match="30 × 20 × 6"):
            volume.require_tissue(outside)
