"""Clicks outline what a reader would outline, and where there is no lesion they are told what is there."""

import numpy as np
import pytest
from scipy import ndimage

from lesionlabel.lesions.contour import contour_from_mask
from lesionlabel.lesions.errors import InputError, NoLesionError, OutsideVolumeError
from lesionlabel.lesions.segmenter import Clicks
from lesionlabel.lesions.volume import Geometry, Volume
from lesionlabel.registry.segmenter_bundle import load_segmenter
from lesionlabel.registry.versions import starter_folder

LIVER, VEIN = 104.0, 165.0


@pytest.fixture(scope="module")
def segmenter():
    return load_segmenter(starter_folder("lesion_segmenter"))


@pytest.fixture(scope="module")
def segment(segmenter):
    return lambda volume, point: segmenter.segment(volume, Clicks((point,))).contour


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


@pytest.mark.parametrize(("hu", "diameter_mm"), [(10, 16), (10, 60), (65, 25), (65, 60), (65, 95), (80, 40), (150, 40)])
def test_clicks_anywhere_in_a_lesion_find_its_outline(segment, hu, diameter_mm):
    image, inside = ball(hu, diameter_mm)
    volume = volume_of(image)
    contours = [segment(volume, (i, j, 4)) for i, j in clicks(inside[4], 5)]
    assert np.median([dice(c, inside[4]) for c in contours]) > 0.85
    true = contour_from_mask(inside[4], 4).diameter_px
    assert np.median([c.diameter_px for c in contours]) == pytest.approx(true, rel=0.15)
    assert all(c.slice_index == 4 for c in contours)


def test_nodules_at_the_edge_belong_to_the_lesion(segment):
    image, inside = ball(60, 50)
    _, y, x = grid(image.shape)
    for angle in (0.3, 2.0, 4.1):
        image[inside & (np.hypot(x - 20 * np.cos(angle), y - 15 * np.sin(angle)) < 5)] = VEIN
    assert dice(segment(volume_of(image), (120, 120, 4)), inside[4]) > 0.85


def test_the_lesion_at_the_liver_s_edge_does_not_run_into_the_fat(segment):
    image, inside = ball(40, 40)
    _, _, x = grid(image.shape)
    image[x > 22] = -100
    assert dice(segment(volume_of(image), (118, 122, 4)), inside[4]) > 0.85


def test_the_same_lesion_measures_the_same_in_finer_pixels_and_thicker_slices(segment):
    sizes = []
    for shape, spacing in (((9, 200, 200), (0.75, 0.75, 1.6)), ((3, 250, 250), (0.6, 0.6, 5.0))):
        image, _ = ball(50, 36, shape=shape, spacing=spacing)
        middle = (shape[2] // 2, shape[1] // 2, shape[0] // 2)
        sizes.append(segment(volume_of(image, spacing, noise=15), middle).diameter_px * spacing[0])
    assert sizes == pytest.approx([36, 36], rel=0.1)


def test_a_single_slice_and_a_lesion_cut_by_the_volume_s_edge_still_work(segment):
    image, inside = ball(20, 40)
    cut = (slice(4, 5), slice(None), slice(108, None))
    contour = segment(volume_of(image[cut]), (5, 120, 0))
    assert dice(contour, inside[cut][0]) > 0.8
    assert contour.points[:, 0].min() == -0.5


@pytest.mark.parametrize("side", ["left", "right", "top", "bottom"])
def test_a_lesion_cut_off_by_any_edge_of_the_volume_is_found_up_to_the_edge(segment, side):
    image, inside = ball(55, 40)
    rows, columns = (slice(None), slice(None))
    if side in ("left", "right"):
        columns = slice(112, None) if side == "left" else slice(None, 129)
    else:
        rows = slice(114, None) if side == "top" else slice(None, 127)
    image, inside = image[:, rows, columns], inside[:, rows, columns]
    for i, j in clicks(inside[4], 3):
        assert dice(segment(volume_of(image), (i, j, 4)), inside[4]) > 0.85


@pytest.mark.parametrize("side", ["left", "top"])
def test_the_mirror_image_of_a_lesion_at_the_edge_is_no_part_of_it(segmenter, side):
    z, y, x = grid((25, 160, 160), (0.8, 0.8, 1.6))
    off = x if side == "left" else y
    inside = np.sqrt((off + 80 * 0.8 - 12) ** 2 + (y if side == "left" else x) ** 2 + z**2) < 16
    volume = volume_of(np.where(inside, 50, LIVER), (0.8, 0.8, 1.6))
    click = (15, 80, 12) if side == "left" else (80, 15, 12)
    found = segmenter.segment(volume, Clicks((click,)), whole=True)
    assert dice(found.contour, inside[12]) > 0.95
    assert found.contour.diameter_px == pytest.approx(40, rel=0.1)
    there = np.flatnonzero(inside.any(axis=(1, 2)))
    numbers = [contour.slice_index for contour in found.contours]
    assert abs(min(numbers) - there[0]) <= 3
    assert abs(max(numbers) - there[-1]) <= 3


def test_the_answer_is_the_same_twice_and_leaves_the_volume_as_it_was(segment):
    image, _ = ball(60, 30)
    volume = volume_of(image)
    volume.voxels.setflags(write=False)
    first, second = (segment(volume, (121.3, 118.8, 4)) for _ in range(2))
    np.testing.assert_array_equal(first.points, second.points)


def test_what_lies_under_the_click_is_said_where_it_is_no_lesion(segment, scenes):
    """On simulated abdomens; a few of them are told wrong, and that is measured elsewhere."""
    kinds, told = {1: "vessel", 2: "liver", 3: "outside the liver"}, []
    messages = []
    for number, scene in enumerate(scenes):
        for kind, name in kinds.items():
            rows, columns = np.nonzero(ndimage.binary_erosion(scene.kinds == kind, iterations=2))
            if not len(rows):
                continue
            n = np.random.default_rng(number).integers(len(rows))
            try:
                segment(scene.volume, (int(columns[n]), int(rows[n]), scene.slice_index))
                told.append((name, "lesion"))
            except NoLesionError as error:
                told.append((name, error.what))
                messages.append(str(error))
            except OutsideVolumeError:  # air in the bowel
                told.append((name, name))
    assert len(told) >= 8
    assert all("diameter with two points" in message for message in messages)
    assert sum(said == there for there, said in told) >= 0.75 * len(told)


def test_a_click_outside_takes_back_what_was_too_much(segmenter):
    """Two touching balls of the same density: a click on the second says that it is another."""
    _, y, x = grid((9, 240, 240))
    first, second = np.hypot(x + 14, y) < 15, np.hypot(x - 15, y) < 15
    volume = volume_of(np.where(first | second, 50, LIVER))
    inside, other = (120 - 19, 120, 4), (120 + 20, 120, 4)
    one = segmenter.segment(volume, Clicks((inside,), (other,))).contour
    assert dice(one, first[4]) > 0.8
    assert not one.mask(240, 240)[120, 140]


def test_the_whole_lesion_is_followed_through_its_slices_and_ends_where_it_ends(segmenter):
    image, inside = ball(60, 40, shape=(51, 160, 160))
    volume = volume_of(image)
    found = segmenter.segment(volume, Clicks(((80, 80, 25),)), whole=True)
    slices = np.flatnonzero(inside.any(axis=(1, 2)))
    numbers = [contour.slice_index for contour in found.contours]
    assert numbers == list(range(numbers[0], numbers[-1] + 1))
    assert abs(numbers[0] - slices[0]) <= 3
    assert abs(numbers[-1] - slices[-1]) <= 3
    mask = np.zeros_like(inside)
    for contour in found.contours:
        mask[contour.slice_index] = contour.mask(*inside.shape[1:])
    assert 2 * (mask & inside).sum() / (mask.sum() + inside.sum()) > 0.85
    alone = segmenter.segment(volume, Clicks(((80, 80, 25),)))
    np.testing.assert_array_equal(found.contour.points, alone.contour.points)


def test_it_is_less_sure_of_what_hardly_stands_out(segmenter):
    clear, faint, fainter = (
        segmenter.segment(volume_of(ball(LIVER - less, 40)[0]), Clicks(((120, 120, 4),))).confidence for less in (55, 8, 6)
    )
    assert 0 < fainter < faint < clear <= 1


def test_healthy_liver_beside_a_lesion_is_not_taken_for_it(segment):
    image, _ = ball(10, 30)
    with pytest.raises(NoLesionError):
        segment(volume_of(image), (160, 160, 4))


def test_a_click_on_the_volume_s_last_face_lies_in_its_last_slice(segment):
    image, inside = ball(20, 40, shape=(6, 160, 160))
    assert dice(segment(volume_of(image), (80, 80, 5.5)), inside[5]) > 0.8


def test_a_correction_at_the_edge_is_looked_at_from_where_the_first_click_was(segmenter):
    image, inside = ball(60, 50)
    edge = (120 - int(0.9 * 25 / 0.75), 120, 4)
    corrected = segmenter.segment(volume_of(image), Clicks(((120, 120, 4), edge))).contour
    assert dice(corrected, inside[4]) > 0.85


def test_a_wall_that_one_click_leaves_out_is_taken_in_by_clicks_on_it(segmenter):
    """Dead tissue in a wall that is hardly darker than the liver, as large metastases have it."""
    image, inside = ball(88, 60, aspect=1.0)
    _, y, x = grid(image.shape)
    image[np.hypot(x, y) < 17] = 30
    volume = volume_of(image)
    wall = [(120 + 31, 120, 4), (120 - 31, 120, 4), (120, 120 + 31, 4)]
    found = segmenter.segment(volume, Clicks(((120, 120, 4), *wall)))
    assert dice(found.contour, inside[4]) > 0.8


@pytest.mark.parametrize("point", [(-3, 10, 1), (10, 400, 1), (10, 10, 9), (np.nan, 1, 1)])
def test_a_point_outside_is_refused(segment, point):
    with pytest.raises(OutsideVolumeError, match="outside the volume"):
        segment(volume_of(np.full((3, 60, 60), LIVER)), point)


def test_air_is_refused(segment):
    image, _ = ball(20, 20)
    image[:, :60] = -900
    with pytest.raises(OutsideVolumeError, match="in air"):
        segment(volume_of(image), (100, 20, 4))


def test_fat_is_outside_the_liver(segment):
    with pytest.raises(NoLesionError):
        segment(volume_of(np.full((3, 120, 120), -100.0), noise=8), (60, 60, 1))


def test_pixels_that_are_not_square_are_refused(segment):
    image, _ = ball(20, 20)
    with pytest.raises(InputError, match="square"):
        segment(volume_of(image, spacing=(0.75, 1.2, 1.6)), (120, 120, 4))
