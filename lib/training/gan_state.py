"""Everything that a GAN's training carries from one step to the next, and how it is kept in a checkpoint."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.memory_format import convert_conv2d_weight_memory_format

from lesionlabel.lesions.errors import IntegrityError
from lesionlabel.networks.gans import Generator, build_discriminator, build_generator
from lesionlabel.training.checkpoint import load_checkpoint_of, pack, pack_optimizer, save_checkpoint, unpack, unpack_optimizer
from lesionlabel.training.gan_config import GanConfig

#: Named random streams; one each, so that no choice shifts the draws of another.
STREAMS = ("order", "inputs", "augment", "look")


@dataclass(eq=False)
class GanState:
    """averaged: the generator whose weights are averaged over steps, the generator itself where there is none.

    summed: losses since the last look, [discriminator, generator]. queue: indices of images not yet used. losses: (step, mean
    discriminator loss, mean generator loss). diversity: (step, share of the real pictures' diversity).
    """

    generator: Generator
    discriminator: nn.Module
    averaged: Generator
    generator_adam: torch.optim.Adam
    discriminator_adam: torch.optim.Adam
    streams: dict[str, torch.Generator]
    summed: Tensor
    step: int = 0
    queue: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.int64))
    losses: list[tuple[int, float, float]] = field(default_factory=list)
    diversity: list[tuple[int, float]] = field(default_factory=list)

    @classmethod
    def start(cls, config: GanConfig, n_classes: int, device: torch.device) -> GanState:
        """The state before the first step."""
        seeds = [int(s) for s in np.random.SeedSequence(config.seed).generate_state(2 + len(STREAMS))]
        generator = build_generator(config.arm, config.width, n_classes, torch.Generator().manual_seed(seeds[0]))
        discriminator = build_discriminator(config.arm, config.width, n_classes, torch.Generator().manual_seed(seeds[1]))
        generator = convert_conv2d_weight_memory_format(generator.to(device), torch.channels_last)
        discriminator = convert_conv2d_weight_memory_format(discriminator.to(device), torch.channels_last)
        averaged = deepcopy(generator).requires_grad_(False) if config.arm == "modern" else generator
        # The order is drawn on the CPU and small; the rest where it is used.
        devices = {"order": torch.device("cpu")}
        streams = {
            name: torch.Generator(devices.get(name, device)).manual_seed(seed)
            for name, seed in zip(STREAMS, seeds[2:], strict=True)
        }
        betas = (config.beta1, config.beta2)
        return cls(
            generator,
            discriminator,
            averaged,
            torch.optim.Adam(generator.parameters(), config.rate, betas, fused=True),
            torch.optim.Adam(discriminator.parameters(), config.rate, betas, fused=True),
            streams,
            torch.zeros(2, device=device),
        )

    def next_batch(self, n_images: int, size: int) -> Tensor:
        """The indices of the next batch: every image once before any comes again, all batches of the same size."""
        while len(self.queue) < size:
            self.queue = torch.cat([self.queue, torch.randperm(n_images, generator=self.streams["order"])])
        chosen, self.queue = self.queue[:size], self.queue[size:]
        return chosen

    @torch.no_grad()
    def average(self, keep: float) -> None:
        """Move the averaged weights towards the generator's; what batch norm has counted is taken over."""
        for mean, now in zip(self.averaged.parameters(), self.generator.parameters(), strict=True):
            mean.lerp_(now, 1 - keep)
        for mean, now in zip(self.averaged.buffers(), self.generator.buffers(), strict=True):
            mean.copy_(now)

    def save(self, path: Path, task: dict[str, Any]) -> None:
        """Keep the state. task: what is trained on what, which a later run must share to go on."""
        tensors = {
            **pack("generator", self.generator),
            **pack("discriminator", self.discriminator),
            **({} if self.averaged is self.generator else pack("averaged", self.averaged)),
            **pack_optimizer("generator_adam", self.generator_adam),
            **pack_optimizer("discriminator_adam", self.discriminator_adam),
            **{f"stream.{name}": stream.get_state() for name, stream in self.streams.items()},
            "summed": self.summed,
            "queue": self.queue,
        }
        save_checkpoint(path, tensors, {"task": task, "step": self.step, "losses": self.losses, "diversity": self.diversity})

    def load(self, path: Path, task: dict[str, Any]) -> bool:
        """Take over what save kept, if there is such a file. Raises InputError when it is of another task, IntegrityError."""
        kept = load_checkpoint_of(path, task)
        if kept is None:
            return False
        try:
            self._take(*kept)
        except (KeyError, ValueError, TypeError, IndexError, RuntimeError) as error:
            raise IntegrityError(f"The checkpoint {path} is damaged ({error}). Delete it to train from the start.") from error
        return True

    def _take(self, tensors: dict[str, Tensor], record: dict[str, Any]) -> None:
        unpack("generator", self.generator, tensors)
        unpack("discriminator", self.discriminator, tensors)
        if self.averaged is not self.generator:
            unpack("averaged", self.averaged, tensors)
        unpack_optimizer("generator_adam", self.generator_adam, tensors)
        unpack_optimizer("discriminator_adam", self.discriminator_adam, tensors)
        for name, stream in self.streams.items():
            stream.set_state(tensors[f"stream.{name}"])
        self.summed.copy_(tensors["summed"])
        self.queue, self.step = tensors["queue"], int(record["step"])
        self.losses = [(int(step), float(d), float(g)) for step, d, g in record["losses"]]
        self.diversity = [(int(step), float(share)) for step, share in record["diversity"]]
