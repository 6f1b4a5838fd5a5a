import pytest
import torch
from torch import nn

from lesionlabel.networks.modern import ModernDiscriminator, ModernGenerator
from lesionlabel.networks.noise import draw_inputs


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("place", range(4))
def test_noise_reaches_the_picture_at_every_resolution_with_a_strength_that_is_learned(place):
    network = ModernGenerator(16, rng(1)).eval()
    z, _, noise = draw_inputs(network, 2, rng(2))
    other = [torch.randn(picture.shape, generator=rng(3)) if at == place else picture for at, picture in enumerate(noise)]
    # The strengths start at 0: the latent vector is learned first.
    assert torch.equal(network(z, None, noise), network(z, None, other))
    made = network(z, None, noise)
    made.square().sum().backward()
    strength = network.strengths[place]
    assert strength.grad is not None
    assert strength.grad.any()
    with torch.no_grad():
        strength += 1
    assert not torch.equal(network(z, None, noise), network(z, None, other))


def test_the_discriminator_has_no_batch_norm_and_one_picture_changes_the_others_only_through_the_spread():
    network = ModernDiscriminator(16, rng(1)).train()
    assert not any(isinstance(module, nn.BatchNorm2d) for module in network.modules())
    images = torch.rand(4, 1, 64, 64, generator=rng(2)) * 2 - 1
    with torch.no_grad():
        before = network(images)[0]
        network.mixed.weight[:, -1] = 0
        alone = network(images)[0]
        apart = torch.cat([network(image[None])[0] for image in images])
    torch.testing.assert_close(alone, apart, atol=1e-5, rtol=1e-4)
    assert not torch.allclose(before, alone, atol=1e-5)


def test_the_discriminators_first_scores_differ_between_pictures():
    # Without batch norm, weights of N(0, 0.02) would give every picture the same score.
    scores = ModernDiscriminator(16, rng(1))(torch.rand(16, 1, 64, 64, generator=rng(2)) * 2 - 1)[0]
    assert scores.std() > 0.01


def test_the_penalty_on_the_gradient_reaches_every_weight_it_depends_on():
    network = ModernDiscriminator(16, rng(1))
    images = (torch.rand(4, 1, 64, 64, generator=rng(2)) * 2 - 1).requires_grad_()
    (gradient,) = torch.autograd.grad(network(images)[0].sum(), images, create_graph=True)
    gradient.square().sum().backward()
    for name, weight in network.named_parameters():
        if name.endswith("weight"):
            assert weight.grad is not None, name
            assert weight.grad.any(), name
