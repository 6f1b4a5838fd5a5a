import numpy as np
import pytest
import torch

from lesionlabel.augment.classic import originals
from lesionlabel.evaluation.feature_network import fold_features
from lesionlabel.training.classifier import ClassifierConfig
from lesionlabel.training.dataset import training_set

TINY = ClassifierConfig(epochs=None, steps=3, batch=8, device="cpu", seed=4)


def test_features_are_the_networks_dense_layer_in_units_of_the_training_rois(cohort_of):
    cohort = cohort_of()
    features = fold_features(cohort, TINY, 24)
    assert features.patients == set(cohort.patients)
    rois = originals(cohort)
    with torch.inference_mode():
        dense = features.network.features(rois).double().numpy()
    found = features(rois)
    assert found.shape == (24, 256)
    np.testing.assert_allclose(found * features.unit, dense, rtol=1e-6)
    seen, _ = training_set(cohort, 24, 0)
    assert (features(seen) ** 2).mean() == pytest.approx(1, rel=0.05)


def test_the_configs_seed_draws_all_of_it(cohort_of):
    rois = originals(cohort_of())
    first, again = (fold_features(cohort_of(), TINY, 24)(rois) for _ in range(2))
    assert np.array_equal(first, again)
    other = fold_features(cohort_of(), ClassifierConfig(epochs=None, steps=3, batch=8, device="cpu", seed=5), 24)(rois)
    assert not np.allclose(first, other)
