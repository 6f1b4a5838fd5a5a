"""One training step of a GAN: ours against the plain float32 loop, at equal settings, and the rate of sampling.

    python benchmarks/gan_step.py [--arm dcgan] [--width 1024] [--rounds 3] [--steps 3] [--device auto]

The plain loop is that of the DCGAN example of PyTorch: float32, default memory layout, two backward passes for the discriminator,
whose gradients the generator's step computes again for nothing, an Adam that is not fused, losses read at every step. The two
take turns step by step, so that other load meets both alike. Left out of ours: a look at losses and diversity every 50 steps.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from lesionlabel.networks.acgan import ACGANDiscriminator, ACGANGenerator
from lesionlabel.networks.dcgan import FIRST_SIDE, LEAK, PAPER_WIDTH, DCGANDiscriminator, DCGANGenerator
from lesionlabel.networks.device import has_fast_bfloat16, pick_device
from lesionlabel.networks.diff_augment import apply_augmentation, draw_augmentation
from lesionlabel.networks.gans import ARMS, Arm, build_generator
from lesionlabel.networks.modern import ModernDiscriminator, ModernGenerator
from lesionlabel.networks.noise import draw_inputs
from lesionlabel.registry.generator import CHUNK, LesionGenerator
from lesionlabel.registry.generator_manifest import GeneratorManifest
from lesionlabel.training.gan import PENALTY_EVERY, train_gan
from lesionlabel.training.gan_config import GanConfig
from lesionlabel.training.gan_losses import gradient_penalty

N_CLASSES = 3


class PlainGenerator(DCGANGenerator):
    """The same network as a tutorial runs it."""

    def forward(self, z: Tensor, labels: Tensor | None = None, noise: list[Tensor] | None = None) -> Tensor:
        x = self.dense(z).view(-1, self.width, FIRST_SIDE, FIRST_SIDE)
        for norm, conv in zip(self.norms, self.convs, strict=True):
            x = conv(functional.relu(norm(x)))
        return torch.tanh(x)


class PlainClassGenerator(ACGANGenerator, PlainGenerator):
    """The ACGAN's, whose embedding goes to the plain network."""


class PlainDiscriminator(DCGANDiscriminator):
    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        x = functional.leaky_relu(self.convs[0](images), LEAK)
        for norm, conv in zip(self.norms, self.convs[1:], strict=True):
            x = functional.leaky_relu(norm(conv(x)), LEAK)
        out = self.dense(x.flatten(1))
        return out[:, 0], out[:, 1:]


class PlainClassDiscriminator(ACGANDiscriminator, PlainDiscriminator):
    pass


class PlainModernGenerator(ModernGenerator):
    def forward(self, z: Tensor, labels: Tensor | None = None, noise: list[Tensor] | None = None) -> Tensor:
        assert noise is not None
        x = self.dense(z).view(-1, self.width, FIRST_SIDE, FIRST_SIDE)
        x = functional.leaky_relu(self.first_norm(x), LEAK)
        for conv, strength, norm, picture in zip(self.convs, self.strengths, self.norms, noise, strict=True):
            x = conv(functional.interpolate(x, scale_factor=2.0, mode="nearest"))
            x = functional.leaky_relu(norm(x + strength * picture), LEAK)
        return torch.tanh(self.last(x))


class PlainModernDiscriminator(ModernDiscriminator):
    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        x = images
        for conv in self.convs:
            x = functional.leaky_relu(conv(x), LEAK)
        spread = torch.sqrt(x.var(dim=0, unbiased=False) + 1e-8).mean()
        x = torch.cat([x, spread.expand(len(x), 1, *x.shape[2:])], dim=1)
        x = functional.leaky_relu(self.mixed(x), LEAK)
        return self.dense(x.flatten(1))[:, 0], x.new_zeros(len(x), 0)


def plain_networks(arm: Arm, width: int) -> tuple[DCGANGenerator | ModernGenerator, nn.Module]:
    rngs = torch.Generator().manual_seed(0), torch.Generator().manual_seed(1)
    if arm == "acgan":
        return PlainClassGenerator(N_CLASSES, width, rngs[0]), PlainClassDiscriminator(N_CLASSES, width, rngs[1])
    if arm == "dcgan":
        return PlainGenerator(width, rngs[0]), PlainDiscriminator(width, rngs[1])
    return PlainModernGenerator(width, rngs[0]), PlainModernDiscriminator(width, rngs[1])


class PlainLoop:
    """The example's loop with this project's losses, a step at a time."""

    def __init__(self, images: Tensor, labels: Tensor, config: GanConfig, device: torch.device) -> None:
        self.config, self.device = config, device
        generator, discriminator = plain_networks(config.arm, config.width)
        self.generator, self.discriminator = generator.to(device).train(), discriminator.to(device).train()
        betas = (config.beta1, config.beta2)
        self.generator_adam = torch.optim.Adam(self.generator.parameters(), config.rate, betas)
        self.discriminator_adam = torch.optim.Adam(self.discriminator.parameters(), config.rate, betas)
        self.mean = [p.detach().clone() for p in self.generator.parameters()] if config.arm == "modern" else []
        self.set = torch.utils.data.TensorDataset(images * 2 - 1, labels)
        self.batches = iter(())
        self.rng = torch.Generator(device).manual_seed(2)
        self.steps = 0

    def step(self) -> None:
        config, generator, discriminator = self.config, self.generator, self.discriminator
        real, truth = (part.to(self.device) for part in self._next())
        self.steps += 1
        asked = torch.randint(N_CLASSES, (config.batch,), device=self.device)

        discriminator.zero_grad()
        loss_real = self._loss(discriminator(self._seen(real)), 1, truth)
        loss_real.backward()
        inputs = draw_inputs(generator, config.batch, self.rng, asked if config.arm == "acgan" else None)
        made = generator(*inputs)
        loss_made = self._loss(discriminator(self._seen(made.detach())), 0, asked)
        loss_made.backward()
        if config.arm == "modern" and self.steps % PENALTY_EVERY == 0:
            shown = self._seen(real).requires_grad_()
            gradient_penalty(shown, discriminator(shown)[0], config.penalty * PENALTY_EVERY).backward()
        self.discriminator_adam.step()

        generator.zero_grad()
        loss = self._loss(discriminator(self._seen(made)), 1, asked)
        loss.backward()
        self.generator_adam.step()
        with torch.no_grad():
            for mean, now in zip(self.mean, generator.parameters(), strict=False):
                mean.mul_(config.ema).add_(now, alpha=1 - config.ema)
        self.losses = loss_real.item(), loss_made.item(), loss.item()

    def _next(self) -> tuple[Tensor, Tensor]:
        try:
            return next(self.batches)
        except StopIteration:
            self.batches = iter(torch.utils.data.DataLoader(self.set, self.config.batch, shuffle=True, drop_last=True))
            return next(self.batches)

    def _seen(self, images: Tensor) -> Tensor:
        if self.config.arm != "modern":
            return images
        return apply_augmentation(images, draw_augmentation(len(images), images.shape[-1], self.rng))

    def _loss(self, judged: tuple[Tensor, Tensor], truth: Literal[0, 1], labels: Tensor) -> Tensor:
        loss = functional.binary_cross_entropy(torch.sigmoid(judged[0]), torch.full_like(judged[0], truth))
        return loss + functional.cross_entropy(judged[1], labels) if self.config.arm == "acgan" else loss


class Clock:
    """Seconds on the wall and of the process since the last reading, when the device has done what it was told."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.read()

    def read(self) -> tuple[float, float]:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        now = time.perf_counter(), time.process_time()
        passed = tuple(a - b for a, b in zip(now, getattr(self, "then", now), strict=True))
        self.then = now
        return passed[0], passed[1]


def time_steps(config: GanConfig, rounds: int, device: torch.device) -> tuple[np.ndarray, np.ndarray, str]:
    """Seconds on the wall and of the process, (steps, 2), of the plain loop's steps and of ours."""
    rng = torch.Generator().manual_seed(0)
    images = torch.rand(8 * config.batch, 1, 64, 64, generator=rng)
    labels = torch.randint(N_CLASSES, (len(images),), generator=rng)
    plain_loop = PlainLoop(images, labels, config, device)
    plain, ours, precision = [], [], ""
    clock = Clock(device)

    for _ in range(rounds):
        asked = 0

        def take_turns() -> bool:
            # Asked before each of our steps: what has passed since the last time was a step of ours.
            nonlocal asked
            passed = clock.read()
            plain_loop.step()
            # The first steps of a round get their memory and choose their algorithms.
            if asked > 1:
                ours.append(passed)
                plain.append(clock.read())
            else:
                clock.read()
            asked += 1
            return False

        of_class = labels if config.arm == "acgan" else None
        precision = train_gan(images, of_class, config, n_classes=N_CLASSES, should_stop=take_turns).precision
    return np.array(plain), np.array(ours), precision


def time_sampling(config: GanConfig, chunks: int, device: torch.device) -> dict[str, float]:
    """Images a second, medians over chunks, of the generator as it is served and of the bare network."""
    n_classes = N_CLASSES if config.arm == "acgan" else 1
    network = build_generator(config.arm, config.width, n_classes, torch.Generator().manual_seed(0))
    served = LesionGenerator(network, _manifest(config, n_classes), "", device)
    stream = served.sample(CHUNK * (chunks + 1), 0, "class 0")
    rng = torch.Generator(device).manual_seed(0)
    labels = torch.zeros(CHUNK, dtype=torch.int64, device=device) if config.arm == "acgan" else None
    drawn = draw_inputs(network, CHUNK, rng, labels)

    @torch.inference_mode()
    def bare(draw: bool) -> None:
        network(*(draw_inputs(network, CHUNK, rng, labels) if draw else drawn))

    ways: dict[str, Callable[[], object]] = {
        "served": lambda: next(stream),
        "bare, drawing included": lambda: bare(True),
        "bare, drawing excluded": lambda: bare(False),
    }
    clock = Clock(device)
    seconds = {name: [] for name in ways}
    for _ in range(chunks + 1):
        for name, way in ways.items():
            clock.read()
            way()
            seconds[name].append(clock.read()[0])
    return {name: CHUNK / float(np.median(values[1:])) for name, values in seconds.items()}


def _manifest(config: GanConfig, n_classes: int) -> GeneratorManifest:
    return GeneratorManifest(
        version="benchmark",
        created="",
        class_counts={f"class {i}": 1 for i in range(n_classes)},
        trained_on="phantom",
        patients=("nobody",),
        snapshot="",
        config={},
        seed=0,
        code_version="",
        name="benchmark",
        arm=config.arm,
        width=config.width,
        held_out=(),
        quality={},
        memorisation={},
        membership=None,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--arm", choices=ARMS, default="dcgan")
    parser.add_argument("--width", type=int, default=PAPER_WIDTH)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=3, help="steps of each loop that count, in each round")
    parser.add_argument("--chunks", type=int, default=5, help="chunks of 64 ROIs that are sampled")
    parser.add_argument("--device", default="auto")
    arguments = parser.parse_args()
    device = pick_device(arguments.device)
    # Two steps of each round do not count, and the last of ours ends after the last question.
    config = GanConfig(arguments.arm, arguments.width, steps=arguments.steps + 2, device=arguments.device, least_diversity=0.0)
    plain, ours, precision = time_steps(config, arguments.rounds, device)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else f"{torch.get_num_threads()} CPU thread(s)"
    hardware = "in hardware" if has_fast_bfloat16(device) else "not in hardware"
    print(f"{config.arm}, width {config.width}, batch {config.batch}, on {name}; bfloat16 {hardware}, ours in {precision}")
    for what, column in (("on the wall", 0), ("of CPU time", 1)):
        p, o = plain[:, column], ours[:, column]
        ratios = p / o
        print(
            f"seconds a step {what}: plain float32 loop {np.median(p):.4f}, ours {np.median(o):.4f}; "
            f"ratio {np.median(ratios):.2f} (median of {len(ratios)} pairs; {ratios.min():.2f} to {ratios.max():.2f})"
        )
    rates = time_sampling(config, arguments.chunks, device)
    print("ROIs a second: " + ", ".join(f"{name} {rate:.0f}" for name, rate in rates.items()))
    for name, rate in list(rates.items())[1:]:
        print(f"served against {name}: {rates['served'] / rate:.2f}")


if __name__ == "__main__":
    main()
