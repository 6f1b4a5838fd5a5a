"""Outlines from masks, points and circles, and back."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray
from scipy import ndimage

from lesionlabel.lesions.contour import Contour, contour_from_circle, contour_from_diameter, contour_from_mask
from lesionlabel.lesions.errors import InputError

blobs = hnp.arrays(bool, st.tuples(st.integers(1, 14), st.integers(1, 14)), elements=st.booleans())


def largest_filled(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The largest 4-connected part (the first of equals) with its holes filled."""
    parts = np.zeros(mask.shape, dtype=np.int32)
    ndimage.label(mask, output=parts)
    sizes = [int((parts == part).sum()) for part in range(1, int(parts.max()) + 1)]
    return np.asarray(ndimage.binary_fill_holes(parts == 1 + int(np.argmax(sizes))), dtype=bool)


@given(blobs)
@settings(max_examples=300, deadline=None)
def test_a_masks_outline_holds_exactly_its_pixels(mask: NDArray[np.bool_]) -> None:
    if not mask.any():
        with pytest.raises(InputError, match="empty"):
            contour_from_mask(mask, 0)
        return
    contour = contour_from_mask(mask, 7)
    assert contour.slice_index == 7
    np.testing.assert_array_equal(contour.mask(*mask.shape), largest_filled(mask))


@given(seed=st.integers(0, 10_000), smooth=st.floats(0.8, 4))
@settings(max_examples=40, deadline=None)
def test_a_smooth_blobs_outline_has_its_area(seed: int, smooth: float) -> None:
    field = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=(48, 40)), smooth)
    mask = np.asarray(field > 0.5 * field.std())
    if not mask.any():
        return
    contour = contour_from_mask(mask, 0)
    filled = largest_filled(mask)
    x, y = contour.points.T
    area = 0.5 * abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1)))
    assert area == pytest.approx(filled.sum())
    np.testing.assert_array_equal(contour.mask(48, 40), filled)


coordinate = st.floats(-200, 600)


@given(a=st.tuples(coordinate, coordinate), b=st.tuples(coordinate, coordinate))
def test_two_points_make_the_circle_on_that_diameter(a: tuple[float, float], b: tuple[float, float]) -> None:
    length = math.dist(a, b)
    if length < 0.01:
        return
    contour = contour_from_diameter(a, b, 3)
    assert contour.diameter_px == pytest.approx(length, rel=1e-6)
    np.testing.assert_allclose(contour.centre, np.mean([a, b], axis=0), atol=1e-6)
    assert contour.slice_index == 3


def test_two_equal_points_are_no_diameter() -> None:
    with pytest.raises(InputError, match="positive"):
        contour_from_diameter((5, 5), (5, 5), 0)


@pytest.mark.parametrize("diameter", [0.0, -3.0, math.nan, math.inf])
def test_a_circle_needs_a_positive_diameter(diameter: float) -> None:
    with pytest.raises(InputError, match="positive"):
        contour_from_circle((0, 0), diameter, 0)


def test_a_circles_mask_has_its_area_and_ends_at_the_image() -> None:
    assert contour_from_circle((40.2, 31.7), 30, 0).mask(80, 90).sum() == pytest.approx(math.pi * 15**2, rel=0.02)
    half_outside = contour_from_circle((-0.5, 31.7), 30, 0).mask(80, 90)
    assert half_outside.sum() == pytest.approx(math.pi * 15**2 / 2, rel=0.03)
    assert not contour_from_circle((-100, 31.7), 30, 0).mask(80, 90).any()


@given(hnp.arrays(np.float64, st.tuples(st.integers(3, 40), st.just(2)), elements=st.integers(-50, 50).map(float)))
@settings(deadline=None)
def test_the_diameter_is_the_longest_distance_between_points(points: NDArray[np.float64]) -> None:
    if np.ptp(points[:, 0]) == 0 or np.ptp(points[:, 1]) == 0:
        with pytest.raises(InputError, match="area"):
            Contour(0, points)
        return
    longest = np.linalg.norm(points[:, None] - points[None], axis=-1).max()
    contour = Contour(0, points)
    assert contour.diameter_px == pytest.approx(longest)
    assert np.linalg.norm(np.subtract(*contour.longest_axis)) == pytest.approx(longest)


@pytest.mark.parametrize("points", [[[0, 0], [1, 1]], [[0, 0, 0], [1, 0, 0], [0, 1, 0]], [[0, 0], [1, 0], [0, math.nan]]])
def test_what_is_no_outline_is_refused(points: list[list[float]]) -> None:
    with pytest.raises(InputError):
        Contour(0, np.array(points, dtype=np.float64))
