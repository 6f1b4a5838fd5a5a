"""Smooth random fields and scanner noise: what is drawn comes first, evaluating it on any grid second."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from lesionlabel.phantom.presets import Preset

Floats = NDArray[np.floating[Any]]

#: How much the noise SD differs from place to place in one scan, as the SD of its logarithm.
NOISE_SPREAD = 0.10
#: In-plane size in mm of the regions in which the noise SD is alike.
NOISE_REGION_MM = 45.0


@dataclass(frozen=True, eq=False)
class Waves:
    """A smooth random field of SD 1: a sum of cosines. vectors: (n, 3) radians per mm. phases: (n,)."""

    vectors: NDArray[np.float64]
    phases: NDArray[np.float64]

    def __call__(self, x: Floats, y: Floats, z: Floats | float) -> Floats:
        """The field at points in mm."""
        total = np.zeros_like(x)
        for (a, b, c), phase in zip(self.vectors.tolist(), self.phases.tolist(), strict=True):
            total += np.cos(a * x + b * y + (c * z + phase))
        return total * float(np.sqrt(2 / len(self.phases)))


def draw_waves(rng: np.random.Generator, n: int, shortest_mm: float, longest_mm: float) -> Waves:
    """A field whose wavelengths lie between shortest_mm and longest_mm."""
    directions = rng.normal(size=(n, 3))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    wavelengths = np.exp(rng.uniform(np.log(shortest_mm), np.log(longest_mm), size=n))
    return Waves(directions * (2 * np.pi / wavelengths)[:, None], rng.uniform(0, 2 * np.pi, size=n))


def _filter(noise: NDArray[np.float32], weights: tuple[float, ...], axis: int) -> NDArray[np.float32]:
    kernel = np.array([*weights[:0:-1], *weights])
    return np.asarray(ndimage.correlate1d(noise, kernel / np.sqrt((kernel**2).sum()), axis=axis, mode="nearest"), np.float32)


def draw_noise(rng: np.random.Generator, rows: int, columns: int, preset: Preset) -> NDArray[np.float32]:
    """One slice of scanner noise of SD 1 with the preset's in-plane correlation, (rows, columns)."""
    noise = rng.standard_normal((rows, columns), dtype=np.float32)
    return _filter(_filter(noise, preset.kernel, 0), preset.kernel, 1)


def noise_stack(rng: np.random.Generator, slices: int, size: int, preset: Preset) -> Iterator[NDArray[np.float32]]:
    """Noise of neighbouring slices (size, size), SD 1, mixed by the preset's kernel along z; one slice in hand at a time."""
    reach = len(preset.kernel_z) - 1
    weights = np.array([*preset.kernel_z[:0:-1], *preset.kernel_z], dtype=np.float32)
    weights /= np.sqrt((weights**2).sum())
    near = deque((draw_noise(rng, size, size, preset) for _ in range(2 * reach + 1)), maxlen=2 * reach + 1)
    for _ in range(slices):
        yield np.asarray(sum(weight * noise for weight, noise in zip(weights, near, strict=True)), dtype=np.float32)
        near.append(draw_noise(rng, size, size, preset))


@dataclass(frozen=True, eq=False)
class NoiseLevel:
    """The noise SD in HU at each place of one scan."""

    mean: float
    regions: Waves

    def __call__(self, x: Floats, y: Floats, z: Floats | float) -> Floats:
        return self.mean * np.exp(NOISE_SPREAD * self.regions(x, y, z))

    def on_grid(self, x: Floats, y: Floats, z: float) -> Floats:
        """The same on a whole grid of pixels, from every eighth point: it changes over centimetres."""
        coarse = self(x[::8, ::8], y[::8, ::8], z)
        return np.repeat(np.repeat(coarse, 8, axis=0), 8, axis=1)[: x.shape[0], : x.shape[1]]


def draw_noise_level(rng: np.random.Generator, noise_sd: float) -> NoiseLevel:
    return NoiseLevel(noise_sd, draw_waves(rng, 6, NOISE_REGION_MM * 0.6, NOISE_REGION_MM * 2))
