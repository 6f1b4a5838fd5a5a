import pytest
import torch
from torch import nn
from torch.nn import functional

from lesionlabel.networks.strided import LEAST_TILES, convolve, upsample_and_convolve


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def make(kind: str) -> nn.Conv2d | nn.ConvTranspose2d:
    conv = {
        "down": lambda: nn.Conv2d(64, 96, 5, stride=2, padding=2),
        "up": lambda: nn.ConvTranspose2d(96, 64, 5, stride=2, padding=2, output_padding=1),
        "nearest": lambda: nn.Conv2d(96, 64, 3, padding=1),
        "nearest, narrow": lambda: nn.Conv2d(6, 4, 3, padding=1),
    }[kind]()
    for parameter in conv.parameters():
        nn.init.normal_(parameter, 0, 0.02, generator=rng(1))
    return conv


@pytest.mark.parametrize(("n", "side"), [(LEAST_TILES // 4, 4), (LEAST_TILES // 9 + 1, 6), (LEAST_TILES // 4, 8), (9, 16)])
@pytest.mark.parametrize("kind", ["down", "up", "nearest", "nearest, narrow"])
def test_pictures_and_gradients_are_torchs_to_rounding(kind, n, side):
    conv = make(kind)
    exact = make(kind).double()
    x = torch.randn(n, conv.in_channels, *[side * (2 if kind == "down" else 1)] * 2, generator=rng(2)).requires_grad_()
    nearest = kind.startswith("nearest")
    made = upsample_and_convolve(conv, x) if nearest else convolve(conv, x)
    doubled = x.double()
    expected = exact(functional.interpolate(doubled, scale_factor=2.0) if nearest else doubled)
    assert made.shape == expected.shape
    if kind != "nearest, narrow":
        assert "Convolution" not in str(made.grad_fn), "torch's own was taken"
    gradient = torch.randn(made.shape, generator=rng(3))
    got = torch.autograd.grad(made, [x, *conv.parameters()], gradient)
    wanted = torch.autograd.grad(expected, [x, *exact.parameters()], gradient.double())
    for one, other in zip((made, *got), (expected, *wanted), strict=True):
        assert (one - other).abs().max() < 1e-5 * other.abs().max()
