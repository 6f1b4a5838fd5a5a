"""The generators and discriminators by the name of their arm."""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import nn

from lesionlabel.lesions.errors import InputError
from lesionlabel.networks.acgan import ACGANDiscriminator, ACGANGenerator
from lesionlabel.networks.dcgan import DCGANDiscriminator, DCGANGenerator
from lesionlabel.networks.modern import ModernDiscriminator, ModernGenerator

Arm = Literal["dcgan", "acgan", "modern"]
ARMS: tuple[Arm, ...] = get_args(Arm)
Generator = DCGANGenerator | ACGANGenerator | ModernGenerator


def require_arm(name: str) -> Arm:
    """The arm of that name. Raises InputError for another."""
    for arm in ARMS:
        if arm == name:
            return arm
    raise InputError(f"Unknown generator network {name!r}. Allowed: {', '.join(ARMS)}.")


def build_generator(arm: Arm, width: int, n_classes: int, rng: torch.Generator | None = None) -> Generator:
    """A generator with weights drawn from rng, zero without one. n_classes: used by the ACGAN only."""
    if arm == "acgan":
        return ACGANGenerator(n_classes, width, rng)
    return DCGANGenerator(width, rng) if arm == "dcgan" else ModernGenerator(width, rng)


def build_discriminator(arm: Arm, width: int, n_classes: int, rng: torch.Generator | None = None) -> nn.Module:
    """The discriminator that goes with build_generator's network. It returns (logits of being real, logits of the classes)."""
    if arm == "acgan":
        return ACGANDiscriminator(n_classes, width, rng)
    return DCGANDiscriminator(width, rng) if arm == "dcgan" else ModernDiscriminator(width, rng)
