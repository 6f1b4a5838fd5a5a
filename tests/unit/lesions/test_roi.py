"""The one ROI: what it is equal to, and what it says about its surroundings."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from lesionlabel.lesions.contour import contour_from_circle
from lesionlabel.lesions.errors import InputError, OutsideVolumeError
from lesionlabel.lesions.roi import MARGIN, Context, Placement, context_half_width, cut_context, cut_roi
from lesionlabel.lesions.volume import Geometry, Volume


def volume_of(voxels: NDArray[np.int16], pixel_mm: float = 0.7) -> Volume:
    geometry = Geometry((voxels.shape[0], voxels.shape[1], voxels.shape[2]), np.diag([pixel_mm, pixel_mm, 2.0, 1.0]))
    return Volume(voxels, geometry, geometry)


@pytest.fixture(scope="module")
def noisy() -> Volume:
    rng = np.random.default_rng(4)
    voxels = rng.normal(100, 60, (3, 300, 280))
    voxels[:, :, :90] -= 900
    return volume_of(np.rint(voxels).astype(np.int16))


@given(diameter=st.floats(4, 100), x=st.floats(90, 190), y=st.floats(100, 200))
@settings(max_examples=40, deadline=None)
def test_an_upright_roi_is_pillows_bicubic_resize_of_the_square(noisy: Volume, diameter: float, x: float, y: float) -> None:
    context = cut_context(noisy, contour_from_circle((x, y), diameter, 1))
    side = context.diameter_px * (1 + 2 * MARGIN)
    left, top = context.centre[0] + 0.5 - side / 2, context.centre[1] + 0.5 - side / 2
    pillow = Image.fromarray(context.hu).resize((64, 64), Image.Resampling.BICUBIC, (left, top, left + side, top + side))
    wanted = np.clip((np.asarray(pillow) + 100) / 340, 0, 1)
    np.testing.assert_allclose(cut_roi(context), wanted, atol=1e-5, rtol=0)


@given(
    diameter=st.floats(4, 130),
    shift=st.tuples(st.floats(-4, 4), st.floats(-4, 4)),
    margin=st.none() | st.floats(0.1, 0.4),
    flip=st.sampled_from(["none", "ud", "lr", "both"]),
)
@settings(max_examples=25, deadline=None)
def test_the_rotated_sum_meets_the_separable_one_at_no_angle(
    noisy: Volume, diameter: float, shift: tuple[float, float], margin: float | None, flip: str
) -> None:
    context = cut_context(noisy, contour_from_circle((140.3, 151.8), diameter, 0))
    upright = cut_roi(context, Placement(0.0, shift, margin, flip))  # pyright: ignore[reportArgumentType]
    turned = cut_roi(context, Placement(1e-10, shift, margin, flip))  # pyright: ignore[reportArgumentType]
    np.testing.assert_allclose(turned, upright, atol=1e-5, rtol=0)


def test_a_quarter_turn_is_the_upright_roi_turned(noisy: Volume) -> None:
    context = cut_context(noisy, contour_from_circle((140.0, 150.0), 40.0, 0))
    # Counter-clockwise from x to y, with rows downwards: the ROI's rows run along the context's columns.
    np.testing.assert_allclose(cut_roi(context, Placement(90.0)), np.rot90(cut_roi(context)), atol=1e-5, rtol=0)


def test_the_window_is_fixed_and_maps_hu_linearly() -> None:
    values = []
    for hu in (-1000, -100, 0, 70, 240, 1500):
        flat = Context(np.full((60, 60), hu, dtype=np.float32), (30.0, 30.0), 20.0, 0.7)
        roi = cut_roi(flat, Placement(20.0))
        assert roi.dtype == np.float32
        assert np.ptp(roi) < 1e-6
        values.append(float(roi[0, 0]))
    np.testing.assert_allclose(values, [0, 0, 100 / 340, 0.5, 1, 1], atol=1e-6)


def test_the_lesion_fills_the_share_that_its_margin_leaves() -> None:
    rows, columns = np.mgrid[:160, :160]
    for margin in (0.1, 0.25, 0.4):
        disc = np.where(np.hypot(columns - 80.25, rows - 79.5) <= 25, 200, 0).astype(np.float32)
        roi = cut_roi(Context(disc, (80.25, 79.5), 50.0, 0.7), Placement(margin=margin))
        across = 2 * math.sqrt(float((roi > 0.59).sum()) / math.pi) / 64
        assert across == pytest.approx(1 / (1 + 2 * margin), abs=0.01)


@pytest.mark.parametrize(
    ("x", "y", "padded"), [(150, 150, False), (5, 150, True), (150, 3, True), (276, 150, True), (150, 297, True)]
)
def test_a_context_at_the_volumes_edge_is_flagged_and_repeats_the_edge(noisy: Volume, x: float, y: float, padded: bool) -> None:
    context = cut_context(noisy, contour_from_circle((x, y), 30.0, 2))
    half = context_half_width(30.0)
    assert context.padded is padded
    assert context.hu.shape == (2 * half + 1, 2 * half + 1)
    rows, columns = np.clip([[y - half, y + half], [x - half, x + half]], 0, [[299], [279]]).astype(int)
    corners = noisy.voxels[2][np.ix_(rows, columns)]
    np.testing.assert_array_equal(context.hu[np.ix_([0, -1], [0, -1])], corners)


@given(x=st.floats(0, 279), y=st.floats(0, 299), diameter=st.floats(3, 90))
@settings(max_examples=40, deadline=None)
def test_the_contexts_centre_is_the_lesions_centre(x: float, y: float, diameter: float) -> None:
    rows, columns = np.mgrid[:300, :280]
    ramp = volume_of((2 * columns + 3 * rows)[None].astype(np.int16))
    context = cut_context(ramp, contour_from_circle((x, y), diameter, 0))
    # Whichever pixel the centre is nearest to, the context shows that pixel of the volume there.
    column, row = (round(v) for v in context.centre)
    assert np.abs(np.array(context.centre) - [column, row]).max() <= 0.5 + 1e-9
    assert abs(context.hu[row, column] - (2 * x + 3 * y)) <= 2.5 + 1e-6


def test_a_lesion_outside_the_volume_is_refused(noisy: Volume) -> None:
    for centre, slice_index in (((-5, 100), 0), ((100, 301), 0), ((100, 100), 3), ((100, 100), -1)):
        with pytest.raises(OutsideVolumeError, match="280 × 300 × 3"):
            cut_context(noisy, contour_from_circle(centre, 20.0, slice_index))


def test_a_ready_cut_roi_reads_mirrored_pixels_outside() -> None:
    ramp = np.tile(np.linspace(-50, 200, 32, dtype=np.float32), (32, 1))
    ready_cut = Context(ramp, (15.5, 15.5), 20.0, 0.7, margin_px=6.0)
    shifted = cut_roi(ready_cut, Placement(shift_px=(8.0, 0.0)))
    # Eight native pixels are 16 columns: half of the shift shows the ramp's top again, now falling.
    assert ready_cut.unscaled_margin == pytest.approx(0.3)
    np.testing.assert_allclose(shifted[:, 52:60], shifted[:, 43:35:-1], atol=0.02)
    assert np.all(np.diff(shifted[0, 50:]) < 0)


@pytest.mark.parametrize(
    ("hu", "diameter", "problem"),
    [
        (np.zeros((3, 9)), 5.0, "at least 4"),
        (np.zeros((9, 9, 9)), 5.0, "2-D"),
        (np.full((9, 9), np.nan), 5.0, "NaN"),
        (np.zeros((9, 9)), 0.0, "diameter"),
        (np.zeros((9, 9)), np.inf, "diameter"),
    ],
)
def test_an_impossible_context_is_refused(hu: NDArray[np.float32], diameter: float, problem: str) -> None:
    with pytest.raises(InputError, match=problem):
        Context(hu.astype(np.float32), (4.0, 4.0), diameter, 0.7)
