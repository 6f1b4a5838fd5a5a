"""The simulated cohort: reproducible, the paper's numbers, realistic sizes and densities, contexts that fit the ROI."""

import numpy as np
import pytest

from lesionlabel.lesions.classes import DEFAULT_CLASSES
from lesionlabel.lesions.errors import InputError, UnknownClassError
from lesionlabel.lesions.roi import ROI_SIZE, Placement, context_half_width, cut_roi
from lesionlabel.phantom.cohort import make_cohort
from lesionlabel.phantom.lesions import draw_lesion
from lesionlabel.phantom.parameters import VARIANTS, find_variant
from lesionlabel.phantom.patient import draw_densities
from lesionlabel.phantom.presets import PRESETS
from lesionlabel.phantom.shortcuts import lesion_summary

SMALL = {"cyst": 8, "metastasis": 7, "hemangioma": 6}


@pytest.fixture(scope="module")
def cohort():
    return make_cohort(SMALL, seed=101)


def test_numbers_classes_and_patients_are_as_asked(cohort):
    assert cohort.counts() == SMALL
    assert cohort.class_names == tuple(DEFAULT_CLASSES.names)
    per_patient = np.unique(cohort.patients, return_counts=True)[1]
    assert set(per_patient) <= {1, 2}


def test_the_same_seed_gives_the_same_pixels_and_another_seed_others(cohort):
    assert make_cohort(SMALL, seed=101).digest == cohort.digest
    assert make_cohort(SMALL, seed=102).digest != cohort.digest


def test_a_lesion_does_not_depend_on_how_many_there_are(cohort):
    fewer = {lesion.lesion_id: lesion for lesion in make_cohort({"cyst": 3, "hemangioma": 2}, seed=101)}
    same = {lesion.lesion_id: lesion for lesion in cohort}
    assert len(fewer) == 5
    for lesion_id, lesion in fewer.items():
        assert lesion.record() == same[lesion_id].record()


def test_contexts_hold_tissue_for_every_placement_and_sizes_stay_in_range(cohort):
    for lesion in cohort:
        context = lesion.context
        assert 10 <= context.diameter_px * context.spacing_mm <= 102
        assert context.hu.shape == (2 * context_half_width(context.diameter_px) + 1,) * 2
        assert not context.padded
        assert cut_roi(context, Placement(45.0, margin=0.4)).shape == (ROI_SIZE, ROI_SIZE)


def test_cysts_read_as_water_and_the_others_as_soft_tissue():
    lesions = make_cohort({"cyst": 14, "metastasis": 14, "hemangioma": 14}, seed=103)
    means = np.array([lesion_summary(lesion.context)[0] for lesion in lesions])
    assert np.median(means[lesions.labels == 0]) == pytest.approx(10, abs=8)
    assert means[lesions.labels == 0].max() < 40
    assert 40 < np.median(means[lesions.labels == 1]) < 90
    assert 40 < np.median(means[lesions.labels == 2]) < 110


def test_small_cysts_in_thick_slices_read_higher_by_partial_volume():
    def mean_of_small(preset):
        chosen = [x.context for x in make_cohort({"cyst": 40}, 104, preset) if x.context.diameter_px * 0.743 < 15]
        assert len(chosen) >= 3
        return float(np.mean([lesion_summary(context)[0] for context in chosen]))

    assert mean_of_small("soft") > mean_of_small("sharp") + 4
    assert 15 < mean_of_small("soft") < 45


def test_soft_slices_have_less_and_coarser_noise():
    def sd(preset):
        return np.median([lesion_summary(x.context)[1] for x in make_cohort({"cyst": 10}, 105, preset)])

    assert sd("soft") < 0.75 * sd("sharp")


def test_hemangioma_nodules_are_near_the_veins_and_leave_a_gap():
    rng = np.random.default_rng(106)
    for _ in range(60):
        densities = draw_densities(rng, PRESETS["sharp"])
        lesion = draw_lesion(rng, "hemangioma", 35.0, densities, VARIANTS["calibrated"])
        if not lesion.spots:
            assert abs(lesion.body - densities.veins) <= 15
            continue
        assert all(abs(spot.hu - densities.veins) <= 15 for spot in lesion.spots)
        angles = np.sort([np.arctan2(spot.position[1], spot.position[0]) for spot in lesion.spots])
        assert lesion.rim is None
        assert np.diff([*angles, angles[0] + 2 * np.pi]).max() >= np.pi / 3


def test_large_hemangiomas_have_a_cleft_and_small_ones_often_fill():
    rng = np.random.default_rng(107)
    densities = draw_densities(rng, PRESETS["sharp"])
    large = [draw_lesion(rng, "hemangioma", 75.0, densities, VARIANTS["calibrated"]) for _ in range(40)]
    small = [draw_lesion(rng, "hemangioma", 12.0, densities, VARIANTS["calibrated"]) for _ in range(40)]
    assert all((lesion.cleft is not None) == bool(lesion.spots) for lesion in large)
    assert 8 <= sum(not lesion.spots for lesion in small) <= 32


@pytest.mark.parametrize(("counts", "error"), [({"abscess": 3}, UnknownClassError), ({"cyst": -1}, InputError)])
def test_what_it_cannot_draw_is_refused(counts, error):
    with pytest.raises(error):
        make_cohort(counts, seed=0)


def test_unknown_preset_and_variant_are_refused_with_the_allowed_words():
    with pytest.raises(InputError, match="sharp, soft"):
        make_cohort({"cyst": 1}, 0, "blurred")
    with pytest.raises(InputError, match="easier"):
        find_variant("trivial")
