import numpy as np
import pytest
import torch
from torch.nn import functional

from lesionlabel.lesions.errors import InputError
from lesionlabel.networks.device import pick_device
from lesionlabel.networks.paper_cnn import PaperCNN


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_parameter_count_is_the_papers():
    assert sum(p.numel() for p in PaperCNN(3).parameters()) == 1_273_347


def test_logits_follow_the_papers_layers():
    network = PaperCNN(3, seeded(0))
    images = torch.rand(5, 1, 64, 64, generator=seeded(1))
    network.mean.fill_(0.3)
    x = images - 0.3
    for layer in (network.conv1, network.conv2, network.conv3):
        x = functional.max_pool2d(functional.relu(functional.conv2d(x, layer.weight, layer.bias)), 2)
    features = functional.relu(functional.linear(x.flatten(1), network.dense.weight, network.dense.bias))
    assert features.shape == (5, 256)
    torch.testing.assert_close(network.features(images), features)
    torch.testing.assert_close(network(images), functional.linear(features, network.head.weight, network.head.bias))


def test_weights_are_glorot_uniform_and_come_only_from_the_generator():
    before = torch.random.get_rng_state()
    network, again, other = PaperCNN(3, seeded(4)), PaperCNN(3, seeded(4)), PaperCNN(3, seeded(5))
    assert torch.equal(before, torch.random.get_rng_state())
    for name, parameter in network.named_parameters():
        assert torch.equal(parameter, dict(again.named_parameters())[name])
        if name.endswith("bias"):
            assert not parameter.any()
        else:
            assert not torch.equal(parameter, dict(other.named_parameters())[name])
    bound = np.sqrt(6 / (4608 + 256))
    weight = network.dense.weight.detach()
    assert 0.99 * bound < weight.abs().max() <= bound
    assert float(weight.std()) == pytest.approx(bound / np.sqrt(3), rel=0.01)


def test_an_untrained_network_has_no_opinion():
    assert not PaperCNN(3)(torch.rand(2, 1, 64, 64, generator=seeded(0))).any()


def test_mean_travels_with_the_weights():
    network = PaperCNN(3, seeded(0))
    network.mean.fill_(0.25)
    copy = PaperCNN(3)
    copy.load_state_dict(network.state_dict())
    images = torch.rand(2, 1, 64, 64, generator=seeded(1))
    assert torch.equal(copy(images), network(images))
    assert float(copy.mean) == 0.25


def test_dropout_keeps_half_of_the_features_and_is_drawn_from_the_generator():
    network = PaperCNN(2, seeded(0))
    with torch.no_grad():
        network.dense.weight.zero_()
        network.dense.bias.fill_(1.0)
        network.head.weight.fill_(1 / 256)
    images = torch.zeros(400, 1, 64, 64)
    dropped = network(images, dropout=0.5, generator=seeded(2))[:, 0].detach()
    assert torch.equal(dropped, network(images, dropout=0.5, generator=seeded(2))[:, 0])
    assert float(dropped.mean()) == pytest.approx(1.0, abs=0.02)
    assert float(dropped.std()) == pytest.approx(1 / 16, rel=0.2)
    torch.testing.assert_close(network(images[:1]), torch.ones(1, 2))


@pytest.mark.parametrize("name", ["gpu", "cuda:99", "meta"])
def test_a_device_that_is_not_there_is_refused_by_name(name):
    with pytest.raises(InputError, match=name):
        pick_device(name)
