import numpy as np
import pytest
import torch

from lesionlabel.augment.classic import augment_cohort, originals
from lesionlabel.experiment.plan import Point
from lesionlabel.experiment.sets import cut_fold, partition
from lesionlabel.phantom.cohort import make_cohort

NAMES = ("cyst", "metastasis", "hemangioma")


@pytest.fixture(scope="module")
def cohort():
    return make_cohort(dict.fromkeys(NAMES, 7), seed=3)


@pytest.fixture(scope="module")
def fold(cohort):
    return cut_fold(cohort, 3, 1, 2, most=60)


@pytest.fixture(scope="module")
def synthetic():
    return {index: torch.full((50, 1, 64, 64), 0.25 * (index + 1)) for index in range(3)}


def test_no_patient_is_on_both_sides_and_the_folds_are_everybody(cohort):
    tested = [cut_fold(cohort, 3, 1, number, 0) for number in range(3)]
    assert sorted(np.concatenate([fold.at for fold in tested])) == list(range(len(cohort)))
    for one in tested:
        assert not set(one.training.patients) & set(one.test.patients)
    assert not np.array_equal(partition(cohort, 3, 1), partition(cohort, 3, 2))


def test_a_smaller_amount_is_part_of_a_larger_one_and_is_what_the_augmentation_gives(fold):
    small, labels = fold.images(Point("classic", 15))
    large, _ = fold.images(Point("classic", 60))
    n = len(fold.training)
    assert (len(small), len(large)) == (n + 30, n + 120)
    torch.testing.assert_close(small[:n], originals(fold.training))
    made = augment_cohort(fold.training, 30, fold.seeds(0, 1)[0])
    torch.testing.assert_close(small[n:], made.images)
    assert labels[n:].tolist() == fold.training.labels[made.lesion_index].tolist()
    everything = {image.numpy().tobytes() for image in large}
    assert all(image.numpy().tobytes() in everything for image in small)


def test_copies_match_the_synthetic_arm_in_number_and_class_and_hold_nothing_new(fold, synthetic):
    copied, of_copies = fold.images(Point("duplicates", 15, 24))
    made, of_made = fold.images(Point("dcgan", 15, 24), synthetic)
    assert len(copied) == len(made)
    assert of_copies.bincount().tolist() == of_made.bincount().tolist()
    real = {image.numpy().tobytes() for image in fold.images(Point("classic", 15))[0]}
    assert {image.numpy().tobytes() for image in copied} == real


def test_synthetic_images_join_in_equal_shares_beside_the_same_classic_ones(fold, synthetic):
    classic, _ = fold.images(Point("classic", 15))
    images, labels = fold.images(Point("dcgan", 15, 24), synthetic)
    torch.testing.assert_close(images[: len(classic)], classic)
    assert labels[len(classic) :].bincount().tolist() == [16, 16, 16]
    assert images[len(classic) :].mean(dim=(1, 2, 3)).unique().tolist() == [0.25, 0.5, 0.75]


def test_synthetic_images_alone_have_no_real_one_beside_them(fold, synthetic):
    images, labels = fold.images(Point("synthetic", 0, 24), synthetic)
    assert labels.bincount().tolist() == [16, 16, 16]
    assert set(images.mean(dim=(1, 2, 3)).tolist()) == {0.25, 0.5, 0.75}
