"""Weights before training: drawn from a passed generator only, or zero."""

from __future__ import annotations

import torch
from torch import nn


def allocate(module: nn.Module) -> None:
    """Give a module that was made on the meta device its memory on the CPU: zero weights, neutral batch norm."""
    module.to_empty(device="cpu")
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.reset_running_stats()
    for name, parameter in module.named_parameters():
        owner = module.get_submodule(name.rpartition(".")[0])
        nn.init.constant_(parameter, 1.0 if isinstance(owner, nn.BatchNorm2d) and name.endswith("weight") else 0.0)


def draw_normal(module: nn.Module, generator: torch.Generator | None, sd: float = 0.02) -> None:
    """Draw every convolution's, dense layer's and embedding's weights from N(0, sd); biases stay as they are."""
    if generator is None:
        return
    for part in module.modules():
        if isinstance(part, nn.Conv2d | nn.ConvTranspose2d | nn.Linear | nn.Embedding):
            nn.init.normal_(part.weight, 0.0, sd, generator=generator)


def draw_he(module: nn.Module, generator: torch.Generator | None, leak: float) -> None:
    """Draw every convolution's and dense layer's weights as He et al. 2015 for leaky ReLU; biases stay as they are."""
    if generator is None:
        return
    for part in module.modules():
        if isinstance(part, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(part.weight, leak, generator=generator)
