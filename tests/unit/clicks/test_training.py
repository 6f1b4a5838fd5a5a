"""The loop learns, gives the same weights for the same seed, and stops when asked to."""

import numpy as np
import pytest
import torch

from lesionlabel.clicks.samples import Samples
from lesionlabel.clicks.training import MOST_CLICKS, ClickConfig, _Batch, _correct, _step, train_click_unet
from lesionlabel.lesions.errors import InputError
from lesionlabel.networks.click_unet import ClickUNet
from lesionlabel.training.hooks import StoppedError

CONFIG = ClickConfig(epochs=13, batch=4, width=6, device="cpu")


@pytest.fixture(scope="module")
def disks():
    """Dark disks in noise with a click in them, and even noise with a click that is on liver."""
    rng, side = np.random.default_rng(2), 48
    y, x = np.indices((side, side))
    planes, masks, clicks, kinds = [], [], [], []
    for number in range(24):
        middle, radius = rng.uniform(16, 32, 2), rng.uniform(5, 10)
        inside = np.hypot(x - middle[0], y - middle[1]) < radius
        there = number % 3 != 0
        planes.append(np.where(inside & there, -1.0, 0.3) + rng.normal(0, 0.2, (4, side, side)))
        masks.append(inside * 4 * there)
        clicks.append(middle + rng.uniform(-4, 4, 2))
        kinds.append(0 if there else 2)
    return Samples(
        np.stack(planes).astype(np.float16), np.stack(masks).astype(np.uint8), np.stack(clicks).astype(np.float32),
        np.array(kinds), np.ones(24, np.float32),
    )  # fmt: skip


def test_the_loss_falls_and_the_same_seed_gives_the_same_weights(disks):
    first, second = (train_click_unet(disks, CONFIG) for _ in range(2))
    assert [step for step, _ in first.losses] == [50, 78]
    assert first.losses[1][1] < 0.9 * first.losses[0][1]
    for a, b in zip(first.network.state_dict().values(), second.network.state_dict().values(), strict=True):
        assert torch.equal(a, b)


def test_it_stops_when_asked_to(disks):
    with pytest.raises(StoppedError, match="nothing of it is kept"):
        train_click_unet(disks, CONFIG, should_stop=lambda: True)


def test_settings_and_samples_that_cannot_train_are_refused(disks):
    with pytest.raises(InputError, match="cannot train"):
        ClickConfig(epochs=0)
    with pytest.raises(InputError, match="fewer than a batch of 64"):
        train_click_unet(disks, ClickConfig(batch=64))


def test_a_correction_is_set_in_the_middle_of_the_largest_error():
    """A lesion of which the right half was missed, and too much was taken further down: as a reader would click."""
    target = torch.zeros(2, 48, 48)
    target[:, 10:30, 10:30] = 1
    found = target > 0
    found[0, :, 20:] = False
    found[1, 34:46, 8:28] = True
    inside, outside = (torch.zeros(2, MOST_CLICKS, 2) for _ in range(2))
    inside_there, outside_there = (torch.zeros(2, MOST_CLICKS) for _ in range(2))
    inside_there[:, 0] = 1
    planes, kinds = torch.zeros(2, 4, 48, 48), torch.zeros(2, dtype=torch.int64)
    batch = _Batch(planes, target, kinds, inside, inside_there, outside, outside_there, torch.ones(2))
    _correct(batch, found)
    assert batch.inside_there.sum(1).tolist() == [2, 1]
    assert batch.outside_there.sum(1).tolist() == [0, 1]
    x, y = batch.inside[0, 1].tolist()
    assert 22 <= x <= 27
    assert 12 <= y <= 27
    x, y = batch.outside[1, 0].tolist()
    assert 10 <= x <= 25
    assert 36 <= y <= 43


def is_learned(part: torch.nn.Module) -> bool:
    gradient = next(part.parameters()).grad
    return gradient is not None and bool(gradient.abs().sum() > 0)


def test_the_outline_is_learned_from_lesions_alone():
    """Whatever is drawn around a click on liver, nothing is learned of it but that it is liver."""
    torch.manual_seed(0)
    network = ClickUNet(6)
    inside, outside = (torch.full((2, MOST_CLICKS, 2), 24.0) for _ in range(2))
    inside_there, outside_there = (torch.zeros(2, MOST_CLICKS) for _ in range(2))
    inside_there[:, 0] = 1
    for kinds, learned in ((torch.tensor([2, 1]), False), (torch.tensor([2, 0]), True)):
        network.zero_grad()
        batch = _Batch(
            torch.randn(2, 4, 48, 48), torch.zeros(2, 48, 48), kinds, inside, inside_there, outside, outside_there, torch.ones(2)
        )
        loss = _step(network, batch, np.random.default_rng(0))
        assert torch.isfinite(loss)
        loss.backward()
        assert is_learned(network.mask) is learned
        assert is_learned(network.kind)
