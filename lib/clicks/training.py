"""Training the click segmenter's network: one loop over samples, with clicks drawn anew each time a sample is seen."""

from __future__ import annotations

import math
import time
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional
from torch.nn.utils.memory_format import convert_conv2d_weight_memory_format

from lesionlabel.clicks.samples import ACROSS, Samples
from lesionlabel.lesions.errors import InputError
from lesionlabel.networks.click_unet import ClickUNet, assemble
from lesionlabel.networks.device import has_fast_bfloat16, pick_device
from lesionlabel.training.guards import require_finite_weights
from lesionlabel.training.hooks import DivergedError, Progress, ShouldStop, StoppedError, never_stop, no_progress

#: Most clicks on each side that a training sample has.
MOST_CLICKS = 6
#: How often a sample has further clicks at random places, and most of them on each side.
FURTHER_SHARE, MOST_FURTHER = 0.25, 2
#: How often a batch has clicks where the network was wrong, and most of them, one after another as a reader sets them.
CORRECTED_SHARE, MOST_CORRECTIONS = 0.5, 3
#: Weight of the loss for what lies under the click.
KIND_WEIGHT = 0.25
LOOK_EVERY = 50


@dataclass(frozen=True)
class ClickConfig:
    """Adam with one cosine decay to zero after a short warm-up."""

    epochs: int = 4
    batch: int = 24
    learning_rate: float = 2e-3
    weight_decay: float = 1e-4
    width: int = 32
    device: str = "auto"
    seed: int = 0

    def __post_init__(self) -> None:
        if self.epochs < 1 or self.batch < 2 or self.width < 3 or self.seed < 0 or not self.learning_rate > 0:
            raise InputError(f"These settings cannot train: {asdict(self)}.")


@dataclass(frozen=True)
class TrainedClickUNet:
    """The network after the last step, on the CPU. losses: (step, mean loss since the entry before).

    bfloat16: convolutions were done in that precision, as where the processor does so in hardware; the weights stay float32.
    """

    network: ClickUNet
    config: ClickConfig
    samples: int
    steps: int
    bfloat16: bool
    seconds: float
    losses: tuple[tuple[int, float], ...]

    def record(self) -> dict[str, Any]:
        """How it was trained, as JSON."""
        return {**asdict(self.config), "samples": self.samples, "steps": self.steps, "bfloat16": self.bfloat16}


def train_click_unet(
    samples: Samples,
    config: ClickConfig,
    *,
    progress: Progress = no_progress,
    should_stop: ShouldStop = never_stop,
) -> TrainedClickUNet:
    """Train on samples. Raises DivergedError, StoppedError.

    The same seed gives the same weights on the same kind of CPU with the same number of threads.
    """
    if len(samples) < config.batch:
        raise InputError(f"{len(samples)} samples are fewer than a batch of {config.batch}.")
    started = time.monotonic()
    device = pick_device(config.device)
    weights_seed, order_seed = (int(s) for s in np.random.SeedSequence(config.seed).generate_state(2))
    network = ClickUNet(config.width, torch.Generator().manual_seed(weights_seed)).to(device)
    network = convert_conv2d_weight_memory_format(network, torch.channels_last)
    bfloat16 = has_fast_bfloat16(device)
    rng = np.random.default_rng(order_seed)
    optimizer = torch.optim.AdamW(network.parameters(), config.learning_rate, weight_decay=config.weight_decay)
    per_epoch = len(samples) // config.batch
    total, warm = config.epochs * per_epoch, min(200, config.epochs * per_epoch // 10 + 1)

    def rate(step: int) -> float:
        return (step + 1) / warm if step < warm else 0.5 * (1 + math.cos(math.pi * (step - warm) / max(total - warm, 1)))

    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, rate)
    losses, since, step = [], [], 0
    for _ in range(config.epochs):
        order = rng.permutation(len(samples))
        for batch in range(per_epoch):
            if should_stop():
                raise StoppedError("The training of the click segmenter was stopped; nothing of it is kept.")
            drawn = _draw_batch(samples, order[batch * config.batch :][: config.batch], rng, device)
            # Without the cache: it would keep copies from the looks without gradients, and the weights would not learn.
            with torch.autocast(device.type, torch.bfloat16, enabled=bfloat16, cache_enabled=False):
                loss = _step(network, drawn, rng)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), 5.0)
            optimizer.step()
            scheduler.step()
            step += 1
            since.append(loss.detach())
            if step % LOOK_EVERY == 0 or step == total:
                mean = float(torch.stack(since).mean())
                if not math.isfinite(mean):
                    raise DivergedError("The click segmenter's loss is no longer a finite number.")
                losses.append((step, mean))
                since = []
                progress(step / total, f"step {step} of {total}, loss {mean:.3f}")
    network = network.to("cpu").eval()
    require_finite_weights(network, step)
    return TrainedClickUNet(network, config, len(samples), step, bfloat16, time.monotonic() - started, tuple(losses))


@dataclass(frozen=True, eq=False)
class _Batch:
    """inside, outside: (n, MOST_CLICKS, 2); the first inside click is the one before all corrections.

    target: share of each pixel in the lesion.
    """

    planes: Tensor
    target: Tensor
    kinds: Tensor
    inside: Tensor
    inside_there: Tensor
    outside: Tensor
    outside_there: Tensor
    pixels_mm: Tensor

    def windows(self) -> Tensor:
        clicks = (self.inside, self.inside_there, self.outside, self.outside_there)
        return assemble(self.planes, *clicks, self.pixels_mm).contiguous(memory_format=torch.channels_last)


def _draw_batch(samples: Samples, chosen: np.ndarray, rng: np.random.Generator, device: torch.device) -> _Batch:
    chosen = np.sort(chosen)
    planes = samples.planes[chosen].astype(np.float32)
    masks, clicks = samples.masks[chosen], samples.clicks[chosen]
    # One of the eight ways to lay a square, the same for image, mask and click.
    side = planes.shape[-1]
    mirrored, turns = rng.random() < 0.5, int(rng.integers(4))
    if mirrored:
        planes, masks = planes[..., ::-1], masks[..., ::-1]
        clicks = np.stack([side - 1 - clicks[:, 0], clicks[:, 1]], axis=1)
    for _ in range(turns):
        planes, masks = np.rot90(planes, axes=(-2, -1)), np.rot90(masks, axes=(-2, -1))
        clicks = np.stack([clicks[:, 1], side - 1 - clicks[:, 0]], axis=1)
    n = len(chosen)
    gain, shift = rng.uniform(0.9, 1.1, (n, 1, 1, 1)), rng.normal(0, 0.15, (n, 1, 1, 1))
    planes = planes * gain.astype(np.float32) + shift.astype(np.float32)
    above_below = rng.random(n) < 0.5
    planes[above_below] = planes[above_below][:, [0, 1, 3, 2]]
    inside, outside = (np.zeros((n, MOST_CLICKS, 2), np.float32) for _ in range(2))
    inside_there, outside_there = (np.zeros((n, MOST_CLICKS), np.float32) for _ in range(2))
    inside[:, 0], inside_there[:, 0] = clicks, 1
    lesion = masks >= ACROSS * ACROSS / 2
    for i in np.flatnonzero((rng.random(n) < FURTHER_SHARE) & (samples.kinds[chosen] == 0)):
        for places, there, mask, first in ((inside, inside_there, lesion[i], 1), (outside, outside_there, ~lesion[i], 0)):
            points = np.argwhere(mask)
            for place in range(first, first + int(rng.integers(0, MOST_FURTHER + 1))):
                if len(points):
                    places[i, place], there[i, place] = points[int(rng.integers(len(points)))][::-1], 1

    def tensor(array: np.ndarray) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(device)

    target = masks.astype(np.float32) / ACROSS**2
    return _Batch(
        tensor(planes.astype(np.float32)), tensor(target), tensor(samples.kinds[chosen]),
        tensor(inside), tensor(inside_there), tensor(outside), tensor(outside_there), tensor(samples.pixels_mm[chosen]),
    )  # fmt: skip


def _step(network: ClickUNet, batch: _Batch, rng: np.random.Generator) -> Tensor:
    """The loss of a batch; at times of one in which each sample got clicks where the network was most wrong."""
    if rng.random() < CORRECTED_SHARE:
        network.eval()
        for _ in range(int(rng.integers(1, MOST_CORRECTIONS + 1))):
            with torch.no_grad():
                found = network(batch.windows())[0] > 0
            _correct(batch, found)
        network.train()
    logits, kinds = (answer.float() for answer in network(batch.windows()))
    # The outline is learned from lesions alone: it says where a lesion ends if there is one, whatever the other answer is.
    lesion = (batch.kinds == 0).float()
    entropy = functional.binary_cross_entropy_with_logits(logits, batch.target, reduction="none").mean((1, 2))
    found = torch.sigmoid(logits)
    overlap = (found * batch.target).sum((1, 2))
    dice = 1 - (2 * overlap + 4) / (found.sum((1, 2)) + batch.target.sum((1, 2)) + 4)
    outline = (lesion * (entropy + dice)).sum() / lesion.sum().clamp(min=1)
    return outline + KIND_WEIGHT * functional.cross_entropy(kinds, batch.kinds)


def _correct(batch: _Batch, found: Tensor) -> None:
    """Add the click that a reader would: in the middle of the largest error of each lesion's sample, where there is one."""
    wrong = (found != (batch.target >= 0.5)) & (batch.kinds == 0)[:, None, None]
    depth = functional.avg_pool2d(wrong.float()[:, None], 7, 1, 3)[:, 0]
    best = depth.flatten(1).max(1)
    side = depth.shape[-1]
    for i in torch.nonzero(best.values > 0.4)[:, 0].tolist():
        y, x = divmod(int(best.indices[i]), side)
        missed = bool(batch.target[i, y, x] >= 0.5)
        places, there = (batch.inside, batch.inside_there) if missed else (batch.outside, batch.outside_there)
        free = int(there[i].sum())
        places[i, free] = torch.tensor([x, y], dtype=places.dtype, device=places.device)
        there[i, free] = 1
