"""The HU that a reader is told: of the lesion without its edge, and of a vein near it."""

import numpy as np
import pytest

from lesionlabel.lesions.contour import Contour, contour_from_circle
from lesionlabel.lesions.densities import lesion_densities, nearby_vein
from lesionlabel.lesions.errors import OutsideVolumeError
from lesionlabel.lesions.volume import Geometry, Volume

LIVER, LESION, VEIN = 100.0, 40.0, 165.0


def volume_of(image, noise=0.0, slices=1, mm=0.75):
    hu = image + np.random.default_rng(1).normal(0, noise, (slices, *image.shape))
    geometry = Geometry((slices, *image.shape), np.diag([mm, mm, 1.6, 1.0]))
    return Volume(np.rint(hu).astype(np.int16), geometry, geometry)


def disc(image, centre, radius, hu):
    y, x = np.mgrid[: image.shape[0], : image.shape[1]]
    image[np.hypot(x - centre[0], y - centre[1]) <= radius] = hu


@pytest.fixture
def image():
    image = np.full((160, 160), LIVER)
    disc(image, (80, 80), 12, LESION)
    return image


CONTOUR = contour_from_circle((80, 80), 25, 0)


def test_the_mean_and_sd_are_those_of_the_lesion(image):
    density = lesion_densities(volume_of(image, noise=15), CONTOUR)
    assert density.mean_hu == pytest.approx(LESION, abs=3)
    assert density.sd_hu == pytest.approx(15, abs=2.5)
    assert density.edge_left_out
    assert density.pixels == pytest.approx(np.pi * 11.5**2, rel=0.1)


def test_the_edge_does_not_count(image):
    wide = contour_from_circle((80, 80), 26.6, 0)
    within = image[wide.mask(*image.shape)]
    density = lesion_densities(volume_of(image), wide)
    assert density.mean_hu - LESION < 0.6 * (within.mean() - LESION)
    disc(image, (80, 80), 13.6, LIVER)
    disc(image, (80, 80), 11.4, LESION)
    exact = lesion_densities(volume_of(image), contour_from_circle((80, 80), 24, 0))
    assert (exact.mean_hu, exact.sd_hu) == (LESION, 0)


def test_a_lesion_of_few_pixels_keeps_its_edge(image):
    density = lesion_densities(volume_of(image), contour_from_circle((80, 80), 3, 0))
    assert not density.edge_left_out
    assert (density.mean_hu, density.pixels) == (LESION, 9)


def test_a_contour_between_pixel_centres_reads_the_nearest_pixel(image):
    speck = Contour(0, np.array([[80.2, 80.2], [80.4, 80.2], [80.3, 80.4]]))
    density = lesion_densities(volume_of(image), speck)
    assert (density.mean_hu, density.sd_hu, density.pixels) == (LESION, 0, 1)


def test_the_slice_is_the_contour_s():
    image = np.stack([np.full((40, 40), hu) for hu in (10, 20, 30)]).astype(np.int16)
    geometry = Geometry((3, 40, 40), np.diag([1.0, 1, 1, 1]))
    assert lesion_densities(Volume(image, geometry, geometry), contour_from_circle((20, 20), 10, 2)).mean_hu == 30


def test_the_vein_near_the_lesion_is_read_in_noise(image):
    disc(image, (105, 80), 5, VEIN)
    assert nearby_vein(volume_of(image, noise=21), CONTOUR) == pytest.approx(VEIN, abs=12)


@pytest.mark.parametrize("noise", [0, 21])
def test_even_liver_has_no_vein(image, noise):
    assert nearby_vein(volume_of(image, noise), CONTOUR) is None


def test_what_is_no_vein_is_not_read(image):
    disc(image, (80, 80), 12, VEIN)
    image[:, 108:] = -100
    disc(image, (125, 40), 8, 160)
    disc(image, (60, 55), 6, 700)
    disc(image, (108, 120), 5, 400)
    disc(image, (80, 150), 6, VEIN)
    assert nearby_vein(volume_of(image, noise=10), CONTOUR) is None


def test_bone_brighter_than_the_aorta_allows_is_no_vein(image):
    disc(image, (105, 80), 5, 230)
    assert nearby_vein(volume_of(image), CONTOUR) == pytest.approx(230, abs=20)
    assert nearby_vein(volume_of(image), CONTOUR, aorta_hu=150) is None


def test_without_tissue_around_nothing_is_said():
    image = np.full((100, 100), -100.0)
    disc(image, (50, 50), 12, LESION)
    assert nearby_vein(volume_of(image), contour_from_circle((50, 50), 25, 0)) is None


def test_a_lesion_at_the_volume_s_edge_is_measured(image):
    cut = image[:, 76:]
    disc(cut, (25, 80), 5, VEIN)
    volume, contour = volume_of(cut), contour_from_circle((4, 80), 25, 0)
    assert lesion_densities(volume, contour).mean_hu == LESION
    assert nearby_vein(volume, contour) == pytest.approx(VEIN, abs=10)


@pytest.mark.parametrize("measure", [lesion_densities, nearby_vein])
def test_a_lesion_outside_is_refused(image, measure):
    with pytest.raises(OutsideVolumeError, match="outside the volume"):
        measure(volume_of(image), contour_from_circle((80, 80), 10, 1))
    with pytest.raises(OutsideVolumeError, match="outside the volume"):
        measure(volume_of(image), contour_from_circle((300, 80), 10, 0))
