"""A click outlines what a reader would outline, and says so where there is nothing to outline."""

import numpy as np
import pytest
from scipy import ndimage

from lesionlabel.lesions.contour import contour_from_mask
from lesionlabel.lesions.errors import InputError, OutsideVolumeError
from lesionlabel.lesions.segmenter import Clicks, RadialSegmenter
from lesionlabel.lesions.volume import Geometry, Volume

LIVER, VEIN = 104.0, 165.0


def segment(volume, point):
    return RadialSegmenter().segment(volume, Clicks((point,))).contour


def volume_of(hu, spacing=(0.75, 0.75, 1.6), noise=21.0, seed=0):
    rng = np.random.default_rng(seed)
    voxels = np.rint(ndimage.gaussian_filter(hu, (0, 0.9, 0.9)) + rng.normal(0, noise, hu.shape)).astype(np.int16)
    geometry = Geometry(hu.shape, np.diag([*spacing, 1.0]))
    return Volume(voxels, geometry, geometry)


def grid(shape, spacing=(0.75, 0.75, 1.6)):
    """mm from the middle, (z, y, x)."""
    return np.meshgrid(*[(np.arange(n) - n // 2) * mm for n, mm in zip(shape, spacing[::-1], strict=True)], indexing="ij")


def ball(hu, diameter_mm, aspect=1.3, shape=(9, 240, 240), spacing=(0.75, 0.75, 1.6)):
    """An egg of hu in the middle of even liver, and its mask."""
    z, y, x = grid(shape, spacing)
    inside = np.hypot(np.hypot(x * 2 / diameter_mm, y * 2 * aspect / diameter_mm), z * 2 / diameter_mm) < 1
    return np.where(inside, hu, LIVER), inside


def dice(contour, mask):
    found = contour.mask(*mask.shape)
    return 2 * (found & mask).sum() / (found.sum() + mask.sum())


def clicks(mask, count, seed=3):
    rows, columns = np.nonzero(ndimage.binary_erosion(mask))
    return [(int(columns[n]), int(rows[n])) for n in np.random.default_rng(seed).integers(len(rows), size=count)]


@pytest.mark.parametrize(("hu", "diameter_mm"), [(10, 16), (10, 60), (65, 25), (65, 60), (65, 95), (80, 40)])
def test_clicks_anywhere_in_a_dark_lesion_find_its_outline(hu, diameter_mm):
    image, inside = ball(hu, diameter_mm)
    volume = volume_of(image)
    contours = [segment(volume, (i, j, 4)) for i, j in clicks(inside[4], 5)]
    assert np.median([dice(c, inside[4]) for c in contours]) > 0.8
    true = contour_from_mask(inside[4], 4).diameter_px
    assert np.median([c.diameter_px for c in contours]) == pytest.approx(true, rel=0.2)
    assert all(c.slice_index == 4 for c in contours)


def test_nodules_at_the_edge_belong_to_the_lesion():
    image, inside = ball(60, 50)
    _, y, x = grid(image.shape)
    for angle in (0.3, 2.0, 4.1):
        image[inside & (np.hypot(x - 20 * np.cos(angle), y - 15 * np.sin(angle)) < 5)] = VEIN
    contour = segment(volume_of(image), (120, 120, 4))
    assert dice(contour, inside[4]) > 0.85


def test_the_lesion_at_the_liver_s_edge_does_not_run_into_the_fat():
    image, inside = ball(40, 40)
    _, _, x = grid(image.shape)
    image[x > 22] = -100
    assert dice(segment(volume_of(image), (118, 122, 4)), inside[4]) > 0.8


def test_the_same_lesion_measures_the_same_in_finer_pixels_and_thicker_slices():
    sizes = []
    for shape, spacing in (((9, 200, 200), (0.75, 0.75, 1.6)), ((3, 250, 250), (0.6, 0.6, 5.0))):
        image, _ = ball(50, 36, shape=shape, spacing=spacing)
        middle = (shape[2] // 2, shape[1] // 2, shape[0] // 2)
        sizes.append(segment(volume_of(image, spacing, noise=15), middle).diameter_px * spacing[0])
    assert sizes == pytest.approx([36, 36], rel=0.12)


def test_a_single_slice_and_a_lesion_cut_by_the_volume_s_edge_still_work():
    image, inside = ball(20, 40)
    cut = (slice(4, 5), slice(None), slice(108, None))
    contour = segment(volume_of(image[cut]), (5, 120, 0))
    assert dice(contour, inside[cut][0]) > 0.75
    assert contour.points[:, 0].min() == -0.5


def test_the_answer_is_the_same_twice_and_leaves_the_volume_as_it_was():
    image, _ = ball(60, 30)
    volume = volume_of(image)
    volume.voxels.setflags(write=False)
    first, second = (segment(volume, (121.3, 118.8, 4)) for _ in range(2))
    np.testing.assert_array_equal(first.points, second.points)


def test_healthy_liver_is_refused_and_the_message_says_what_to_do():
    volume = volume_of(np.full((9, 240, 240), LIVER))
    with pytest.raises(InputError, match=r"does not stand out.*two points"):
        segment(volume, (120, 120, 4))


def test_healthy_liver_beside_a_lesion_is_not_taken_for_it():
    image, _ = ball(10, 30)
    with pytest.raises(InputError, match="No lesion was found"):
        segment(volume_of(image), (160, 160, 4))


def test_a_vessel_is_refused_and_a_bright_ball_is_not():
    image, inside = ball(VEIN, 13, aspect=1.0, shape=(25, 160, 160))
    assert dice(segment(volume_of(image), (80, 80, 12)), inside[12]) > 0.7
    z, y, x = grid(image.shape)
    tube = np.where(np.hypot(y, x - 0.4 * z) < 6.5, VEIN, LIVER)
    with pytest.raises(InputError, match="like a vessel"):
        segment(volume_of(tube), (80, 80, 12))


@pytest.mark.parametrize("point", [(-3, 10, 1), (10, 400, 1), (10, 10, 9), (np.nan, 1, 1)])
def test_a_point_outside_is_refused(point):
    with pytest.raises(OutsideVolumeError, match="outside the volume"):
        segment(volume_of(np.full((3, 60, 60), LIVER)), point)


def test_air_is_refused():
    image, _ = ball(20, 20)
    image[:, :60] = -900
    with pytest.raises(OutsideVolumeError, match="in air"):
        segment(volume_of(image), (100, 20, 4))


def test_fat_without_soft_tissue_is_refused():
    with pytest.raises(InputError, match="No soft tissue"):
        segment(volume_of(np.full((3, 120, 120), -100.0), noise=8), (60, 60, 1))


def test_pixels_that_are_not_square_are_refused():
    image, _ = ball(20, 20)
    with pytest.raises(InputError, match="square"):
        segment(volume_of(image, spacing=(0.75, 1.2, 1.6)), (120, 120, 4))
