import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from lesionlabel.augment.classic import augment_cohort
from lesionlabel.evaluation.copies import Nearest, expect, find_nearest, look_for_copies
from lesionlabel.evaluation.held_out import Baseline, held_out_baseline
from lesionlabel.evaluation.memorisation import Memorisation, Outcome, check_memorisation, check_nearest
from lesionlabel.evaluation.orbit import orbit_distances
from lesionlabel.evaluation.planting import plant_copies
from lesionlabel.lesions.cohort import Cohort
from lesionlabel.lesions.errors import InputError
from lesionlabel.lesions.splits import patient_folds
from lesionlabel.phantom.cohort import make_cohort
from lesionlabel.training.hooks import StoppedError

SEED, REPEATS = 7, 50


@pytest.fixture(scope="module")
def cohort() -> Cohort:
    return make_cohort({"metastasis": 51}, seed=303)


@pytest.fixture(scope="module")
def folds(cohort) -> np.ndarray:
    return patient_folds(np.zeros(len(cohort), dtype=np.int64), cohort.patients, 3, np.random.default_rng(0))


@pytest.fixture(scope="module")
def training(cohort, folds) -> Cohort:
    return cohort.subset(np.flatnonzero(folds != 0))


@pytest.fixture(scope="module")
def baseline(cohort, folds) -> Baseline:
    return held_out_baseline(cohort, folds, SEED, draws=1)


@pytest.fixture(scope="module")
def fresh() -> torch.Tensor:
    return augment_cohort(make_cohort({"metastasis": 30}, seed=304), 60, seed=0).images


@pytest.fixture(scope="module")
def of_fresh(baseline, training, fresh) -> Memorisation:
    return check_memorisation(fresh, training, baseline, SEED, REPEATS)


@pytest.fixture(scope="module")
def copies(training) -> torch.Tensor:
    """One of each training lesion."""
    return plant_copies(training, 1, seed=1)


@pytest.fixture(scope="module")
def of_copies(baseline, training, copies, fresh) -> Memorisation:
    """Of a generator of which more than half copies."""
    return check_memorisation(torch.cat([copies, fresh[:25]]), training, baseline, SEED, REPEATS)


def test_fresh_lesions_are_fit_and_the_report_shows_its_controls(of_fresh, training):
    check = of_fresh
    assert check.outcome is Outcome.FIT
    assert check.signs is not None
    assert check.signs.copy_rate < 0.15
    assert check.controls is not None
    assert check.controls.alarms <= 0.05
    assert check.controls.found[-1] >= 0.8
    assert list(check.controls.found) == sorted(check.controls.found)
    text = check.to_markdown()
    assert "Memorisation, metastasis: fit." in text
    assert "fit is not private" in text
    assert "Controls, 50 repeats with 60 ROIs each" in text
    assert "says nothing about patients" in text
    kept = json.loads(json.dumps(check.to_json(), allow_nan=False))
    assert (kept["outcome"], kept["training_lesions"], kept["baseline"]["held_out_lesions"]) == ("fit", len(training), 51)


def test_the_same_seed_gives_the_same_check(of_fresh, cohort, folds, training, fresh):
    few = cohort.subset(range(5))
    again = held_out_baseline(few, folds[:5], SEED, draws=1).distances
    assert np.array_equal(again, held_out_baseline(few, folds[:5], SEED, draws=1).distances)
    assert not np.array_equal(again, held_out_baseline(few, folds[:5], SEED + 1, draws=1).distances)
    check = check_memorisation(fresh, training, of_fresh.baseline, SEED, REPEATS)
    assert check.to_json() == of_fresh.to_json()
    other = check_nearest(of_fresh.nearest, training, of_fresh.baseline, SEED + 1, REPEATS)
    assert other.to_json() != of_fresh.to_json()


def test_a_generator_of_which_half_are_copies_is_unfit(of_copies, training):
    check, n = of_copies, len(training)
    assert check.outcome is Outcome.UNFIT
    assert check.signs is not None
    assert check.signs.copies
    assert np.array_equal(check.nearest.lesions[:n], np.arange(n))
    assert check.baseline.threshold is not None
    assert (check.nearest.ratios[:n] < check.baseline.threshold.value).mean() > 0.8
    assert "lower bound" in check.reason


def test_a_generator_that_keeps_to_one_lesion_is_unfit_by_attraction(baseline, training, fresh):
    # Copies of one lesion are one cluster, which a resample often lacks: the first sign alone would miss them.
    one = augment_cohort(training.subset([4]), 40, seed=1).images
    check = check_memorisation(torch.cat([fresh[:30], one]), training, baseline, SEED, REPEATS)
    assert check.outcome is Outcome.UNFIT
    assert check.signs is not None
    assert check.signs.one_attracts
    assert check.signs.lesion == 4
    # The reason goes on a card: it names no lesion, the record does.
    assert training.lesions[4].lesion_id not in check.reason
    assert check.to_json()["most_attracting"]["lesion_id"] == training.lesions[4].lesion_id


def test_a_second_lesion_of_the_same_patient_does_not_hide_a_copy(cohort):
    copied = cohort.lesions[0]
    twin = replace(copied, lesion_id="twin")
    others = tuple(lesion for lesion in cohort.lesions[:8] if lesion.patient != copied.patient)
    copies = plant_copies(cohort.subset([0]), 4, seed=1)

    def ratios(second: str) -> np.ndarray:
        among = Cohort((copied, replace(twin, patient=second), *others), cohort.class_names)
        return find_nearest(orbit_distances(copies, among), among.patients).ratios

    assert ratios(copied.patient).max() < 0.75
    assert ratios("another").min() > 0.99


def test_where_copies_look_like_any_other_lesion_it_cannot_be_tested(baseline, training, of_fresh, of_copies):
    """A class with little to copy: planted copies lie no nearer to their lesion than to the next."""
    without_own = baseline.planted.copy()
    for lesion, distances in enumerate(without_own):
        distances[:, lesion] = np.partition(distances, 1, axis=1)[:, 1]
    vague = replace(baseline, planted=without_own)
    check = check_nearest(of_fresh.nearest, training, vague, SEED, REPEATS)
    assert check.outcome is Outcome.CANNOT_BE_TESTED
    assert "planted copies" in check.reason
    # What is found all the same counts.
    assert check_nearest(of_copies.nearest, training, vague, SEED, REPEATS).outcome is Outcome.UNFIT


def test_where_held_out_lesions_alarm_it_cannot_be_tested(baseline, training, of_fresh, of_copies):
    """One patient's nine lesions are in the cohort a second time, under other names: held out, they look copied."""
    distances = baseline.distances.copy()
    for lesion in range(9):
        distances[lesion, :, 20 + lesion] = 0.001
    twice = replace(baseline, distances=distances, patients=("many",) * 9 + baseline.patients[9:])
    check = check_nearest(of_fresh.nearest, training, twice, SEED, REPEATS)
    assert check.outcome is Outcome.CANNOT_BE_TESTED
    assert "held-out real lesions unfit" in check.reason
    check = check_nearest(of_copies.nearest, training, twice, SEED, REPEATS)
    assert check.outcome is Outcome.UNFIT
    assert "held-out real lesions unfit" in check.reason


def test_too_few_lesions_patients_or_rois_cannot_be_tested(cohort, folds, baseline, training, of_fresh, of_copies):
    few = held_out_baseline(cohort.subset(range(12)), folds[:12], SEED, draws=1)
    check = check_nearest(of_copies.nearest, training, few, SEED, REPEATS)
    # Never fit, but what shows copying all the same is kept out.
    assert check.outcome is Outcome.UNFIT
    assert "12 held-out lesions; at least 50" in check.reason
    assert check.controls is None
    assert check_nearest(of_fresh.nearest, training, few, SEED, REPEATS).outcome is Outcome.CANNOT_BE_TESTED

    patients = cohort.patients
    of_one = cohort.subset([i for i, patient in enumerate(patients) if patient == patients[0]])
    check = check_memorisation(plant_copies(of_one, 50, seed=1), of_one, baseline, SEED, REPEATS)
    assert check.outcome is Outcome.CANNOT_BE_TESTED
    assert "one patient" in check.reason
    assert check.to_json()["copy_rate"] is None
    # Two folds of one patient each leave one patient to train on: no ratio, no threshold.
    of_two = cohort.subset([i for i, patient in enumerate(patients) if patient in sorted(set(patients))[:2]])
    none = held_out_baseline(of_two, np.unique(of_two.patients, return_inverse=True)[1], SEED, draws=1)
    assert none.threshold is None
    check = check_nearest(of_fresh.nearest, training, none, SEED, REPEATS)
    assert check.outcome is Outcome.CANNOT_BE_TESTED
    json.dumps(check.to_json(), allow_nan=False)

    ten = Nearest(of_fresh.nearest.ratios[:10], of_fresh.nearest.lesions[:10])
    check = check_nearest(ten, training, baseline, SEED, REPEATS)
    assert check.outcome is Outcome.CANNOT_BE_TESTED
    assert "10 synthetic ROIs" in check.reason


def test_the_threshold_is_of_lesions_outside_the_fold(cohort, folds, baseline):
    assert baseline.threshold is not None
    assert baseline.threshold.low <= baseline.threshold.value <= baseline.threshold.high
    assert baseline.threshold.of == 51
    assert not (folds[baseline.nearest.lesions] == folds[:, None]).any()
    for fold in range(3):
        here, others = np.flatnonzero(folds == fold), np.flatnonzero(folds != fold)
        apart = find_nearest(baseline.distances[here, 0][:, others], cohort.subset(others).patients)
        assert np.array_equal(baseline.nearest.ratios[here, 0], apart.ratios)
    assert baseline.threshold.value == pytest.approx(np.percentile(baseline.nearest.ratios, 5))


def test_a_lesion_may_attract_three_times_its_share_of_held_out_lesions_with_care_for_small_counts():
    # Lesions 0 and 1 in fold 0, the others in fold 1: 40 held-out lesions bear on 0 and 1, of which 20 are nearest to 0.
    folds = np.array([0, 0] + [1] * 40)
    lesions = np.array([2, 3] + [0] * 20 + [1] * 20)[:, None]
    nearest = Nearest(np.linspace(0.5, 1, 42)[:, None], lesions)
    expected = expect(nearest, folds, np.ones(42, dtype=bool))
    # 2 and 3 each got one of two held-out lesions: half, as 0 and 1 did of forty. Lesion 4 got none of two, which says little.
    assert expected.largest_share == 0.5
    assert expected.limits[[0, 2, 4]] == pytest.approx(1.5)
    lesions[2:22] = 1
    expected = expect(nearest, folds, np.ones(42, dtype=bool))
    # None of forty: less than 6.4 % (Wilson, one-sided), so more than 19 % is too much.
    assert expected.limits[0] == pytest.approx(3 * 1.645**2 / (40 + 1.645**2), rel=1e-3)
    assert expected.limits[1] == pytest.approx(3.0)


def test_the_lower_bound_takes_copies_of_one_lesion_as_one_finding():
    number = np.arange(200)
    ratios = np.where(number < 50, 0.1, 0.9)
    limits = np.ones(40)
    spread = look_for_copies(Nearest(ratios, number % 40), 0.5, limits, np.random.default_rng(0))
    of_one = look_for_copies(Nearest(ratios, np.where(number < 50, 0, number % 40)), 0.5, limits, np.random.default_rng(0))
    assert spread.copy_rate == of_one.copy_rate == 0.25
    assert spread.copies
    assert not of_one.copies


def test_what_does_not_fit_together_is_refused(cohort, folds, baseline, fresh):
    mixed = make_cohort({"cyst": 1, "metastasis": 1}, seed=1)
    with pytest.raises(InputError, match="one class at a time"):
        check_memorisation(fresh, mixed, baseline, SEED)
    with pytest.raises(InputError, match="'cyst'"):
        check_memorisation(fresh, mixed.subset([0]), baseline, SEED)
    with pytest.raises(InputError, match=r"\[0, 1\]"):
        check_memorisation(2 * fresh - 1, cohort, baseline, SEED)
    with pytest.raises(InputError, match="patient_folds"):
        held_out_baseline(cohort, np.arange(len(cohort)) % 3, SEED)
    with pytest.raises(InputError, match="patient_folds"):
        held_out_baseline(cohort, folds[1:], SEED)
    with pytest.raises(StoppedError):
        held_out_baseline(cohort, folds, SEED, should_stop=lambda: True)


def test_it_tells_how_far_it_is_and_stops_in_the_controls(baseline, training, fresh):
    told = []

    def in_the_controls() -> bool:
        return bool(told) and "controls" in told[-1][1]

    with pytest.raises(StoppedError, match="controls"):
        check_memorisation(
            fresh, training, baseline, SEED, REPEATS, progress=lambda *what: told.append(what), should_stop=in_the_controls
        )
    shares = [share for share, _ in told]
    assert shares == sorted(shares)
    assert shares[-1] == 0.8
