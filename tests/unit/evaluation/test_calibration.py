import numpy as np
import pytest
from scipy.special import log_softmax, softmax

from lesionlabel.evaluation.calibration import (
    cross_fitted_probabilities,
    fit_temperature,
    measure_calibration,
)


def calibrated(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Log probabilities, labels drawn from exactly these, one lesion a patient."""
    rng = np.random.default_rng(seed)
    log_p = log_softmax(1.5 * rng.standard_normal((n, 3)), axis=1)
    labels = (np.exp(log_p).cumsum(axis=1) < rng.random((n, 1))).sum(axis=1)
    return log_p, labels, [f"p{i}" for i in range(n)]


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_the_temperature_that_spoiled_the_logits_is_found(temperature):
    log_p, labels, patients = calibrated(6000)
    assert fit_temperature(log_p * temperature, labels, patients) == pytest.approx(temperature, rel=0.05)


def test_a_cohort_without_errors_does_not_get_certainty():
    logits = np.eye(3)[np.arange(30) % 3] * 2.0
    assert fit_temperature(logits, np.arange(30) % 3, [f"p{i}" for i in range(30)]) == pytest.approx(0.25, rel=1e-3)


def test_a_patient_with_many_lesions_does_not_rule_the_temperature():
    log_p, labels, patients = calibrated(300)
    always_wrong = np.tile([[9.0, 0.0, 0.0]], (300, 1))
    with_many = fit_temperature(
        np.concatenate([log_p, always_wrong]), np.append(labels, np.full(300, 1)), patients + ["many"] * 300
    )
    assert with_many < 3
    each_its_own = fit_temperature(
        np.concatenate([log_p, always_wrong]), np.append(labels, np.full(300, 1)), patients + [f"q{i}" for i in range(300)]
    )
    assert each_its_own > 2 * with_many


def test_slope_is_one_when_calibrated_and_falls_when_overconfident():
    log_p, labels, patients = calibrated(500)
    right = measure_calibration(labels, np.exp(log_p), patients, np.random.default_rng(0))
    assert right.slope.low < 1 < right.slope.high
    assert right.slope.value == pytest.approx(1, abs=0.25)
    over = measure_calibration(labels, softmax(3 * log_p, axis=1), patients, np.random.default_rng(0))
    assert over.slope.value == pytest.approx(right.slope.value / 3, rel=0.02)
    assert over.slope.high < 1


def test_ece_stands_beside_what_a_calibrated_model_shows_by_chance():
    log_p, labels, patients = calibrated(182, seed=3)
    right = measure_calibration(labels, np.exp(log_p), patients, np.random.default_rng(0))
    assert right.ece_null.low < right.ece < right.ece_null.high
    assert 0.03 < right.ece_null.value < 0.1
    over = measure_calibration(labels, softmax(4 * log_p, axis=1), patients, np.random.default_rng(0))
    assert over.ece > over.ece_null.high


def test_no_lesion_helps_to_set_the_temperature_it_is_scored_with():
    log_p, labels, patients = calibrated(90)
    folds = np.arange(90) % 3
    before = cross_fitted_probabilities(2 * log_p, labels, patients, folds)
    changed = np.where(folds == 0, (labels + 1) % 3, labels)
    after = cross_fitted_probabilities(2 * log_p, changed, patients, folds)
    assert np.array_equal(before[folds == 0], after[folds == 0])
    assert not np.allclose(before[folds == 1], after[folds == 1])
    np.testing.assert_allclose(before.sum(axis=1), 1)
