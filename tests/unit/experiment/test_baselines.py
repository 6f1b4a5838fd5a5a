from dataclasses import replace

import numpy as np
import pytest
from statsmodels.stats.proportion import proportion_confint

from lesionlabel.experiment.baselines import BASELINES
from lesionlabel.experiment.sets import cut_fold
from lesionlabel.lesions.cohort import Cohort
from lesionlabel.phantom.cohort import make_cohort

NAMES = ("cyst", "metastasis", "hemangioma")


@pytest.fixture(scope="module")
def cohort():
    return make_cohort(dict.fromkeys(NAMES, 40), seed=7)


def answers(cohort, arm):
    found = np.full(len(cohort), -1)
    for number in range(3):
        fold = cut_fold(cohort, 3, 0, number, 0)
        found[fold.at] = BASELINES[arm](fold.training, fold.test, 0).argmax(axis=1)
    return found


def bounds(right):
    return proportion_confint(int(right.sum()), len(right), alpha=0.01, method="wilson")


def test_the_mean_hu_tells_cysts_from_the_others_and_the_diameter_tells_nothing(cohort):
    cyst = cohort.labels == 0
    low, _ = bounds((answers(cohort, "mean") == 0) == cyst)
    assert low > 0.8
    low, high = bounds(answers(cohort, "diameter") == cohort.labels)
    assert low < 1 / 3 < high


def test_visual_words_are_above_chance(cohort):
    low, _ = bounds(answers(cohort, "words") == cohort.labels)
    assert low > 1 / 3


@pytest.mark.parametrize("arm", list(BASELINES))
def test_what_is_learned_is_of_the_training_lesions_alone(cohort, arm):
    fold = cut_fold(cohort, 3, 0, 0, 0)
    together = BASELINES[arm](fold.training, fold.test, 3)
    np.testing.assert_allclose(np.exp(together).sum(axis=1), 1)
    alone = BASELINES[arm](fold.training, fold.test.subset([4]), 3)
    np.testing.assert_allclose(alone[0], together[4], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("arm", list(BASELINES))
@pytest.mark.parametrize("classes", [("a", "b"), ("a", "b / c", "d", "e")])
def test_any_number_of_classes_will_do(cohort, arm, classes):
    lesions = tuple(replace(lesion, label=classes[i % len(classes)]) for i, lesion in enumerate(cohort))
    fold = cut_fold(Cohort(lesions, classes), 3, 0, 0, 0)
    found = BASELINES[arm](fold.training, fold.test, 0)
    assert found.shape == (len(fold.test), len(classes))
    assert np.isfinite(found).all()


def test_a_lesion_of_unknown_pixel_size_changes_no_others_answer(cohort):
    fold = cut_fold(cohort, 3, 0, 0, 0)
    first = fold.test.lesions[0]
    unknown = replace(first, context=replace(first.context, spacing_mm=0.0))
    changed = Cohort((unknown, *fold.test.lesions[1:]), NAMES)
    before, after = (BASELINES["diameter"](fold.training, test, 0) for test in (fold.test, changed))
    np.testing.assert_array_equal(before[1:], after[1:])
    assert np.isfinite(after[0]).all()


def test_a_lesion_smaller_than_a_pixel_has_the_mean_of_the_nearest(cohort):
    fold = cut_fold(cohort, 3, 0, 0, 0)
    first = fold.test.lesions[0]
    x, y = first.context.centre
    tiny = replace(first, context=replace(first.context, centre=(x + 0.5, y + 0.5), diameter_px=0.5))
    assert np.isfinite(BASELINES["mean"](fold.training, Cohort((tiny,), NAMES), 0)).all()


def test_visual_words_are_not_surer_than_they_are_right(cohort):
    # With a temperature from training lesions alone: no worse than knowing nothing but that there are three classes.
    losses = []
    for number in range(3):
        fold = cut_fold(cohort, 3, 0, number, 0)
        found = BASELINES["words"](fold.training, fold.test, 0)
        losses += (-found[np.arange(len(fold.test)), fold.test.labels]).tolist()
    assert np.mean(losses) < np.log(3)
