"""What a generator is given: drawn here, applied by the network."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from lesionlabel.networks.dcgan import Z_SIZE
from lesionlabel.networks.gans import Generator


class Inputs(NamedTuple):
    """z: (n, 100). labels: (n,) class indices, None for a network of one class. noise: pictures from N(0, 1), by resolution."""

    z: Tensor
    labels: Tensor | None
    noise: list[Tensor]


def draw_inputs(
    network: Generator, n: int, rng: torch.Generator, labels: Tensor | None = None, truncation: float = 1.0
) -> Inputs:
    """Inputs of n pictures, on rng's device.

    truncation: z is multiplied by it; below 1 the pictures are more typical and more alike.
    """
    device = rng.device
    if network.normal_noise:
        z = torch.randn(n, Z_SIZE, generator=rng, device=device)
    else:
        z = torch.rand(n, Z_SIZE, generator=rng, device=device) * 2 - 1
    noise = [torch.randn(n, 1, side, side, generator=rng, device=device) for side in network.noise_sides]
    return Inputs(z * truncation, labels, noise)
