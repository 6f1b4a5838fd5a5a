"""What stops a GAN's training that has gone wrong: numbers that are none, and a generator that makes one picture only."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from lesionlabel.lesions.errors import InputError
from lesionlabel.training.hooks import DivergedError

#: Pictures compared for diversity, how often, and how many looks in a row must be too low.
LOOK_AT, LOOKS_IN_A_ROW = 64, 3
#: Share of the training before which a generator may still make one picture only: all do at first.
GRACE = 0.4
#: Side of the squares that are averaged before comparing: the noise of a CT is no diversity.
COARSE = 4


class CollapsedError(DivergedError):
    """The generator makes nearly the same picture whatever the noise. Train on more lesions, fewer steps, or another seed."""


def diversity(images: Tensor) -> float:
    """Mean distance of two pictures of (n, 1, side, side), root mean square per pixel, after averaging over 4 × 4 pixels."""
    flat = functional.avg_pool2d(images.float(), COARSE).flatten(1)
    return float(functional.pdist(flat).mean()) / flat.shape[1] ** 0.5


class CollapseGuard:
    """Compares the diversity of generated pictures with that of real ones, look after look.

    real: ROIs (n, 1, 64, 64) on the generator's scale. least: the lowest share of their diversity that is allowed. total: steps
    of the whole training. history: (step, share) of every look, to which each look adds. Raises InputError where the real ones
    do not differ.
    """

    def __init__(self, real: Tensor, least: float, total: int, history: list[tuple[int, float]]) -> None:
        # Spread over all of them: neighbours are augmentations of one lesion.
        self.real = diversity(real[torch.linspace(0, len(real) - 1, min(LOOK_AT, len(real))).round().long()])
        if not self.real > 0:
            raise InputError(
                f"The {len(real)} training image(s) are all the same, so nothing can be learned but to repeat them. "
                "Train on images of different lesions."
            )
        self.least, self.total, self.history = least, total, history

    def look(self, step: int, generated: Tensor) -> None:
        """Note how diverse the pictures are. Raises CollapsedError when they have been too alike three times in a row."""
        self.history.append((step, diversity(generated) / self.real))
        last = [share for at, share in self.history[-LOOKS_IN_A_ROW:] if at > GRACE * self.total]
        if len(last) == LOOKS_IN_A_ROW and max(last) < self.least:
            raise CollapsedError(
                f"The generator collapsed: at step {step} of {self.total} its pictures have {last[-1]:.0%} of the diversity of "
                f"the real ones; {self.least:.0%} is the least. Train on more lesions, fewer steps, or with another seed."
            )


def require_finite(step: int, losses: dict[str, float]) -> None:
    """Raise DivergedError when a loss is no finite number."""
    wrong = {name: value for name, value in losses.items() if not abs(value) < float("inf")}
    if wrong:
        raise DivergedError(f"The losses are {losses} at step {step}: lower the learning rate, or look at the images.")


def require_finite_weights(network: nn.Module, steps: int) -> None:
    """Raise DivergedError when a weight is no finite number."""
    if not all(bool(torch.isfinite(value).all()) for value in network.state_dict().values()):
        raise DivergedError(f"The weights are not finite after {steps} steps: lower the learning rate, or look at the images.")
