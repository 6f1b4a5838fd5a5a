import numpy as np
import pytest
import torch
from scipy import linalg, stats
from sklearn.covariance import ledoit_wolf

from lesionlabel.evaluation.radiomics import FEATURE_NAMES, frechet_distance, radiomic_features, shrunk_covariance
from lesionlabel.lesions.errors import InputError


def named(image: np.ndarray) -> dict[str, float]:
    return dict(zip(FEATURE_NAMES, radiomic_features(image[None, None])[0], strict=True))


def noise(n: int, seed: int = 0, sd: float = 0.08) -> np.ndarray:
    return np.clip(0.5 + sd * np.random.default_rng(seed).standard_normal((n, 1, 64, 64)), 0, 1)


def test_first_order_features_are_those_of_the_textbook():
    image = noise(1)[0, 0] ** 2
    found = named(image)
    assert found["original, mean"] == pytest.approx(image.mean())
    assert found["original, sd"] == pytest.approx(image.std())
    assert found["original, skewness"] == pytest.approx(stats.skew(image.ravel()))
    assert found["original, kurtosis"] == pytest.approx(stats.kurtosis(image.ravel()))
    assert found["original, percentile 90"] == pytest.approx(np.percentile(image, 90))
    assert found["original, range"] == pytest.approx(np.ptp(image))


def test_a_half_black_and_half_white_image_has_known_features():
    image = np.zeros((64, 64))
    image[32:] = 1
    found = named(image)
    assert found["original, entropy"] == pytest.approx(1)
    assert found["original, energy"] == pytest.approx(0.5)
    # Neighbours over the edge, of all: none along it, 64 of 64 · 63 down, 63 of 63 · 63 on each diagonal; 31 levels apart.
    assert found["original, GLCM contrast"] == pytest.approx(31**2 * (0 + 1 / 63 + 2 / 63) / 4)
    assert found["LoG 2 px, mean"] == pytest.approx(0, abs=1e-3)
    # At a step the response's peak is height · exp(-1/2) / sqrt(2 pi), whatever sigma: it is multiplied by sigma squared.
    for sigma in (2, 4):
        assert found[f"LoG {sigma} px, range"] == pytest.approx(2 * np.exp(-0.5) / np.sqrt(2 * np.pi), rel=0.05)


def test_a_constant_image_has_finite_features_and_no_texture():
    found = named(np.full((64, 64), 0.3))
    assert all(np.isfinite(value) for value in found.values())
    assert {found[f"original, {name}"] for name in ("skewness", "kurtosis", "entropy", "GLCM contrast", "GLCM entropy")} == {0.0}


def test_features_do_not_depend_on_how_the_roi_is_turned():
    image = noise(1)[0, 0]
    image[:20, 5:] *= 0.5
    upright = radiomic_features(image[None, None])
    for turned in (np.rot90(image), image[::-1], image[:, ::-1], image.T):
        np.testing.assert_allclose(radiomic_features(turned[None, None]), upright, rtol=1e-9, atol=1e-12)


def test_many_images_give_what_each_gives_alone():
    images = noise(300, sd=0.2)
    together = radiomic_features(torch.from_numpy(images.astype(np.float32)))
    assert together.shape == (300, len(FEATURE_NAMES))
    alone = radiomic_features(images[299:].astype(np.float32))
    np.testing.assert_allclose(together[299:], alone)
    assert radiomic_features(images[:0]).shape == (0, len(FEATURE_NAMES))


@pytest.mark.parametrize("images", [np.zeros((2, 64, 64)), np.full((1, 1, 64, 64), 1.5), np.full((1, 1, 64, 64), np.nan)])
def test_other_images_are_refused(images):
    with pytest.raises(InputError):
        radiomic_features(images)


def test_shrinkage_is_that_of_ledoit_and_wolf():
    rng = np.random.default_rng(0)
    for n, d in ((3, 10), (20, 72), (400, 12)):
        x = rng.standard_normal((n, d)) @ rng.standard_normal((d, d))
        np.testing.assert_allclose(shrunk_covariance(x), ledoit_wolf(x)[0], rtol=1e-9)
    assert not shrunk_covariance(np.ones((5, 4))).any()


def test_frechet_distance_is_that_of_two_gaussians():
    rng = np.random.default_rng(1)
    reference = rng.standard_normal((50, 6)) * [1, 2, 3, 4, 5, 6] + 7
    x, y = rng.standard_normal((400, 6)) + 7, rng.standard_normal((300, 6)) * 2 + 8
    zx, zy = ((v - reference.mean(0)) / reference.std(0) for v in (x, y))
    cx, cy = ledoit_wolf(zx)[0], ledoit_wolf(zy)[0]
    mixed = np.trace(np.real(np.asarray(linalg.sqrtm(cx @ cy))))
    expected = ((zx.mean(0) - zy.mean(0)) ** 2).sum() + np.trace(cx) + np.trace(cy) - 2 * mixed
    assert frechet_distance(x, y, reference) == pytest.approx(expected)
    assert frechet_distance(x, x, reference) == pytest.approx(0, abs=1e-9)
    assert frechet_distance(x, x + 3 * reference.std(0), reference) == pytest.approx(6 * 9)


def test_neither_units_nor_a_feature_that_is_constant_in_the_reference_move_the_distance():
    rng = np.random.default_rng(2)
    reference, x, y = rng.standard_normal((3, 30, 4))
    before = frechet_distance(x, y, reference)
    factor = np.array([1e-4, 1, 50, 1e6])
    assert frechet_distance(x * factor + 5, y * factor + 5, reference * factor + 5) == pytest.approx(before)

    def with_constant(rows: np.ndarray, value: float) -> np.ndarray:
        return np.column_stack([rows, np.full(len(rows), value)])

    assert frechet_distance(with_constant(x, 9), with_constant(y, 0), with_constant(reference, 1)) == pytest.approx(before)


def test_fewer_images_than_features_still_tell_textures_apart():
    sharp, other, smooth = noise(20, 3), noise(20, 4), noise(20, 5)
    smooth[:, :, 1:] = (smooth[:, :, 1:] + smooth[:, :, :-1]) / 2
    sharp, other, smooth = (radiomic_features(x) for x in (sharp, other, smooth))
    assert frechet_distance(smooth, sharp, sharp) > 10 * frechet_distance(other, sharp, sharp)
    with pytest.raises(InputError, match="at least 2"):
        frechet_distance(sharp[:1], other, other)
