"""The batched cutting gives the very pictures that cut_roi defines."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lesionlabel.augment.apply import cut_all, cut_rois
from lesionlabel.augment.draw import Recipe, draw_placements
from lesionlabel.lesions.errors import InputError
from lesionlabel.lesions.roi import Context, Placement, cut_roi

placements = st.builds(
    Placement,
    angle_deg=st.floats(-360, 360) | st.sampled_from([0.0, 90.0, 180.0, 1e-9]),
    shift_px=st.tuples(st.floats(-30, 30), st.floats(-30, 30)) | st.just((0.0, 0.0)),
    margin=st.none() | st.floats(0, 0.8),
    flip=st.sampled_from(["none", "ud", "lr", "both"]),
)


@given(
    diameter=st.floats(3, 160),
    margin_px=st.none() | st.floats(0.5, 20),
    half=st.none() | st.integers(5, 40),
    seed=st.integers(0, 1000),
    wanted=st.lists(placements, min_size=1, max_size=3),
)
@settings(max_examples=60, deadline=None)
def test_equals_the_definition_at_every_placement(
    make_context: Callable[..., Context],
    diameter: float,
    margin_px: float | None,
    half: int | None,
    seed: int,
    wanted: list[Placement],
) -> None:
    context = make_context(diameter, seed, half, margin_px)
    rois = cut_rois(context, wanted)
    assert rois.shape == (len(wanted), 1, 64, 64)
    assert rois.dtype == torch.float32
    for roi, placement in zip(rois, wanted, strict=True):
        np.testing.assert_allclose(roi[0].numpy(), cut_roi(context, placement), atol=1e-5, rtol=0)


@pytest.mark.parametrize("diameter", [13.5, 42.0, 60.0, 137.0])
def test_equals_the_definition_on_a_whole_recipe(make_context: Callable[..., Context], diameter: float) -> None:
    context = make_context(diameter)
    wanted = draw_placements(context, Recipe(rotations=3), np.random.default_rng(1))
    for roi, placement in zip(cut_rois(context, wanted), wanted, strict=True):
        np.testing.assert_allclose(roi[0].numpy(), cut_roi(context, placement), atol=1e-5, rtol=0)


def test_a_roi_depends_neither_on_its_batch_nor_on_the_threads(make_context: Callable[..., Context]) -> None:
    jobs = []
    for seed, diameter in enumerate((18.0, 50.0, 90.0, 33.0)):
        context = make_context(diameter, seed)
        jobs.append((context, draw_placements(context, Recipe(rotations=2), np.random.default_rng(seed))))
    jobs.insert(1, (make_context(20.0), []))
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        alone = torch.cat([cut_rois(context, [placement]) for context, wanted in jobs for placement in wanted])
        torch.set_num_threads(3)
        together = cut_all(jobs)
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(alone, together)


def test_flips_reverse_rows_and_columns_to_the_bit(make_context: Callable[..., Context]) -> None:
    plain, up_down, left_right, both = cut_rois(
        make_context(30.0), [Placement(33.0, flip=flip) for flip in ("none", "ud", "lr", "both")]
    )
    assert torch.equal(up_down, plain.flip(1))
    assert torch.equal(left_right, plain.flip(2))
    assert torch.equal(both, plain.flip(1, 2))
    assert not torch.equal(left_right, up_down)


def test_no_placements_give_no_rois(make_context: Callable[..., Context]) -> None:
    assert cut_rois(make_context(20.0), []).shape == (0, 1, 64, 64)


@pytest.mark.parametrize(
    "placement",
    [Placement(math.nan), Placement(shift_px=(math.inf, 0.0)), Placement(margin=math.nan), Placement(shift_px=(1e9, 0.0))],
)
def test_what_cannot_be_sampled_is_refused(make_context: Callable[..., Context], placement: Placement) -> None:
    with pytest.raises(InputError, match="placement"):
        cut_rois(make_context(20.0), [Placement(), placement])
