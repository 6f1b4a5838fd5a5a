"""Training a GAN: one loop for the paper's DCGAN and ACGAN and for the modern arm, readable from top to bottom.

Source: Frid-Adar et al. 2018, section III-B: Adam, batch 64, images in (-1, 1). The paper gives neither the form of the
generator's loss (ours is the non-saturating one of Goodfellow et al. 2014) nor the choice of weights (ours are the last, as
nothing validates).
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.memory_format import convert_conv2d_weight_memory_format

from lesionlabel.lesions.errors import InputError
from lesionlabel.networks.device import has_fast_bfloat16, pick_device
from lesionlabel.networks.diff_augment import apply_augmentation, draw_augmentation
from lesionlabel.networks.gans import Generator
from lesionlabel.networks.noise import Inputs, draw_inputs
from lesionlabel.training.checkpoint import KEEP_EVERY_S
from lesionlabel.training.gan_config import GanConfig
from lesionlabel.training.gan_losses import discriminator_loss, generator_loss, gradient_penalty
from lesionlabel.training.gan_state import GanState
from lesionlabel.training.guards import LOOK_AT, CollapseGuard, require_finite, require_finite_weights
from lesionlabel.training.hooks import Progress, ShouldStop, StoppedError, never_stop, no_progress
from lesionlabel.training.images import images_digest, require_images, require_labels

#: Steps between two looks at losses and diversity, each of which makes a GPU wait.
LOOK_EVERY = 50
#: Steps between two gradient penalties, each of which counts for all of them.
PENALTY_EVERY = 16


@dataclass(frozen=True, eq=False)
class TrainedGan:
    """The generator after the last step, on the CPU, ready to sample, and the discriminator beside it.

    losses: (step, mean discriminator loss, mean generator loss) since the entry before. diversity: (step, share of the real
    pictures' diversity).
    """

    generator: Generator
    discriminator: nn.Module
    config: GanConfig
    n_images: int
    n_classes: int
    steps: int
    precision: str
    device: str
    seconds: float
    losses: tuple[tuple[int, float, float], ...]
    diversity: tuple[tuple[int, float], ...]

    def record(self) -> dict[str, Any]:
        """How it was trained, as JSON."""
        done = {"images": self.n_images, "steps": self.steps, "precision": self.precision, "device": self.device}
        return {**self.config.to_json(), **done, "diversity": self.diversity[-1][1]}


def train_gan(
    images: Tensor,
    labels: Tensor | None,
    config: GanConfig,
    *,
    n_classes: int | None = None,
    checkpoint: Path | None = None,
    progress: Progress = no_progress,
    should_stop: ShouldStop = never_stop,
) -> TrainedGan:
    """Train config.arm on ROIs (n, 1, 64, 64) float32 in [0, 1]; labels (n,) are class indices, which the ACGAN alone looks at.

    checkpoint: a file to go on from, and to keep the state in every minute, when stopped and at the end; whoever has no more need
    of it removes it. A run that was stopped and goes on gives the same weights as one that was not. Raises InputError for
    unusable input, DivergedError, CollapsedError, StoppedError, IntegrityError for a damaged checkpoint.
    """
    require_images(images)
    if config.arm != "acgan":
        labels = None
    elif labels is None:
        raise InputError("The ACGAN learns from images of all classes and needs labels, a class index for each image; got none.")
    n_classes = require_labels(labels, len(images), n_classes) if labels is not None else 1
    started = kept = time.monotonic()
    device = pick_device(config.device)
    half = config.precision == "bfloat16" or (config.precision == "auto" and has_fast_bfloat16(device))
    total = config.total_steps(len(images))
    state = GanState.start(config, n_classes, device)
    task = {
        "config": {**config.to_json(), "device": None},
        "images": images_digest(images, labels),
        "steps": total,
        "classes": n_classes,
        "device": device.type,
        "precision": "bfloat16" if half else "float32",
    }
    if checkpoint is not None:
        state.load(checkpoint, task)
    images = (images * 2 - 1).to(device).contiguous(memory_format=torch.channels_last)
    labels = None if labels is None else labels.to(device, torch.int64)
    guard = CollapseGuard(images.cpu(), config.least_diversity, total, state.diversity)
    generator, discriminator = state.generator.train(), state.discriminator.train()

    while state.step < total:
        if should_stop():
            if checkpoint is not None:
                state.save(checkpoint, task)
            raise StoppedError(f"Training was stopped at step {state.step} of {total}.")
        state.step += 1
        chosen = state.next_batch(len(images), config.batch).to(device)
        real, real_labels = images[chosen], None if labels is None else labels[chosen]
        inputs = _inputs(state, config, n_classes if labels is not None else 0, "inputs", config.batch)

        # The discriminator learns from real pictures and from made ones, which the generator's step uses again.
        with torch.autocast(device.type, torch.bfloat16, enabled=half):
            made = generator(*inputs)
            judged_real = discriminator(_seen(real, state, config))
            judged_made = discriminator(_seen(made.detach(), state, config))
        d_loss = discriminator_loss(config.arm, judged_real, judged_made, real_labels, inputs.labels)
        if config.arm == "modern" and state.step % PENALTY_EVERY == 0:
            shown = _seen(real, state, config).detach().requires_grad_()
            d_loss = d_loss + gradient_penalty(shown, discriminator(shown)[0], config.penalty * PENALTY_EVERY)
        state.discriminator_adam.zero_grad()
        d_loss.backward()
        state.discriminator_adam.step()

        # The generator learns from what the discriminator thinks now; the discriminator's own gradients would be thrown away.
        discriminator.requires_grad_(False)
        with torch.autocast(device.type, torch.bfloat16, enabled=half):
            judged_made = discriminator(_seen(made, state, config))
        g_loss = generator_loss(config.arm, judged_made, inputs.labels)
        state.generator_adam.zero_grad()
        g_loss.backward()
        state.generator_adam.step()
        discriminator.requires_grad_(True)
        if state.averaged is not generator:
            state.average(config.ema)
        state.summed += torch.stack([d_loss.detach(), g_loss.detach()])

        if state.step % LOOK_EVERY == 0 or state.step == total:
            _look(state, config, guard, n_classes if labels is not None else 0)
            step, d_mean, g_mean = state.losses[-1]
            share = guard.history[-1][1]
            progress(step / total, f"step {step} of {total}, losses {d_mean:.2f} and {g_mean:.2f}, diversity {share:.0%}")
        if checkpoint is not None and (state.step == total or time.monotonic() - kept > KEEP_EVERY_S):
            state.save(checkpoint, task)
            kept = time.monotonic()

    trained = convert_conv2d_weight_memory_format(state.averaged.cpu().eval().requires_grad_(False), torch.contiguous_format)
    require_finite_weights(trained, total)
    return TrainedGan(
        trained,
        discriminator.cpu().eval().requires_grad_(False),
        config,
        len(images),
        n_classes,
        total,
        task["precision"],
        device.type,
        time.monotonic() - started,
        tuple(state.losses),
        tuple(guard.history),
    )


def _inputs(state: GanState, config: GanConfig, n_classes: int, stream: str, n: int) -> Inputs:
    """Inputs of n pictures, of classes in equal chance where there are classes."""
    rng = state.streams[stream]
    labels = torch.randint(n_classes, (n,), generator=rng, device=rng.device) if n_classes else None
    return draw_inputs(state.generator, n, rng, labels)


def _seen(images: Tensor, state: GanState, config: GanConfig) -> Tensor:
    """The pictures as the discriminator is shown them: augmented in the modern arm only."""
    if config.arm != "modern":
        return images
    return apply_augmentation(images, draw_augmentation(len(images), images.shape[-1], state.streams["augment"]))


def _look(state: GanState, config: GanConfig, guard: CollapseGuard, n_classes: int) -> None:
    """Note mean losses and diversity since the last look. Raises DivergedError, CollapsedError."""
    since = state.step - (state.losses[-1][0] if state.losses else 0)
    d_mean, g_mean = (state.summed / since).tolist()
    require_finite(state.step, {"discriminator": d_mean, "generator": g_mean})
    state.losses.append((state.step, d_mean, g_mean))
    state.summed.zero_()
    sampler = state.averaged.eval()
    with torch.inference_mode():
        made = sampler(*_inputs(state, config, n_classes, "look", LOOK_AT))
    state.generator.train()
    guard.look(state.step, made.float().cpu())
