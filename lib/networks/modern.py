"""The modern arm: a GAN for little data, one per class.

What the paper's DCGAN lacks, and where it comes from: a discriminator without batch norm, held back by a penalty on its
gradient (R1, Mescheder et al. 2018); noise given to every resolution (Karras et al. 2019), because much of a CT is noise that a
latent vector need not remember; the standard deviation over the batch shown to the discriminator (Karras et al. 2018) against
collapse; nearest up-sampling against checkerboards (Odena et al. 2016). The loop adds DiffAugment (Zhao et al. 2020), the
penalty and averaged weights (Yazıcı et al. 2019).
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from lesionlabel.lesions.roi import ROI_SIZE
from lesionlabel.networks.dcgan import FIRST_SIDE, LEAK, PAPER_WIDTH, Z_SIZE, check_width
from lesionlabel.networks.strided import upsample_and_convolve
from lesionlabel.networks.weights import allocate, draw_he, draw_normal


class ModernGenerator(nn.Module):
    """Noise z (n, 100) from N(0, 1) and noise pictures to ROIs (n, 1, 64, 64) in (-1, 1).

    Dense to 4 × 4 × width, then four times: nearest up-sampling, 3 × 3 convolution to half the channels, the noise picture
    times a learned strength per channel, batch norm, leaky ReLU; a last 3 × 3 convolution and tanh.
    """

    normal_noise = True
    noise_sides: tuple[int, ...] = (8, 16, 32, 64)

    def __init__(self, width: int = PAPER_WIDTH, generator: torch.Generator | None = None) -> None:
        super().__init__()
        self.width = check_width(width)
        channels = [width, width // 2, width // 4, width // 8, width // 16]
        with torch.device("meta"):
            self.dense = nn.Linear(Z_SIZE, width * FIRST_SIDE**2)
            self.first_norm = nn.BatchNorm2d(width)
            self.convs = nn.ModuleList(nn.Conv2d(before, after, 3, padding=1) for before, after in pairwise(channels))
            self.strengths = nn.ParameterList(torch.empty(1, count, 1, 1) for count in channels[1:])
            self.norms = nn.ModuleList(nn.BatchNorm2d(count) for count in channels[1:])
            self.last = nn.Conv2d(channels[-1], 1, 3, padding=1)
        allocate(self)
        draw_normal(self, generator)

    def forward(self, z: Tensor, labels: Tensor | None = None, noise: list[Tensor] | None = None) -> Tensor:
        """ROIs of noise z (n, 100) and noise: a picture (n, 1, side, side) from N(0, 1) for each of noise_sides."""
        if noise is None:
            raise TypeError("The modern generator needs noise pictures.")
        x = self.dense(z).view(-1, self.width, FIRST_SIDE, FIRST_SIDE).contiguous(memory_format=torch.channels_last)
        x = functional.leaky_relu(self.first_norm(x), LEAK)
        for conv, strength, norm, picture in zip(self.convs, self.strengths, self.norms, noise, strict=True):
            x = upsample_and_convolve(conv, x)
            x = functional.leaky_relu(norm(x + strength * picture), LEAK)
        return torch.tanh(self.last(x))


class ModernDiscriminator(nn.Module):
    """ROIs (n, 1, 64, 64) in (-1, 1) to a score (n,), higher for real ones.

    Four 4 × 4 convolutions of stride 2 (width / 16, / 8, / 4, / 2), leaky ReLU 0.2; the batch's standard deviation as one more
    channel; a last 3 × 3 convolution, dense 1.
    """

    def __init__(self, width: int = PAPER_WIDTH, generator: torch.Generator | None = None) -> None:
        super().__init__()
        check_width(width)
        channels = [1, width // 16, width // 8, width // 4, width // 2]
        with torch.device("meta"):
            self.convs = nn.ModuleList(nn.Conv2d(before, after, 4, stride=2, padding=1) for before, after in pairwise(channels))
            self.mixed = nn.Conv2d(channels[-1] + 1, channels[-1], 3, padding=1)
            self.dense = nn.Linear(channels[-1] * (ROI_SIZE // 16) ** 2, 1)
        allocate(self)
        # N(0, 0.02) relies on batch norm: without it the score would start, and stay for long, near 0.
        draw_he(self, generator, LEAK)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Scores (n,), and no class logits (n, 0)."""
        x = images
        for conv in self.convs:
            x = functional.leaky_relu(conv(x), LEAK)
        spread = torch.sqrt(x.float().var(dim=0, unbiased=False) + 1e-8).mean().to(x.dtype)
        x = torch.cat([x, spread.expand(len(x), 1, *x.shape[2:])], dim=1)
        x = functional.leaky_relu(self.mixed(x), LEAK)
        out = self.dense(x.flatten(1))
        return out[:, 0], out[:, 1:]
