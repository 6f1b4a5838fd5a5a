"""The paper's DCGAN: a generator of 64 × 64 ROIs from noise, and its discriminator.

Source: Frid-Adar et al. 2018, section III-B, after Radford et al. 2016. The paper gives no widths for the discriminator (ours
mirror the generator) and has noise uniform in one place and normal in another (ours is uniform in [-1, 1]).
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from lesionlabel.lesions.errors import InputError
from lesionlabel.lesions.roi import ROI_SIZE
from lesionlabel.networks.strided import convolve
from lesionlabel.networks.weights import allocate, draw_normal

Z_SIZE = 100
#: Channels of the generator's first layer in the paper; each layer after it has half as many.
PAPER_WIDTH = 1024
#: Side of the picture that the dense layer makes, doubled four times.
FIRST_SIDE = 4
LEAK = 0.2


def check_width(width: int) -> int:
    """The width if the network can have it. Raises InputError unless it is a multiple of 16 from 16 to 4096."""
    if width % 16 or not 16 <= width <= 4096:
        raise InputError(f"The width must be a multiple of 16 from 16 to 4096 (the paper's is {PAPER_WIDTH}), got {width}.")
    return width


class DCGANGenerator(nn.Module):
    """Noise (n, 100) uniform in [-1, 1] to ROIs (n, 1, 64, 64) in (-1, 1). 18,865,921 parameters at the paper's width.

    Dense to 4 × 4 × width, then four 5 × 5 transposed convolutions of stride 2 (width / 2, / 4, / 8, 1); batch norm and ReLU
    everywhere but at the output, which is tanh. Weights ~ N(0, 0.02), biases 0. Without a generator all weights are zero.
    conditions: numbers joined to the noise, for networks built on this one.
    """

    normal_noise = False
    noise_sides: tuple[int, ...] = ()

    def __init__(self, width: int = PAPER_WIDTH, generator: torch.Generator | None = None, conditions: int = 0) -> None:
        super().__init__()
        self.width = check_width(width)
        channels = [width, width // 2, width // 4, width // 8, 1]
        with torch.device("meta"):
            self.dense = nn.Linear(Z_SIZE + conditions, width * FIRST_SIDE**2)
            self.norms = nn.ModuleList(nn.BatchNorm2d(count) for count in channels[:-1])
            self.convs = nn.ModuleList(
                nn.ConvTranspose2d(before, after, 5, stride=2, padding=2, output_padding=1)
                for before, after in pairwise(channels)
            )
        allocate(self)
        draw_normal(self, generator)

    def forward(self, z: Tensor, labels: Tensor | None = None, noise: list[Tensor] | None = None) -> Tensor:
        """ROIs of noise z (n, 100 + conditions). labels and noise are other networks' and left out of account."""
        x = self.dense(z).view(-1, self.width, FIRST_SIDE, FIRST_SIDE)
        # The dense layer's view is not channels-last; convolutions are much faster there.
        x = x.contiguous(memory_format=torch.channels_last)
        for norm, conv in zip(self.norms, self.convs, strict=True):
            x = convolve(conv, functional.relu(norm(x)))
        return torch.tanh(x)


class DCGANDiscriminator(nn.Module):
    """ROIs (n, 1, 64, 64) in (-1, 1) to a logit (n,): real above 0.

    Four 5 × 5 convolutions of stride 2 (width / 16, / 8, / 4, / 2: 64 to 512 in the paper), leaky ReLU 0.2, batch norm but at the
    first and last layer, dense 1. The paper's sigmoid is in the loss. n_classes: width of a second output, for the ACGAN.
    """

    def __init__(self, width: int = PAPER_WIDTH, generator: torch.Generator | None = None, n_classes: int = 0) -> None:
        super().__init__()
        check_width(width)
        channels = [1, width // 16, width // 8, width // 4, width // 2]
        with torch.device("meta"):
            self.convs = nn.ModuleList(nn.Conv2d(before, after, 5, stride=2, padding=2) for before, after in pairwise(channels))
            self.norms = nn.ModuleList(nn.BatchNorm2d(count) for count in channels[2:])
            self.dense = nn.Linear(channels[-1] * (ROI_SIZE // 16) ** 2, 1 + n_classes)
        allocate(self)
        draw_normal(self, generator)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Logits of being real (n,), and of the classes (n, n_classes)."""
        x = images
        for position, conv in enumerate(self.convs):
            x = convolve(conv, x)
            if position:
                x = self.norms[position - 1](x)
            x = functional.leaky_relu(x, LEAK)
        out = self.dense(x.flatten(1))
        return out[:, 0], out[:, 1:]
