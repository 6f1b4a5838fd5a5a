"""The settings of a GAN's training, with the paper's as defaults."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from lesionlabel.lesions.errors import InputError
from lesionlabel.networks.dcgan import PAPER_WIDTH, check_width
from lesionlabel.networks.gans import Arm, require_arm

#: What Frid-Adar et al. 2018, section III-B, gives for the first two; the modern arm's are ours. At the DCGAN's rate its
#: discriminator, held back by augmentation and penalty, learned too slowly to teach anything in 800 steps.
EPOCHS: dict[Arm, int] = {"dcgan": 70, "acgan": 50, "modern": 70}
RATES: dict[Arm, float] = {"dcgan": 2e-4, "acgan": 1e-4, "modern": 5e-4}
#: Share of the real pictures' diversity below which a generator is said to have collapsed.
LEAST_DIVERSITY = 0.15
Precision = Literal["auto", "float32", "bfloat16"]


@dataclass(frozen=True)
class GanConfig:
    """The settings of a training.

    arm: dcgan or modern (one class), acgan (all). width: channels of the generator's first layer. epochs or steps: passes over
    the images, or optimiser steps; the arm's epochs where neither is given. learning_rate: the arm's where None. ema: share
    of the averaged weights that each step keeps (modern arm only). penalty: weight of the gradient penalty (modern arm only).
    least_diversity: see `training.guards`. precision: auto is bfloat16 where the device has it in hardware.
    """

    arm: Arm = "dcgan"
    width: int = PAPER_WIDTH
    epochs: int | None = None
    steps: int | None = None
    batch: int = 64
    learning_rate: float | None = None
    beta1: float = 0.5
    beta2: float = 0.999
    ema: float = 0.995
    penalty: float = 0.01
    least_diversity: float = LEAST_DIVERSITY
    precision: Precision = "auto"
    device: str = "auto"
    seed: int = 0

    def __post_init__(self) -> None:
        require_arm(self.arm)
        check_width(self.width)
        if self.epochs is not None and self.steps is not None:
            raise InputError(f"Give epochs or steps, not both: epochs={self.epochs}, steps={self.steps}.")
        if any(count is not None and count < 1 for count in (self.epochs, self.steps)) or self.batch < 2 or self.seed < 0:
            raise InputError(
                "epochs and steps must be at least 1, the batch at least 2 and the seed at least 0: "
                f"{self.epochs}, {self.steps}, {self.batch}, {self.seed}."
            )
        if (
            not self.rate > 0
            or not 0 <= self.beta1 < 1
            or not 0 <= self.beta2 < 1
            or not 0 <= self.ema < 1
            or not self.penalty >= 0
        ):
            raise InputError(
                "The learning rate must be positive, the betas and ema in [0, 1), the penalty not negative: "
                f"{self.rate}, {self.beta1}, {self.beta2}, {self.ema}, {self.penalty}."
            )
        if not 0 <= self.least_diversity < 1:
            raise InputError(f"least_diversity must be in [0, 1), got {self.least_diversity}.")
        if self.precision not in get_args(Precision):
            raise InputError(f"Unknown precision {self.precision!r}. Allowed: {', '.join(get_args(Precision))}.")

    @property
    def rate(self) -> float:
        return RATES[self.arm] if self.learning_rate is None else self.learning_rate

    def total_steps(self, n_images: int) -> int:
        """Optimiser steps over n_images."""
        if self.steps is not None:
            return self.steps
        return (self.epochs or EPOCHS[self.arm]) * math.ceil(n_images / self.batch)

    def to_json(self) -> dict[str, Any]:
        stated = {name: value for name, value in asdict(self).items() if value is not None}
        if self.arm != "modern":
            del stated["ema"], stated["penalty"]
        return {**stated, "learning_rate": self.rate}
