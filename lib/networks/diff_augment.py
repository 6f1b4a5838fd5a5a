"""Differentiable augmentation of what a discriminator sees, of real and generated ROIs alike.

Source: Zhao et al. 2020 (DiffAugment). Only shifts and a cut-out square. Its colour changes are left out, because the HU is what
makes a cyst a cyst; mirrors and turns as well, because the real ROIs come in all orientations, and a generator whose images are
mirrored before they are judged need not learn that. Draw the parameters, then apply them.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

#: Largest shift and side of the square that is cut out, as shares of the picture's side.
SHIFT, CUT = 1 / 8, 1 / 4


class DiffAugmentation(NamedTuple):
    """One draw per picture. rows, columns: (n, side) source index plus 1, 0 for outside. kept: (n, side, side) bool."""

    rows: Tensor
    columns: Tensor
    kept: Tensor


def draw_augmentation(n: int, side: int, generator: torch.Generator) -> DiffAugmentation:
    """Parameters for n pictures of side × side, on the generator's device."""
    device = generator.device
    reach, square = round(side * SHIFT), round(side * CUT)

    def whole(low: int, high: int) -> Tensor:
        return torch.randint(low, high, (n, 1), generator=generator, device=device)

    index = torch.arange(side, device=device)[None]
    rows, columns = ((index + whole(-reach, reach + 1) + 1).clamp(0, side + 1) % (side + 1) for _ in range(2))
    top, left = whole(-square // 2, side - square // 2 + 1), whole(-square // 2, side - square // 2 + 1)
    down, across = (index >= top) & (index < top + square), (index >= left) & (index < left + square)
    return DiffAugmentation(rows, columns, ~(down[:, :, None] & across[:, None, :]))


def apply_augmentation(images: Tensor, drawn: DiffAugmentation) -> Tensor:
    """The pictures (n, 1, side, side) as the discriminator sees them; 0, the middle grey, comes in from outside."""
    padded = functional.pad(images[:, 0], (1, 0, 1, 0))
    batch = torch.arange(len(images), device=images.device)[:, None, None]
    shifted = padded[batch, drawn.rows[:, :, None], drawn.columns[:, None, :]]
    return (shifted * drawn.kept)[:, None]
