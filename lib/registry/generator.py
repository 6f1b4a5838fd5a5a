"""A trained generator ready to make synthetic ROIs: verified weights, and the same images for the same version and seed."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.utils.memory_format import convert_conv2d_weight_memory_format

from lesionlabel.lesions.errors import InputError, UnknownClassError
from lesionlabel.lesions.roi import ROI_SIZE
from lesionlabel.networks.gans import Generator
from lesionlabel.networks.noise import draw_inputs
from lesionlabel.registry.generator_manifest import GeneratorManifest

#: ROIs that go through the network at once, always: a ROI's last bits may depend on how many are with it.
CHUNK = 64
#: Most ROIs of one call, a third of a gigabyte; more are made with several seeds.
MOST = 20_000
MOST_SEED = 2**63 - 1


class LesionGenerator:
    """Makes ROIs. It holds no state that a call changes, so any number of threads may share one.

    version: from the manifest. sha256: of the weights file. class_names: the classes that it makes.
    """

    def __init__(self, network: Generator, manifest: GeneratorManifest, sha256: str, device: torch.device) -> None:
        self._network: Generator = convert_conv2d_weight_memory_format(
            network.to(device).eval().requires_grad_(False), torch.channels_last
        )
        self._device = device
        self.manifest = manifest
        self.sha256 = sha256
        self.version: str = manifest.version
        self.class_names: tuple[str, ...] = manifest.class_names

    def warm_up(self) -> None:
        """Make one ROI, so that the first who asks does not wait for what torch prepares at its first use."""
        next(self.sample(1, 0, self.class_names[0]))

    def sample(
        self, n: int, seed: int, label: str | None = None, truncation: float = 1.0, most: int = MOST
    ) -> Iterator[NDArray[np.float32]]:
        """n ROIs of the class label in chunks (at most 64, 64, 64) of float32 in [0, 1], made as they are asked for.

        The same version, seed, class and truncation give the same ROIs; a larger n only adds to them. label may be left out where
        there is one class. truncation: in (0, 1]; below 1 the ROIs are more typical and more alike. Raises InputError for a wrong
        n, seed or truncation, UnknownClassError for a class that it does not make; at the call, not at the first chunk.
        """
        position = self.position_of(label)
        check_request(n, seed, truncation, most)
        return self._chunks(n, seed, position, truncation)

    def sample_all(self, n: int, seed: int, label: str | None = None, truncation: float = 1.0) -> NDArray[np.float32]:
        """What sample makes, (n, 64, 64), in one array."""
        chunks = self.sample(n, seed, label, truncation)
        rois = np.empty((n, ROI_SIZE, ROI_SIZE), dtype=np.float32)
        for start, chunk in zip(range(0, n, CHUNK), chunks, strict=True):
            rois[start : start + len(chunk)] = chunk
        return rois

    def position_of(self, label: str | None) -> int:
        """The position of the class in class_names. Raises UnknownClassError, also for None where there are several."""
        if label is None and len(self.class_names) == 1:
            return 0
        wanted = (label or "").strip().casefold()
        for position, name in enumerate(self.class_names):
            if name.casefold() == wanted:
                return position
        asked = "no class was named" if label is None else f"it was asked for {label!r}"
        raise UnknownClassError(f"{self.manifest.name} makes {', '.join(self.class_names)}; {asked}.")

    def _chunks(self, n: int, seed: int, position: int, truncation: float) -> Iterator[NDArray[np.float32]]:
        # Drawn on the CPU and in whole chunks: n changes no image, and a GPU makes the same ones but for rounding.
        rng = torch.Generator().manual_seed(seed)
        labels = torch.full((CHUNK,), position)
        for start in range(0, n, CHUNK):
            z, kinds, noise = draw_inputs(self._network, CHUNK, rng, labels, truncation)
            with torch.inference_mode():
                made = self._network(
                    z.to(self._device), kinds.to(self._device) if kinds is not None else None, [p.to(self._device) for p in noise]
                )
            rois = ((made[:, 0].float().cpu() + 1) / 2).clamp(0, 1).numpy()
            yield rois[: min(CHUNK, n - start)]


def check_request(n: int, seed: int, truncation: float, most: int = MOST) -> None:
    """Raise InputError unless n is from 1 to most, the seed from 0 to 2^63 − 1 and the truncation in (0, 1]."""
    if not 1 <= n <= most:
        raise InputError(f"n must be a whole number from 1 to {most}, got {n}. For more, ask again with other seeds.")
    if not 0 <= seed <= MOST_SEED:
        raise InputError(f"The seed must be a whole number from 0 to {MOST_SEED}, got {seed}.")
    if not (math.isfinite(truncation) and 0 < truncation <= 1):
        raise InputError(f"The truncation must be above 0 and at most 1, got {truncation}.")
