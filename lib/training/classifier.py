"""Training the paper's classifier: one loop, readable from top to bottom, last weights, no early stopping.

Source: Frid-Adar et al. 2018, section III: SGD with Nesterov momentum, learning rate 1e-3, batch 64, 150 epochs, dropout 0.5, the
mean of the training images subtracted. The paper does not give the momentum; ours is 0.9.
"""

from __future__ import annotations

import math
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from torch.nn.utils.memory_format import convert_conv2d_weight_memory_format

from lesionlabel.lesions.errors import InputError
from lesionlabel.networks.device import has_fast_bfloat16, pick_device
from lesionlabel.networks.paper_cnn import PaperCNN
from lesionlabel.training.checkpoint import KEEP_EVERY_S
from lesionlabel.training.classifier_state import ClassifierState
from lesionlabel.training.guards import require_finite_weights
from lesionlabel.training.hooks import DivergedError, Progress, ShouldStop, StoppedError, never_stop, no_progress
from lesionlabel.training.images import images_digest, require_images, require_labels

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
    checkpoint: Path | None = None,
    progress: Progress = no_progress,
    should_stop: ShouldStop = never_stop,
) -> TrainedClassifier:
    """Train the paper's network on ROIs (n, 1, 64, 64) float32 in [0, 1] with class indices (n,).

    n_classes: width of the output, the largest label + 1 if None. The same seed gives the same weights bit for bit on the same
    kind of CPU with the same number of threads. checkpoint: a file to go on from, and to keep the state in every minute and when
    stopped; whoever has no more need of it removes it. A run that was stopped and goes on gives the same weights as one that was
    not. Raises InputError for unusable input, DivergedError, StoppedError when should_stop says so, IntegrityError for a damaged
    checkpoint.
    """
    require_images(images)
    n_classes = require_labels(labels, len(images), n_classes)
    started = kept = time.monotonic()
    device = pick_device(config.device)
    half = config.precision == "bfloat16" or (config.precision == "auto" and has_fast_bfloat16(device))
    n_images, total = len(images), config.total_steps(len(images))

    # One generator each, so that no choice (as dropout off) shifts the draws of another.
    weights_seed, order_seed, dropout_seed = (int(s) for s in np.random.SeedSequence(config.seed).generate_state(3))
    network = PaperCNN(n_classes, torch.Generator().manual_seed(weights_seed))
    network.mean.copy_(images.double().mean())
    state = ClassifierState.start(network, (order_seed, dropout_seed), config.learning_rate, config.momentum, device)
    precision = "bfloat16" if half else "float32"
    task: dict[str, Any] = {}
    if checkpoint is not None:
        task = {"config": {**asdict(config), "device": None}, "images": images_digest(images, labels), "classes": n_classes}
        task |= {"device": device.type, "precision": precision}
        state.load(checkpoint, task)
    images, labels = images.to(device), labels.to(device, torch.int64)

    while state.step < total:
        if should_stop():
            if checkpoint is not None:
                state.save(checkpoint, task)
            raise StoppedError(f"Training was stopped at step {state.step} of {total}.")
        state.step += 1
        chosen = state.next_batch(n_images, config.batch).to(device)
        with torch.autocast(device.type, torch.bfloat16, enabled=half):
            logits = network(images[chosen], config.dropout, state.dropout)
        loss = functional.cross_entropy(logits.float(), labels[chosen])
        state.sgd.zero_grad()
        loss.backward()
        state.sgd.step()
        state.summed += loss.detach()
        if state.step % LOOK_EVERY == 0 or state.step == total:
            _look(state, config, total, progress)
        if checkpoint is not None and time.monotonic() - kept > KEEP_EVERY_S:
            state.save(checkpoint, task)
            kept = time.monotonic()

    convert_conv2d_weight_memory_format(network.cpu().eval(), torch.contiguous_format)
    require_finite_weights(network, total)
    seconds = time.monotonic() - started
    return TrainedClassifier(network, config, n_images, total, precision, device.type, seconds, tuple(state.losses))


def _look(state: ClassifierState, config: ClassifierConfig, total: int, progress: Progress) -> None:
    """Note the mean loss since the last look and tell it. Raises DivergedError."""
    since = state.step - (state.losses[-1][0] if state.losses else 0)
    mean_loss = float(state.summed) / since
    if not math.isfinite(mean_loss):
        raise DivergedError(f"The loss is {mean_loss} at step {state.step}: lower the learning rate ({config.learning_rate}).")
    state.losses.append((state.step, mean_loss))
    state.summed.zero_()
    progress(state.step / total, f"step {state.step} of {total}, loss {mean_loss:.3f}")
