import numpy as np
import torch

from lesionlabel.lesions.cohort import Cohort, CohortLesion
from lesionlabel.lesions.roi import Context, cut_roi
from lesionlabel.training.dataset import training_set


def cohort_of_flat_lesions() -> Cohort:
    """Lesion i is flat at 20 i HU, so that every ROI tells which lesion it is from."""
    contexts = [Context(np.full((41, 41), 20.0 * i, dtype=np.float32), (20.0, 20.0), 12.0, 0.75) for i in range(6)]
    lesions = [CohortLesion(f"l{i}", f"p{i}", "ab"[i % 2], context) for i, context in enumerate(contexts)]
    return Cohort(tuple(lesions), ("a", "b"))


def test_every_lesion_is_there_as_it_is_and_in_equal_shares_under_its_own_class():
    cohort = cohort_of_flat_lesions()
    images, labels = training_set(cohort, 24, seed=1)
    assert images.shape == (30, 1, 64, 64)
    for i, lesion in enumerate(cohort):
        assert np.array_equal(images[i, 0].numpy(), cut_roi(lesion.context))
    which = ((images.mean(dim=(1, 2, 3)) * 340 - 100) / 20).round().int()
    assert torch.bincount(which).tolist() == [5] * 6
    assert torch.equal(labels, which.long() % 2)


def test_without_augmentation_there_are_the_lesions_alone():
    images, labels = training_set(cohort_of_flat_lesions(), 0, seed=1)
    assert images.shape == (6, 1, 64, 64)
    assert labels.tolist() == [0, 1, 0, 1, 0, 1]
