import re

import numpy as np
import pytest

from lesionlabel.lesions.contour import contour_from_circle
from lesionlabel.lesions.densities import lesion_densities
from lesionlabel.lesions.no_lesion import why_no_lesion
from lesionlabel.lesions.volume import Geometry, Volume

CIRCLE = contour_from_circle((32, 32), 40, 1)


def why(hu, contour=CIRCLE):
    """What is said of three slices of 64 × 64 with the HU of one slice."""
    geometry = Geometry((3, 64, 64), np.eye(4))
    volume = Volume(np.repeat(np.asarray(hu, np.int16)[None], 3, axis=0), geometry, geometry)
    return why_no_lesion(volume, contour, lesion_densities(volume, contour).mean_hu)


def tissue(mean=90):
    return np.random.default_rng(2).normal(mean, 40, (64, 64))


@pytest.mark.parametrize(
    ("hu", "told"), [(-850, r"4\d % are below -200 HU \(lung, air\) and 0 % above"), (700, r"0 % are below .* 4\d % above")]
)
def test_an_outline_half_in_lung_or_bone_is_told_with_its_shares(hu, told):
    image = tissue()
    image[:, :31] = hu
    assert re.search(told, str(why(image)))


def test_lung_and_bone_count_together():
    image = tissue()
    image[:, :21] = -850
    assert why(image) is None
    image[:, 43:] = 700
    assert why(image)


def test_a_mean_below_fat_is_no_lesion_though_less_than_a_quarter_is_lung():
    image = tissue(mean=10)
    image[:, :21] = -850
    assert re.search(r"^Of the outlined pixels 1\d % are below [^;]*; their mean of -1\d\d HU is below fat", str(why(image)))


def test_noise_fat_coarse_calcium_and_a_touch_of_lung_are_a_lesions():
    image = tissue()
    image[:, 40:] = -110
    image[28:36, 28:36] = 600
    image[:15] = -850
    assert why(image) is None
    assert why(np.full((64, 64), -90)) is None


def test_an_outline_around_no_pixel_is_read_where_it_lies():
    assert why(tissue(), contour_from_circle((32.5, 32.5), 0.4, 1)) is None
