"""The click segmenter's windows show the slice where they say they do."""

import numpy as np
import pytest

from lesionlabel.lesions.errors import InputError
from lesionlabel.lesions.volume import Geometry, Volume
from lesionlabel.lesions.window import EDGE, HU_MIDDLE, HU_SCALE, SIDE, Frame, cut_slab


def volume_of(voxels, spacing=(0.8, 0.8, 1.5)):
    geometry = Geometry(voxels.shape, np.diag([*spacing, 1.0]))
    return Volume(voxels.astype(np.int16), geometry, geometry)


def to_hu(window):
    return window * HU_SCALE + HU_MIDDLE


@pytest.fixture(scope="module")
def slanted():
    """HU that rise by one a column and two a row, and by ten a slice."""
    k, j, i = np.indices((15, 200, 220))
    return volume_of(i + 2 * j + 10 * k - 400)


def test_a_window_of_the_slice_s_own_pixels_shows_them(slanted):
    slab = cut_slab(slanted, (100, 90), 7, 60.0)
    window = to_hu(slab.window(Frame((100.5, 90.5), 1.0)))
    np.testing.assert_allclose(window[0], np.clip(slanted.voxels[7, 43:139, 53:149], -160, 320), atol=1e-3)


@pytest.mark.parametrize("step", [0.6, 1.7, 2.6])
def test_a_window_s_pixels_are_where_its_frame_says(slanted, step):
    frame = Frame((101.3, 88.2), step)
    window = to_hu(cut_slab(slanted, (100, 90), 7, 150.0).window(frame))[0]
    y, x = np.indices((SIDE, SIDE))
    points = frame.to_slice(np.stack([x, y], axis=-1))
    expected = points @ [1, 2] + 70 - 400
    # Away from the image's edges, and from where the HU are cut off.
    held = (expected > -140) & (expected < 250) & ((points > 15) & (points < [205, 185])).all(axis=-1)
    assert held.sum() > 500
    np.testing.assert_allclose(window[held], expected[held], atol=0.75)


def test_a_frame_goes_back_and_forth():
    frame, points = Frame((30.2, 40.7), 1.9), np.array([[1.0, 2.0], [90.0, 3.5]])
    np.testing.assert_allclose(frame.to_window(frame.to_slice(points)), points)
    np.testing.assert_allclose(frame.to_slice(np.full(2, (SIDE - 1) / 2)), [30.2, 40.7])


def test_the_channels_are_the_slice_those_near_above_and_below():
    voxels = np.zeros((15, 60, 60)) + np.arange(15)[:, None, None] * 10
    planes = to_hu(cut_slab(volume_of(voxels), (30, 30), 7, 20.0).planes)[:, 0, 0]
    # Slices 1.5 mm apart: one on each side is near, the five beyond are beside.
    np.testing.assert_allclose(planes, [70, 70, 110, 30], atol=1e-3)


def test_thick_slices_and_the_volume_s_ends_repeat_what_is_there():
    voxels = np.zeros((3, 60, 60)) + np.array([10, 20, 40])[:, None, None]
    thick = volume_of(voxels, (0.8, 0.8, 5.0))
    np.testing.assert_allclose(to_hu(cut_slab(thick, (30, 30), 1, 20.0).planes)[:, 0, 0], [20, 20, 40, 10], atol=1e-3)
    np.testing.assert_allclose(to_hu(cut_slab(thick, (30, 30), 2, 20.0).planes)[:, 0, 0], [40, 40, 40, 20], atol=1e-3)


def test_a_window_beyond_the_image_repeats_its_edge():
    voxels = np.zeros((3, 40, 40)) + np.arange(40)
    window = to_hu(cut_slab(volume_of(voxels), (2, 39), 1, 100.0).window(Frame((2.0, 39.0), 2.0)))
    assert np.isfinite(window).all()
    np.testing.assert_allclose(window[0, :, 0], 0, atol=1.0)
    np.testing.assert_allclose(window[0, :, -1], 39, atol=1.0)


def test_a_reflected_window_beyond_the_image_shows_its_mirror_image():
    voxels = np.zeros((3, 40, 40)) + np.arange(40)
    slab = cut_slab(volume_of(voxels), (2, 20), 1, 100.0)
    window = to_hu(slab.window(Frame((0.0, 20.0), 0.5), reflected=True))[0]
    # Its middle lies on the first column, between two of its pixels.
    np.testing.assert_allclose(window, window[:, ::-1], atol=0.01)
    np.testing.assert_allclose(window[:, -1], (SIDE - 1) / 4, atol=0.01)
    # Where the image is smaller than the window, again and again.
    far = to_hu(slab.window(Frame((20.0, 20.0), 2.0), reflected=True))[0]
    assert np.ptp(far[:, 0]) < 0.1
    assert 0 <= far.min() < far.max() <= 39.01


def test_pixels_that_are_not_square_are_refused():
    with pytest.raises(InputError, match="square"):
        cut_slab(volume_of(np.zeros((3, 40, 40)), (0.8, 1.2, 2.0)), (20, 20), 1, 20.0)


def test_a_window_is_moved_into_the_volume_as_far_as_it_fits():
    slab = cut_slab(volume_of(np.zeros((1, 200, 300))), (150.0, 100.0), 0, 400.0)
    for middle, step in (((5.0, 100.0), 1.0), ((295.0, 190.0), 1.0), ((150.0, 3.0), 1.5)):
        moved = slab.within(Frame(middle, step))
        corners = moved.to_slice(np.array([[0.0, 0.0], [SIDE - 1.0, SIDE - 1.0]]))
        assert (corners[0] >= -(EDGE + 0.5) * step).all()
        assert (corners[1] <= np.array([299.0, 199.0]) + (EDGE + 0.5) * step).all()
    assert slab.within(Frame((150.0, 100.0), 1.0)).middle == (150.0, 100.0)
    assert slab.within(Frame((20.0, 30.0), 3.0)).middle == (134.5, 99.5)
