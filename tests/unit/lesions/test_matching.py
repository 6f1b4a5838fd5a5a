"""Which lesions of two readers are one: hand-placed circles with known distances."""

from __future__ import annotations

import numpy as np
import pytest

from lesionlabel.lesions.contour import Contour, contour_from_circle
from lesionlabel.lesions.matching import apart_mm, same_lesions, slice_dice

SPACING = (1.0, 1.0, 5.0)


def test_distances_are_in_millimetres_in_all_three_directions(outlined):
    assert apart_mm(outlined("cyst", (50, 50, 10)), outlined("cyst", (53, 50, 10)), (0.5, 1, 5)) == pytest.approx(1.5)
    assert apart_mm(outlined("cyst", (50, 50, 10)), outlined("cyst", (50, 50, 12)), SPACING) == pytest.approx(10)


def test_dice_of_outlines_counts_the_pixels_within_both():
    square = Contour(3, np.array([[-0.5, -0.5], [9.5, -0.5], [9.5, 9.5], [-0.5, 9.5]]))
    half = Contour(3, np.array([[4.5, -0.5], [14.5, -0.5], [14.5, 9.5], [4.5, 9.5]]))
    assert slice_dice(square, half) == pytest.approx(0.5)
    assert slice_dice(square, square) == 1
    assert slice_dice(square, Contour(4, square.points)) == 0
    assert slice_dice(square, contour_from_circle((40, 40), 8, 3)) == 0


@pytest.mark.parametrize(
    ("centre", "diameter", "same"),
    [
        ((50, 50, 11), 20, True),  # the widest slice is one off: 5 mm
        ((50, 50, 12), 20, True),  # 10 mm, the radius
        ((50, 50, 13), 20, False),  # 15 mm
        ((62, 50, 10), 20, True),  # 12 mm aside, but the outlines overlap with a Dice above 0.25
        ((50, 50, 12), 6, False),  # 10 mm from a small one: another lesion
        ((54, 50, 10), 5, True),  # within 5 mm, however small
        ((68, 50, 10), 20, False),  # 18 mm aside: they hardly overlap
    ],
)
def test_a_lesion_is_the_same_by_overlap_or_by_nearness(outlined, centre, diameter, same):
    found = same_lesions([outlined("cyst", (50, 50, 10), 20)], [outlined("metastasis", centre, diameter)], SPACING)
    assert found == ([(0, 0)] if same else [])


def test_each_lesion_has_one_partner_and_no_pair_is_lost_to_a_nearer_one(outlined):
    first = [outlined("cyst", (50, 50, 10)), outlined("cyst", (58, 50, 10))]
    second = [outlined("cyst", (57, 50, 10)), outlined("cyst", (66, 50, 10))]
    # The nearest of all, 58 to 57, would leave two lesions alone.
    assert same_lesions(first, second, SPACING) == [(0, 0), (1, 1)]
    assert same_lesions(first, [second[0]], SPACING) == [(1, 0)]
    assert same_lesions([], second, SPACING) == []
