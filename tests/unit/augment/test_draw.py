"""What is drawn is the paper's augmentation: 30 rotations, and of each 3 flips, 7 translations, 5 scalings."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from lesionlabel.augment.draw import Recipe, draw_placements, inward_only, lesion_stream, margin_range
from lesionlabel.lesions.errors import InputError
from lesionlabel.lesions.roi import Context, Placement


def test_the_papers_recipe_gives_480_in_its_order(make_context: Callable[..., Context]) -> None:
    placements = draw_placements(make_context(30.0), Recipe(), np.random.default_rng(0))
    assert len(placements) == Recipe().per_lesion == 480
    angles = []
    for start in range(0, 480, 16):
        rotated, *rest = placements[start : start + 16]
        angles.append(rotated.angle_deg)
        assert rotated == Placement(rotated.angle_deg)
        assert {p.angle_deg for p in rest} == {rotated.angle_deg}
        assert [p.flip for p in rest[:3]] == ["ud", "lr", "both"]
        assert all(p.flip == "none" and p.shift_px != (0.0, 0.0) and p.margin is None for p in rest[3:10])
        assert all(p.flip == "none" and p.shift_px == (0.0, 0.0) and p.margin is not None for p in rest[10:])
    assert len(set(angles)) == 30


@pytest.mark.parametrize(("diameter", "reach"), [(14.0, 1.4), (39.0, 3.9), (137.0, 4.0)])
def test_draws_are_uniform_in_the_papers_ranges(make_context: Callable[..., Context], diameter: float, reach: float) -> None:
    recipe = Recipe(rotations=1000, flips=0, translations=1, scalings=1)
    placements = draw_placements(make_context(diameter), recipe, np.random.default_rng(3))
    angles = [p.angle_deg for p in placements[::3]]
    shifts = np.array([p.shift_px for p in placements[1::3]])
    margins = [p.margin for p in placements[2::3]]
    for values, low, high in (
        (angles, 0, 180),
        (shifts[:, 0], -reach, reach),
        (shifts[:, 1], -reach, reach),
        (margins, 0.1, 0.4),
    ):
        assert stats.kstest(values, stats.uniform(low, high - low).cdf).pvalue > 1e-3
    assert abs(np.corrcoef(shifts.T)[0, 1]) < 0.15


@given(margin_px=st.floats(0.2, 20))
def test_a_ready_cut_roi_is_never_scaled_outward_and_says_so(make_context: Callable[..., Context], margin_px: float) -> None:
    context = make_context(30.0, half=20, margin_px=margin_px)
    placements = draw_placements(context, Recipe(rotations=5), np.random.default_rng(0))
    margins = [p.margin for p in placements if p.margin is not None]
    assert inward_only(context)
    assert len(margins) == 25
    assert max(margins) <= context.unscaled_margin
    low, high = margin_range(context)
    assert low <= min(margins) <= max(margins) <= high == min(0.4, context.unscaled_margin)


def test_with_tissue_around_scaling_goes_both_ways(make_context: Callable[..., Context]) -> None:
    assert margin_range(make_context(30.0)) == (0.1, 0.4)
    assert not inward_only(make_context(30.0))


def test_a_stream_belongs_to_seed_and_lesion() -> None:
    first = lesion_stream(7, "lesion-a").random(4).tolist()
    assert first == lesion_stream(7, "lesion-a").random(4).tolist()
    assert first != lesion_stream(8, "lesion-a").random(4).tolist()
    assert first != lesion_stream(7, "lesion-b").random(4).tolist()
    with pytest.raises(InputError, match="-1"):
        lesion_stream(-1, "lesion-a")


@pytest.mark.parametrize("counts", [(0, 3, 7, 5), (30, 4, 7, 5), (30, -1, 7, 5), (30, 3, -7, 5), (30, 3, 7, -5)])
def test_an_impossible_recipe_is_refused(counts: tuple[int, int, int, int]) -> None:
    with pytest.raises(InputError, match="recipe"):
        Recipe(*counts)
