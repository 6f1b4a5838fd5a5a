"""Training the paper's classifier: one loop, readable from top to bottom, last weights, no early stopping.

Source: Frid-Adar et al. 2018, section III: SGD with Nesterov momentum, learning rate 1e-3, batch 64, 150 epochs, dropout 0.5, the
mean of the training images subtracted. The paper does not give the momentum; ours is 0.9.
"""

from __future__ import annotations

import math
import time
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from torch.nn.utils.memory_format import convert_conv2d_weight_memory_format

from lesionlabel.lesions.errors import InputError
from lesionlabel.networks.device import has_fast_bfloat16, pick_device
from lesionlabel.networks.paper_cnn import PaperCNN
from lesionlabel.training.guards import require_finite_weights
from lesionlabel.training.hooks import DivergedError, Progress, ShouldStop, StoppedError, never_stop, no_progress
from lesionlabel.training.images import require_images, require_labels

#: Steps between two looks at the loss, each of which makes a GPU wait.
LOOK_EVERY = 50


@dataclass(frozen=True)
class ClassifierConfig:
    """The settings of a training; the defaults are the paper's.

    epochs or steps, one of them: passes over the images, or optimiser steps. precision: of the arithmetic in the network; auto
    is bfloat16 where the device has it in hardware. Loss, weights and optimiser are float32 always.
    """

    epochs: int | None = 150
    steps: int | None = None
    batch: int = 64
    learning_rate: float = 1e-3
    momentum: float = 0.9
    dropout: float = 0.5
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    device: str = "auto"
    seed: int = 0

    def __post_init__(self) -> None:
        if (self.epochs is None) == (self.steps is None):
            raise InputError(f"Give epochs or steps, not both and not neither: epochs={self.epochs}, steps={self.steps}.")
        if (self.epochs or self.steps or 0) < 1 or self.batch < 1 or self.seed < 0:
            raise InputError(
                "epochs, steps and batch must be at least 1 and the seed at least 0: "
                f"{self.epochs}, {self.steps}, {self.batch}, {self.seed}."
            )
        if not self.learning_rate > 0 or not 0 <= self.momentum < 1 or not 0 <= self.dropout < 1:
            raise InputError(
                "The learning rate must be positive, momentum and dropout in [0, 1): "
                f"{self.learning_rate}, {self.momentum}, {self.dropout}."
            )

    def total_steps(self, n_images: int) -> int:
        return self.steps if self.steps is not None else (self.epochs or 0) * math.ceil(n_images / self.batch)


@dataclass(frozen=True)
class TrainedClassifier:
    """The network after the last step, on the CPU. losses: (step, mean loss since the entry before)."""

    network: PaperCNN
    config: ClassifierConfig
    n_images: int
    steps: int
    precision: str
    device: str
    seconds: float
    losses: tuple[tuple[int, float], ...]

    def record(self) -> dict[str, Any]:
        """How it was trained, as JSON."""
        stated = {name: value for name, value in asdict(self.config).items() if value is not None}
        return {**stated, "images": self.n_images, "steps": self.steps, "precision": self.precision, "device": self.device}


def train_classifier(
    images: Tensor,
    labels: Tensor,
    config: ClassifierConfig,
    *,
    n_classes: int | None = None,
    progress: Progress = no_progress,
    should_stop: ShouldStop = never_stop,
) -> TrainedClassifier:
    """Train the paper's network on ROIs (n, 1, 64, 64) float32 in [0, 1] with class indices (n,).

    n_classes: width of the output, the largest label + 1 if None. The same seed gives the same weights bit for bit on the same
    kind of CPU with the same number of threads. Raises InputError for unusable input, DivergedError, or StoppedError when
    should_stop says so.
    """
    require_images(images)
    n_classes = require_labels(labels, len(images), n_classes)
    started = time.monotonic()
    device = pick_device(config.device)
    half = config.precision == "bfloat16" or (config.precision == "auto" and has_fast_bfloat16(device))
    n_images, total = len(images), config.total_steps(len(images))

    # One generator each, so that no choice (as dropout off) shifts the draws of another.
    weights_seed, order_seed, dropout_seed = (int(s) for s in np.random.SeedSequence(config.seed).generate_state(3))
    network = PaperCNN(n_classes, torch.Generator().manual_seed(weights_seed))
    network.mean.copy_(images.double().mean())
    convert_conv2d_weight_memory_format(network.to(device), torch.channels_last)
    order_rng = torch.Generator().manual_seed(order_seed)
    dropout_rng = torch.Generator(device).manual_seed(dropout_seed)
    images, labels = images.to(device), labels.to(device, torch.int64)

    optimizer = torch.optim.SGD(
        network.parameters(), lr=config.learning_rate, momentum=config.momentum, nesterov=config.momentum > 0, fused=True
    )
    losses: list[tuple[int, float]] = []
    since_look, summed = 0, torch.zeros((), device=device)
    batches: list[Tensor] = []
    for step in range(1, total + 1):
        if should_stop():
            raise StoppedError(f"Training was stopped at step {step - 1} of {total}.")
        if not batches:
            batches = list(torch.randperm(n_images, generator=order_rng).to(device).split(config.batch))[::-1]
        chosen = batches.pop()
        with torch.autocast(device.type, torch.bfloat16, enabled=half):
            logits = network(images[chosen], config.dropout, dropout_rng)
        loss = functional.cross_entropy(logits.float(), labels[chosen])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        summed += loss.detach()
        since_look += 1
        if step % LOOK_EVERY == 0 or step == total:
            mean_loss = float(summed) / since_look
            if not math.isfinite(mean_loss):
                raise DivergedError(f"The loss is {mean_loss} at step {step}: lower the learning rate ({config.learning_rate}).")
            losses.append((step, mean_loss))
            progress(step / total, f"step {step} of {total}, loss {mean_loss:.3f}")
            since_look, summed = 0, torch.zeros((), device=device)

    convert_conv2d_weight_memory_format(network.cpu().eval(), torch.contiguous_format)
    require_finite_weights(network, total)
    precision = "bfloat16" if half else "float32"
    seconds = time.monotonic() - started
    return TrainedClassifier(network, config, n_images, total, precision, device.type, seconds, tuple(losses))
