import json
import math

import numpy as np
import pytest
from scipy.special import softmax
from scipy.stats import binom

from lesionlabel.evaluation.calibration import fit_temperature
from lesionlabel.evaluation.prediction_set import PredictionSets, coverage_range, fit_prediction_sets


def draw(rng, n, per_patient=1):
    """Labels, logits that say something of them, patients, and folds by patient; lesions of a patient are alike."""
    n_patients = math.ceil(n / per_patient)
    owner = np.repeat(np.arange(n_patients), per_patient)[:n]
    labels = rng.integers(3, size=n_patients)[owner]
    logits = rng.normal(size=(n_patients, 3))[owner] * 1.2 + 0.2 * rng.normal(size=(n, 3)) + 1.5 * np.eye(3)[labels]
    return labels, logits, [f"p-{i}" for i in owner], owner % 3


def coverage(rng, n, per_patient=1, fresh=600):
    """The coverage on fresh patients, one lesion each, of sets from one drawn cohort."""
    labels, logits, patients, folds = draw(rng, n, per_patient)
    sets = fit_prediction_sets(logits, labels, patients, folds, 3)
    truth, answers, _, _ = draw(rng, fresh)
    probabilities = softmax(answers / fit_temperature(logits, labels, patients), axis=1)
    return np.mean([label in sets.members(row) for label, row in zip(truth, probabilities, strict=True)])


def test_the_range_at_sixty_patients_is_the_one_that_beta_gives():
    assert coverage_range(60) == pytest.approx((0.833, 0.956), abs=0.001)
    low, high = coverage_range(1000)
    assert low == pytest.approx(0.885, abs=0.003)
    assert high == pytest.approx(0.915, abs=0.003)


def test_sets_of_exchangeable_lesions_hold_the_right_class_nine_times_in_ten_within_that_range():
    rng = np.random.default_rng(4)
    found = np.array([coverage(rng, 60) for _ in range(80)])
    low, high = coverage_range(60)
    # Each coverage was counted on 600 lesions, which adds some spread to Beta's.
    slack = 1.6 * math.sqrt(0.9 * 0.1 / 600)
    inside = int(((found >= low - slack) & (found <= high + slack)).sum())
    assert found.mean() == pytest.approx(0.9, abs=0.015)
    assert inside >= binom.ppf(0.001, len(found), 0.9)


def test_lesions_of_one_patient_do_not_narrow_what_is_promised():
    rng = np.random.default_rng(5)
    found = np.array([coverage(rng, 240, per_patient=4, fresh=300) for _ in range(40)])
    # A threshold a class from 20 patients each: the 19th of 20 patients, and the most probable class on top.
    assert 0.885 <= found.mean() <= 0.96


def test_lesions_repeated_within_patients_are_no_news():
    once, many = ([np.repeat(x, n, axis=0) for x in draw(np.random.default_rng(6), 61)] for n in (1, 2))
    one, two = (fit_prediction_sets(x[1], x[0], list(x[2]), x[3], 3) for x in (once, many))
    assert (one.lesions, two.lesions, two.patients) == (61, 122, 61)
    assert (one.per_class, two.per_class) == (False, False)
    assert two.thresholds == pytest.approx(one.thresholds, abs=1e-4)
    assert two.achieved == one.achieved == coverage_range(61)


@pytest.mark.parametrize(("n", "why"), [(59, "59 lesions may be tested, at least 60"), (0, "0 lesions")])
def test_below_sixty_lesions_there_is_no_set(n, why):
    labels, logits, patients, folds = draw(np.random.default_rng(1), n)
    sets = fit_prediction_sets(logits, labels, patients, folds, 3)
    assert sets.why_not is not None
    assert sets.why_not.startswith("too few cases")
    assert why in sets.why_not
    assert sets.members(np.array([0.2, 0.3, 0.5])) is None


def test_many_lesions_of_a_handful_of_patients_are_too_few_cases():
    labels, logits, patients, folds = draw(np.random.default_rng(2), 80, per_patient=10)
    sets = fit_prediction_sets(logits, labels, patients, folds, 3)
    assert sets.thresholds is None
    assert sets.why_not is not None
    assert "8 patients only" in sets.why_not


@pytest.mark.parametrize(("smallest", "per_class"), [(49, False), (50, True)])
def test_a_threshold_a_class_needs_fifty_lesions_in_every_class(smallest, per_class):
    rng = np.random.default_rng(3)
    labels = np.repeat([0, 1, 2], [smallest, 60, 70])
    logits = rng.normal(size=(len(labels), 3)) + 2 * np.eye(3)[labels]
    patients = [f"p-{i}" for i in range(len(labels))]
    sets = fit_prediction_sets(logits, labels, patients, np.arange(len(labels)) % 3, 3)
    assert sets.per_class is per_class
    assert sets.thresholds is not None
    assert len(set(sets.thresholds)) == (3 if per_class else 1)


def test_the_most_probable_class_is_always_in_the_set_and_comes_first():
    strict = PredictionSets(0.9, 60, 60, thresholds=(0.1, 0.1, 0.1), achieved=(0.8, 0.9))
    assert strict.members(np.array([0.3, 0.4, 0.3])) == (1,)
    wide = PredictionSets(0.9, 60, 60, thresholds=(0.7, 0.7, 0.7), achieved=(0.8, 0.9))
    assert wide.members(np.array([0.3, 0.45, 0.25])) == (1, 0)


@pytest.mark.parametrize("n", [10, 90])
def test_what_is_kept_is_read_again(n):
    labels, logits, patients, folds = draw(np.random.default_rng(7), n)
    sets = fit_prediction_sets(logits, labels, patients, folds, 3)
    assert PredictionSets.from_json(json.loads(json.dumps(sets.to_json()))) == sets
