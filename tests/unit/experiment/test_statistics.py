import numpy as np
import pytest
from scipy.special import expit
from scipy.stats import binom
from sklearn.metrics import roc_auc_score

from lesionlabel.evaluation.metrics import lesion_weights
from lesionlabel.experiment.statistics import by_patient, detectable, draw_resamples, holm, majority_vote, sign_flip

SEEDS = 5
#: 1 to 5 lesions of each of 62 patients, 182 in all: the size of the paper's cohort.
PATIENTS = [f"p{i:02d}" for i in range(62) for _ in range(1 + i % 5)][:182]


def rng(*seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def two_arms(draw: np.random.Generator, shift: float = 0.0, times: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Which lesions two arms have right, (seeds, times · lesions): hard and easy lesions and patients are so for both.

    What an arm alone finds easy, it does so in every seed. Without a shift the arms differ by chance only.
    """
    owner = np.unique(PATIENTS, return_inverse=True)[1]
    owner = np.concatenate([owner + 62 * t for t in range(times)])
    lesions, patients = len(owner), 62 * times

    def effect(sd: float) -> np.ndarray:
        return sd * draw.standard_normal(patients)[owner] + sd * draw.standard_normal(lesions)

    shared = 1.2 + effect(1.0)
    first, second = shared + effect(0.7) + shift, shared + effect(0.7)
    answers = draw.random((2, SEEDS, lesions))
    return answers[0] < expit(first), answers[1] < expit(second)


def rejections(shift: float, data_sets: int, seed: int) -> int:
    found = 0
    for number in range(data_sets):
        draw = rng(seed, number)
        first, second = two_arms(draw, shift)
        found += sign_flip(by_patient(first, second, PATIENTS).differences, draw, 999) < 0.05
    return found


def test_without_a_difference_the_test_rejects_as_often_as_it_says():
    low, high = binom.ppf([0.005, 0.995], 2000, 0.05)
    assert low <= rejections(0.0, 2000, seed=1) <= high


def test_stacked_seeds_would_reject_too_often():
    found = 0
    for number in range(300):
        first, second = two_arms(rng(2, number))
        found += majority_vote(first.reshape(1, -1), second.reshape(1, -1)).p < 0.05
    assert found > binom.ppf(0.9999, 300, 0.05)


def test_a_difference_of_the_detectable_size_is_shown_in_four_of_five():
    # What the shift is worth is measured on so many lesions that chance is out of it.
    shifts = np.linspace(0.2, 1.0, 9)
    worth = [float(np.subtract(*(arm.mean() for arm in two_arms(rng(3), shift, times=200)))) for shift in shifts]
    stated = np.mean([detectable(*two_arms(rng(4, number), 0.5), PATIENTS) for number in range(100)])
    shift = float(np.interp(stated, worth, shifts))
    low, high = binom.ppf([0.001, 0.999], 400, 0.8)
    assert low <= rejections(shift, 400, seed=5) <= high


def test_the_detectable_difference_of_the_papers_cohort_is_the_known_one():
    """One lesion a patient, one seed, a discordance of 17 to 28 %: 8.5 to 11 points."""
    patients = [f"p{i}" for i in range(182)]
    for discordant, points in ((31, 8.5), (51, 11.0)):
        first, second = np.zeros((2, 1, 182), dtype=bool)
        first[0, : discordant // 2] = True
        second[0, discordant // 2 : discordant] = True
        assert 100 * detectable(first, second, patients) == pytest.approx(points, abs=0.5)


def test_equal_answers_and_few_patients_promise_nothing():
    same = np.zeros((5, 182), dtype=bool)
    assert 0.04 < detectable(same, same, [f"p{i}" for i in range(182)]) < 0.05
    assert detectable(np.ones((1, 5), dtype=bool), same[:1, :5], list("abcde")) == 1


def test_differences_are_weighted_means_over_seeds_summed_by_patient():
    # Ten lesions of one patient weigh as five; the other's two as two.
    patients = ["many"] * 10 + ["few"] * 2
    first, second = np.zeros((2, 2, 12), dtype=bool)
    first[:, :10] = True
    second[0, 10] = True
    sums = by_patient(first, second, patients)
    np.testing.assert_allclose(sums.differences, [-0.5, 5.0])
    np.testing.assert_allclose(sums.weights, [2.0, 5.0])


def test_p_by_hand():
    # Of the 2^8 signs, only all alike are as far from 0 as eight ones: 2 / 256. Patients without a difference change nothing.
    p = sign_flip(np.ones(8), rng())
    assert p == pytest.approx(2 / 256, abs=0.003)
    assert sign_flip(np.append(np.ones(8), np.zeros(50)), rng(1)) == pytest.approx(2 / 256, abs=0.003)
    assert sign_flip(-np.ones(8), rng()) == p
    assert sign_flip(np.ones(100), rng()) == pytest.approx(1 / 10_001)
    assert sign_flip(np.zeros(8), rng()) == 1
    assert sign_flip(np.array([0.1, 0.2, -0.3]), rng()) == 1


def test_equal_sums_count_as_equal_whatever_the_last_digit():
    # 0.1 · 3 and 0.3 differ in floating point; each flip of all three is exactly as far as what was seen.
    assert sign_flip(np.array([0.1, 0.1, 0.1]), rng()) == pytest.approx(0.25, abs=0.02)
    assert sign_flip(np.array([0.1, 0.2, 0.3]), rng()) == pytest.approx(0.25, abs=0.02)


def test_the_vote_is_one_row_a_lesion_and_a_tie_is_wrong():
    first = np.array([[1, 1, 1, 1, 0, 1, 1], [1, 1, 1, 1, 0, 1, 0]], dtype=bool)
    second = np.array([[0, 0, 0, 0, 0, 1, 0], [0, 1, 0, 0, 0, 1, 0]], dtype=bool)
    vote = majority_vote(first, second)
    assert (vote.won, vote.lost) == (4, 0)
    assert vote.p == pytest.approx(2 / 2**4)
    assert majority_vote(first, first).p == 1


def test_holm_by_hand():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([]) == []


def test_the_auc_is_scikit_learns_in_every_draw():
    draw = rng(6)
    positive = draw.random(60) < 0.4
    scores = np.round(draw.random((2, 60)) + 0.3 * positive, 1)
    patients = [f"p{i // 7}" for i in range(60)]
    draws = draw_resamples(patients, 2, draw, draws=20)
    areas = [
        [roc_auc_score(positive, score, sample_weight=weights) for score in scores]
        for weights in draws.lesions
        if (weights * positive).any() and (weights * ~positive).any()
    ]
    assert len(areas) == 21
    found = draws.auc(scores, positive)
    assert found is not None
    expected = draws.interval(np.array(areas), found.of)
    assert (found.value, found.low, found.high) == pytest.approx((expected.value, expected.low, expected.high))
    assert found.value == pytest.approx(sum(areas[0]) / 2)
    assert draws.auc(scores, np.ones(60, dtype=bool)) is None


def test_intervals_hold_what_seeds_differ_by():
    """Every lesion is right in two seeds of four: patients bring no spread, seeds do."""
    right = np.repeat([[True], [True], [False], [False]], 182, axis=1)
    of_seeds = draw_resamples(PATIENTS, 4, rng()).mean(right)
    assert of_seeds is not None
    assert of_seeds.value == pytest.approx(0.5)
    assert of_seeds.low < 0.1
    assert of_seeds.high > 0.9
    assert of_seeds.of == pytest.approx(lesion_weights(PATIENTS).sum())
    alone = draw_resamples(PATIENTS, 1, rng()).mean(right[:1])
    assert alone is not None
    assert (alone.low, alone.high) == pytest.approx((1, 1))


def test_the_interval_of_a_difference_covers_it_as_often_as_it_says():
    """Never less than stated; a little more, since seeds are counted in patients' spread and again on their own."""
    covered = 0
    for number in range(300):
        draw = rng(7, number)
        first, second = two_arms(draw)
        found = draw_resamples(PATIENTS, SEEDS, draw, draws=300).mean(first.astype(float) - second)
        assert found is not None
        covered += found.low <= 0 <= found.high
    assert covered >= binom.ppf(0.001, 300, 0.95)


def test_a_class_missing_from_a_draw_is_left_out_of_it():
    right = np.array([[True, False, True, False]])
    draws = draw_resamples(list("abcd"), 1, rng())
    one = draws.mean(right, np.array([True, True, False, False]))
    assert one is not None
    assert (one.value, one.low, one.high, one.of) == (0.5, 0, 1, 2)
    assert draws.mean(right, np.zeros(4, dtype=bool)) is None
