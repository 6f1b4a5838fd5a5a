import math

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from lesionlabel.augment.apply import cut_rois
from lesionlabel.evaluation import orbit
from lesionlabel.evaluation.orbit import LOW_PASS_PX, MOST_SHIFT, STRIDE, orbit_distances, orbit_placements, shift_limit
from lesionlabel.evaluation.planting import plant_copies
from lesionlabel.lesions.errors import InputError
from lesionlabel.lesions.roi import ROI_SIZE, Context, Placement
from lesionlabel.phantom.cohort import make_cohort
from lesionlabel.training.hooks import StoppedError


@pytest.fixture(scope="module")
def cohort():
    return make_cohort({"metastasis": 6}, seed=300)


def roi_shift(context: Context, angle_deg: float, margin: float, along_x: float, along_y: float) -> tuple[float, float]:
    """The shift in native pixels that moves a ROI's frame by so many ROI pixels along its own axes."""
    step, turn = context.diameter_px * (1 + 2 * margin) / ROI_SIZE, math.radians(angle_deg)
    x, y = along_x * step, along_y * step
    return math.cos(turn) * x - math.sin(turn) * y, math.sin(turn) * x + math.cos(turn) * y


def test_a_turned_mirrored_scaled_and_shifted_roi_is_at_its_own_lesion(cohort):
    for position in (0, 3):
        context, angle, margin = cohort.lesions[position].context, 75.0, 0.175
        shift = roi_shift(context, angle, margin, 2, -1)
        placements = [Placement(angle, shift, margin, flip) for flip in ("none", "ud", "lr", "both")]
        distances = orbit_distances(cut_rois(context, placements), cohort)
        assert distances[:, position].max() < 0.003
        assert np.delete(distances, position, axis=1).min() > 0.02


def test_a_copy_between_the_placements_that_are_compared_is_still_nearest_to_its_lesion(cohort):
    distances = orbit_distances(plant_copies(cohort, 5, seed=0), cohort)
    own = np.repeat(np.arange(len(cohort)), 5)
    assert np.array_equal(distances.argmin(axis=1), own)


def test_distances_are_the_root_mean_squares_they_claim_to_be(cohort):
    rois = plant_copies(cohort.subset([0, 1]), 2, seed=1)
    context = cohort.lesions[2].context
    templates = cut_rois(context, orbit_placements(context))[:, 0].double().numpy()
    assert len({template.tobytes() for template in templates}) == 240

    def smooth(images: np.ndarray) -> np.ndarray:
        return gaussian_filter(images, (0, LOW_PASS_PX, LOW_PASS_PX), mode="nearest")

    middle = slice(MOST_SHIFT, ROI_SIZE - MOST_SHIFT, STRIDE)
    fixed = smooth(templates)[:, middle, middle]
    limit = shift_limit(context)
    along = range(-limit, limit + 1)
    for roi, found in zip(smooth(rois[:, 0].double().numpy()), orbit_distances(rois, cohort)[:, 2], strict=True):
        shifted = [np.roll(roi, (y, x), axis=(0, 1))[middle, middle] for y in along for x in along]
        wanted = min(np.sqrt(np.square(fixed - one).mean(axis=(1, 2))).min() for one in shifted)
        assert found == pytest.approx(wanted, abs=1e-5)


def test_a_shift_beyond_the_augmentations_own_is_not_forgiven(cohort):
    context = cohort.lesions[0].context
    limit = shift_limit(context)
    assert limit <= MOST_SHIFT
    placements = [Placement(0, roi_shift(context, 0, 0.25, shift, 0), 0.25) for shift in (limit, limit + 3)]
    within, beyond = orbit_distances(cut_rois(context, placements), cohort)[:, 0]
    assert within < 0.005
    assert beyond > 3 * within


def test_a_large_lesion_is_shifted_by_fewer_roi_pixels():
    hu = np.zeros((8, 8), dtype=np.float32)
    # min(4, 0.1 d) native pixels, of which a ROI pixel is 1.5 d / 64.
    assert [shift_limit(Context(hu, (4, 4), d, 0.75)) for d in (13.0, 40.0, 60.0, 140.0)] == [5, 5, 3, 2]


def test_distances_do_not_depend_on_what_else_is_compared(cohort, monkeypatch):
    rois = plant_copies(cohort, 2, seed=2)
    together = orbit_distances(rois, cohort)
    monkeypatch.setattr(orbit, "BLOCK", 5)
    assert orbit_distances(rois, cohort) == pytest.approx(together, abs=1e-5)
    assert orbit_distances(rois[3:4], cohort.subset([4]))[0, 0] == pytest.approx(together[3, 4], abs=1e-5)


def test_images_that_are_no_rois_are_refused(cohort):
    with pytest.raises(InputError, match=r"\[0, 1\]"):
        orbit_distances(torch.full((2, 1, 64, 64), -1.0), cohort)
    with pytest.raises(InputError, match=r"\[0, 1\]"):
        orbit_distances(torch.full((2, 1, 64, 64), torch.nan), cohort)
    with pytest.raises(InputError, match="float32"):
        orbit_distances(torch.zeros((2, 64, 64)), cohort)


def test_it_can_be_stopped_and_tells_how_far_it_is(cohort):
    rois = plant_copies(cohort, 1, seed=0)
    told = []
    orbit_distances(rois, cohort, progress=lambda share, what: told.append((share, what)))
    shares = [share for share, _ in told]
    assert shares == sorted(shares)
    assert told[-1] == (1.0, "compared 6 ROIs with 6 lesions")
    with pytest.raises(StoppedError):
        orbit_distances(rois, cohort, should_stop=lambda: len(told) > 0)
