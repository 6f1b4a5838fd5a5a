import pytest
import torch

from lesionlabel.networks.gans import build_generator
from lesionlabel.networks.noise import draw_inputs


def rng() -> torch.Generator:
    return torch.Generator().manual_seed(7)


@pytest.mark.parametrize("arm", ["dcgan", "acgan", "modern"])
def test_truncation_shrinks_the_latent_vector_and_nothing_else(arm):
    network, labels = build_generator(arm, 16, 3), torch.tensor([2, 0, 1])
    whole, less = draw_inputs(network, 3, rng(), labels), draw_inputs(network, 3, rng(), labels, truncation=0.25)
    assert torch.equal(less.z, 0.25 * whole.z)
    assert less.labels is labels
    assert len(less.noise) == len(network.noise_sides)
    assert all(torch.equal(a, b) for a, b in zip(less.noise, whole.noise, strict=True))


def test_every_picture_has_noise_of_its_own_from_a_standard_normal():
    noise = draw_inputs(build_generator("modern", 16, 1), 40, rng()).noise
    assert [tuple(picture.shape) for picture in noise] == [(40, 1, side, side) for side in (8, 16, 32, 64)]
    for picture in noise:
        assert not torch.equal(picture[0], picture[1])
        assert picture.mean().item() == pytest.approx(0, abs=0.1)
        assert picture.std().item() == pytest.approx(1, abs=0.05)
