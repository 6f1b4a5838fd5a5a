"""The phantom's noise against the numbers of the real CT, and the measurement against signals that are known."""

import numpy as np
import pytest
from scipy.special import ndtr

from lesionlabel.lesions.errors import InputError
from lesionlabel.phantom.presets import PRESETS
from lesionlabel.phantom.statistics import edge_sigmas, texture
from lesionlabel.phantom.texture import noise_stack


@pytest.fixture(scope="module")
def sharp_noise():
    rng = np.random.default_rng(0)
    return 104 + 21 * np.stack(list(noise_stack(rng, 8, 160, PRESETS["sharp"])))


def test_sharp_noise_has_the_real_correlations(sharp_noise):
    found = texture(sharp_noise.astype(np.float32), np.ones(sharp_noise.shape, dtype=bool))
    assert found.patch_sd.mean() == pytest.approx(21, abs=1)
    assert found.in_plane[0] == pytest.approx(0.20, abs=0.05)
    assert abs(found.in_plane[1]) < 0.05
    assert abs(found.in_plane[2]) < 0.05
    assert found.along_z == pytest.approx(0.07, abs=0.05)
    assert found.averaged_sd == pytest.approx((15.6, 13.0), abs=1.5)


def test_soft_noise_reaches_further():
    noise = 104 + 12 * np.stack(list(noise_stack(np.random.default_rng(0), 5, 160, PRESETS["soft"])))
    found = texture(noise.astype(np.float32), np.ones(noise.shape, dtype=bool))
    assert found.in_plane[0] > 0.4
    assert found.in_plane[1] > 0.1


def test_a_known_edge_is_measured():
    pixel = 0.743
    y, x = np.indices((200, 200))
    depth = (60 - np.hypot(x - 100, y - 100)) * pixel
    picture = -100 + 204 * ndtr(depth / 0.97) + np.random.default_rng(0).normal(0, 8, size=x.shape)
    volume = np.repeat(picture[None].astype(np.float32), 6, axis=0)
    liver = np.repeat((depth > 0)[None], 6, axis=0)
    sigmas = edge_sigmas(volume, liver, pixel, (-130, -70))
    assert len(sigmas) > 30
    assert np.median(sigmas) == pytest.approx(0.97, abs=0.12)


def test_too_little_liver_is_refused():
    with pytest.raises(InputError, match="30 are needed"):
        texture(np.zeros((3, 20, 20), dtype=np.float32), np.ones((3, 20, 20), dtype=bool))
