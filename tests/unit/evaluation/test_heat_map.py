import numpy as np
import pytest
import torch
from scipy.stats import rankdata

from lesionlabel.evaluation.heat_map import occlusion_map, surroundings
from lesionlabel.networks.paper_cnn import PaperCNN


def roi() -> np.ndarray:
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:64, :64] - 31.5
    return np.clip(np.where(np.hypot(x, y) < 21, 0.3, 0.6) + 0.06 * rng.standard_normal((64, 64)), 0, 1).astype(np.float32)


def of_network(seed: int):
    network = PaperCNN(3, torch.Generator().manual_seed(seed))
    network.mean.fill_(0.5)

    def probabilities(rois):
        with torch.inference_mode():
            return (4 * network(torch.from_numpy(rois)[:, None])).softmax(1).double().numpy()

    return probabilities


def test_the_map_is_where_the_answer_comes_from():
    """A model that looks at one dark corner of the lesion only."""

    def probabilities(rois):
        dark = 1 / (1 + np.exp(20 * (rois[:, 18:26, 36:44].mean(axis=(1, 2)) - 0.45)))
        return np.stack([dark, 1 - dark], axis=1).astype(np.float64)

    speaks_for = occlusion_map(roi(), 0, probabilities)
    row, column = np.unravel_index(speaks_for.argmax(), speaks_for.shape)
    assert abs(row - 21.5) <= 4
    assert abs(column - 39.5) <= 4
    assert np.abs(speaks_for[45:, :20]).max() < 0.02 * speaks_for.max()
    assert occlusion_map(roi(), 1, probabilities) == pytest.approx(-speaks_for)


def test_other_weights_give_another_map():
    """The sanity check of Adebayo et al. 2018."""
    first, *others = (occlusion_map(roi(), 0, of_network(seed)) for seed in (1, 2, 3, 4))
    ranks = [rankdata(one.ravel()) for one in (first, *others)]
    assert np.abs(np.corrcoef(ranks)[0, 1:]).mean() < 0.6


def test_a_roi_without_contrast_has_no_map():
    flat = np.full((64, 64), 0.5, dtype=np.float32)
    assert np.abs(occlusion_map(flat, 0, of_network(1))).max() < 1e-5


def test_what_a_spot_is_replaced_by_is_the_tissue_around():
    assert surroundings(roi()) == pytest.approx(0.6, abs=0.02)
