import numpy as np
import pytest
import torch

from lesionlabel.augment.classic import originals
from lesionlabel.evaluation.crossval import OutOfFold, Recipe, answer_fold, draw_folds, fit, is_simulated
from lesionlabel.lesions.cohort import Cohort
from lesionlabel.lesions.errors import InputError
from lesionlabel.training.classifier import ClassifierConfig
from lesionlabel.training.hooks import StoppedError


def cross_validate(cohort: Cohort, recipe: Recipe, seed: int, **hooks) -> OutOfFold:
    folds, trained = draw_folds(cohort, recipe, seed), []
    logits = np.full((len(cohort), len(cohort.class_names)), np.nan)
    for fold in range(recipe.n_folds):
        logits[folds == fold], record = answer_fold(cohort, folds, fold, recipe, seed, **hooks)
        trained.append(record)
    return OutOfFold(cohort, recipe, seed, folds, logits, tuple(trained))


TINY = Recipe("tiny", 20, 3, ClassifierConfig(epochs=None, steps=3, batch=8, device="cpu"))


def test_each_answer_comes_from_a_network_trained_on_the_other_folds_alone(cohort_of):
    cohort = cohort_of()
    result = cross_validate(cohort, TINY, seed=3)
    assert sorted(np.bincount(result.folds)) == [8, 8, 8]
    for patient in set(cohort.patients):
        assert len({f for f, p in zip(result.folds, cohort.patients, strict=True) if p == patient}) == 1
    for fold in range(3):
        here = result.folds == fold
        network = fit(cohort.subset(np.flatnonzero(~here)), TINY, 3, fold + 1, 2).network
        with torch.inference_mode():
            again = network(originals(cohort.subset(np.flatnonzero(here)))).double().numpy()
        assert np.array_equal(result.logits[here], again)
    # 16 lesions with their own ROI, and 20 augmentations for each of the two folds.
    assert {record["images"] for record in result.trained} == {16 + 40}
    other = cross_validate(cohort, TINY, seed=4)
    assert not np.array_equal(other.folds, result.folds)


def test_it_tells_held_out_lesions_apart_that_differ(cohort_of):
    cohort = cohort_of(36)
    recipe = Recipe("tiny", 0, 3, ClassifierConfig(epochs=None, steps=50, batch=12, learning_rate=0.01, device="cpu"))
    result = cross_validate(cohort, recipe, seed=0)
    assert (result.logits.argmax(axis=1) == cohort.labels).mean() > 0.9


def test_simulated_and_real_lesions_are_never_mixed(cohort_of, lesion_of):
    real, phantom = cohort_of(), cohort_of(prefix="phantom-50-")
    assert not is_simulated(real)
    assert is_simulated(phantom)
    mixed = Cohort((*real.lesions, lesion_of(99, 0, "phantom-1")), real.class_names)
    with pytest.raises(InputError, match="1 simulated and 24 real"):
        cross_validate(mixed, TINY, seed=0)


def test_too_few_patients_of_a_class_are_named(cohort_of):
    cohort = cohort_of()
    few = cohort.subset([i for i, x in enumerate(cohort) if x.label != "cyst" or x.patient in ("p-0-0", "p-1-0")])
    with pytest.raises(InputError, match=r"'cyst' has lesions of 2 patient"):
        cross_validate(few, TINY, seed=0)


def test_it_can_be_stopped_and_tells_how_far_it_is(cohort_of):
    with pytest.raises(StoppedError):
        cross_validate(cohort_of(), TINY, seed=0, should_stop=lambda: True)
    told = []
    cohort = cohort_of()
    answer_fold(cohort, draw_folds(cohort, TINY, 0), 2, TINY, 0, progress=lambda share, what: told.append((share, what)))
    shares = [share for share, _ in told]
    assert shares == sorted(shares)
    assert (shares[-1], told[-1][1][:14]) == (1.0, "step 3 of 3, l")
