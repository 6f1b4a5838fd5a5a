"""Drawing the classic augmentation's parameters; `apply` turns them into pictures.

Source: Frid-Adar et al. 2018, section III-A: rotations, and from each rotated ROI flips, translations and scalings.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np

from lesionlabel.lesions.errors import InputError
from lesionlabel.lesions.roi import MARGIN_RANGE, SHIFT_PX, SHIFT_SHARE, Context, Flip, Placement

#: The flips of a rotated ROI, in the order in which a recipe with fewer takes them.
FLIPS: tuple[Flip, ...] = ("ud", "lr", "both")


@dataclass(frozen=True)
class Recipe:
    """How many of each: rotations of a lesion; flips, translations and scalings of each rotated ROI (the paper's 30/3/7/5)."""

    rotations: int = 30
    flips: int = 3
    translations: int = 7
    scalings: int = 5

    def __post_init__(self) -> None:
        counts = (self.rotations, self.flips, self.translations, self.scalings)
        if self.rotations < 1 or min(counts) < 0 or self.flips > len(FLIPS):
            raise InputError(
                f"A recipe has at least 1 rotation, 0 to {len(FLIPS)} flips and no negative number; "
                f"got rotations, flips, translations, scalings = {counts}."
            )

    @property
    def per_lesion(self) -> int:
        """ROIs of each lesion: 480 for the paper's."""
        return self.rotations * (1 + self.flips + self.translations + self.scalings)


def lesion_stream(seed: int, lesion_id: str) -> np.random.Generator:
    """The generator of one lesion's draws: it does not depend on what other lesions there are. Raises InputError if seed < 0."""
    if seed < 0:
        raise InputError(f"A seed must be 0 or more, got {seed}.")
    name = hashlib.sha256(lesion_id.encode()).digest()
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, int.from_bytes(name, "big")])))


def inward_only(context: Context) -> bool:
    """Whether scaling cannot add tissue: a ready-cut ROI has none outside the margin that it was cut with."""
    return context.margin_px is not None


def margin_range(context: Context) -> tuple[float, float]:
    """The margins that scaling draws from, as shares of the diameter; at most a ready-cut ROI's own."""
    low, high = MARGIN_RANGE
    most = min(high, context.unscaled_margin) if inward_only(context) else high
    return min(low, most), most


def draw_placements(context: Context, recipe: Recipe, rng: np.random.Generator) -> list[Placement]:
    """recipe.per_lesion placements: for each rotation the rotated ROI, its flips, its translations, its scalings.

    Angles are uniform in [0°, 180°), shifts along x and y uniform within ± min(4, 0.1 d) native pixels, margins uniform in
    margin_range. The same generator state gives the same placements for lesions of the same diameter and margin.
    """
    reach = min(SHIFT_PX, SHIFT_SHARE * context.diameter_px)
    margins = margin_range(context)
    placements: list[Placement] = []
    for _ in range(recipe.rotations):
        angle = float(rng.uniform(0, 180))
        placements.append(Placement(angle))
        placements += [Placement(angle, flip=flip) for flip in FLIPS[: recipe.flips]]
        for x, y in rng.uniform(-reach, reach, size=(recipe.translations, 2)):
            placements.append(Placement(angle, shift_px=(float(x), float(y))))
        placements += [Placement(angle, margin=float(margin)) for margin in rng.uniform(*margins, size=recipe.scalings)]
    return placements
