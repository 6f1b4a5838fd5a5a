import json

import numpy as np
import pytest
import torch

from lesionlabel.augment.classic import augment_cohort
from lesionlabel.evaluation.membership import membership_auc
from lesionlabel.lesions.cohort import Cohort
from lesionlabel.lesions.errors import InputError, LeakError
from lesionlabel.phantom.cohort import make_cohort
from lesionlabel.training.hooks import StoppedError


@pytest.fixture(scope="module")
def cohort() -> Cohort:
    return make_cohort({"hemangioma": 18}, seed=301)


@pytest.fixture(scope="module")
def sides(cohort) -> tuple[Cohort, Cohort]:
    patients = sorted(set(cohort.patients))
    inside = np.isin(cohort.patients, patients[::2])
    return cohort.subset(np.flatnonzero(inside)), cohort.subset(np.flatnonzero(~inside))


def test_copies_betray_the_training_lesions(sides):
    training, held_out = sides
    membership = membership_auc([(augment_cohort(training, 27, seed=1).images, training, held_out)], seed=0)
    assert membership.auc.value > 0.95
    assert membership.leaks
    # Of the same lesions as held out, the same pictures say the opposite.
    opposite = membership_auc([(augment_cohort(training, 27, seed=1).images, held_out, training)], seed=0)
    assert opposite.auc.value == pytest.approx(1 - membership.auc.value)
    assert not opposite.leaks


def test_fresh_lesions_show_no_leak_and_that_is_not_called_private(sides):
    training, held_out = sides
    fresh = augment_cohort(make_cohort({"hemangioma": 20}, seed=302), 20, seed=1).images
    membership = membership_auc([(fresh, training, held_out)], seed=0)
    assert membership.auc.low < 0.5 < membership.auc.high
    assert not membership.leaks
    assert "does not mean private" in membership.to_markdown()
    assert "says nothing about patients" in membership.to_markdown()
    assert json.loads(json.dumps(membership.to_json(), allow_nan=False))["leaks"] is False
    assert membership == membership_auc([(fresh, training, held_out)], seed=0)
    # One set judged from both sides: each comparison is won once and lost once.
    even = membership_auc([(fresh, training, held_out), (fresh, held_out, training)], seed=0)
    assert even.auc.value == pytest.approx(0.5)
    assert not even.leaks


def test_sets_are_pooled_by_comparisons_within_each(sides):
    training, held_out = sides
    copies = augment_cohort(training, 18, seed=1).images
    # Blank images are far from every lesion: ranked across sets, all lesions of that set would come last.
    far = torch.zeros_like(copies)
    alone = membership_auc([(copies, training, held_out)], seed=0).auc.value
    blank = membership_auc([(far, training, held_out)], seed=0).auc.value
    both = membership_auc([(copies, training, held_out), (far, training, held_out)], seed=0)
    assert both.auc.value == pytest.approx((alone + blank) / 2)
    assert both.auc.of == len(training) + len(held_out)


def test_a_patient_on_both_sides_or_an_empty_side_is_refused(cohort, sides):
    training, held_out = sides
    fresh = augment_cohort(training, 2, seed=1).images
    with pytest.raises(LeakError):
        membership_auc([(fresh, cohort, held_out)], seed=0)
    with pytest.raises(InputError, match="held-out"):
        membership_auc([(fresh, training, held_out.subset([]))], seed=0)
    with pytest.raises(InputError):
        membership_auc([], seed=0)
    with pytest.raises(StoppedError):
        membership_auc([(fresh, training, held_out)], seed=0, should_stop=lambda: True)
