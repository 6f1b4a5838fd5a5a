"""The click segmenter's network: a small U-Net (Ronneberger et al. 2015) over image channels and the reader's clicks.

Clicks come in as channels, as in Xu et al. 2016 and Sofiiuk et al. 2021 (RITM).
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

#: What can lie under a click; the first is a lesion.
KINDS = ("lesion", "vessel", "liver", "outside the liver")
#: σ in pixels of the spot that stands for a click, and of the wide one that says how far a correction may count.
SPOT_PX, WIDE_PX = 1.6, 7.0
#: Image channels, inside clicks, outside clicks, distance to the first inside click, log of the pixel's size, and the wide
#: spots of the inside clicks after the first and of the outside clicks.
CHANNELS_IN = 10


class ClickUNet(nn.Module):
    """Windows (n, 10, side, side) -> mask logits (n, side, side) and logits of what lies under the click (n, 4).

    width: channels at full resolution. side must be a multiple of 16. Channel 4, the spots of the inside clicks, says where
    to look for what was clicked.
    """

    def __init__(self, width: int = 24, generator: torch.Generator | None = None) -> None:
        super().__init__()
        widths = [width, width * 4 // 3, width * 2, width * 8 // 3, width * 4]
        self.width = width
        self.first = _block(CHANNELS_IN, widths[0])
        self.down = nn.ModuleList(_block(a, b) for a, b in pairwise(widths))
        self.up = nn.ModuleList(_block(a + b, a) for a, b in list(pairwise(widths))[::-1])
        self.mask = nn.Conv2d(width, 1, 1)
        deepest = widths[-1]
        self.kind = nn.Sequential(nn.Linear(width + 2 * deepest, 32), nn.ReLU(), nn.Linear(32, len(KINDS)))
        if generator is not None:
            for part in self.modules():
                if isinstance(part, nn.Conv2d | nn.Linear):
                    nn.init.kaiming_normal_(part.weight, generator=generator)
                    if part.bias is not None:
                        nn.init.zeros_(part.bias)

    def forward(self, windows: Tensor) -> tuple[Tensor, Tensor]:
        levels = [self.first(windows)]
        for block in self.down:
            levels.append(block(functional.max_pool2d(levels[-1], 2)))
        deep = x = levels.pop()
        for block in self.up:
            skipped = levels.pop()
            x = block(torch.cat([skipped, functional.interpolate(x, size=skipped.shape[2:], mode="nearest")], 1))
        spot = windows[:, 4:5]
        here = _weighted_mean(x, spot)
        deep_spot = functional.interpolate(spot, size=deep.shape[2:], mode="area")
        gathered = torch.cat([here, _weighted_mean(deep, deep_spot), deep.mean((2, 3))], 1)
        return self.mask(x)[:, 0], self.kind(gathered)


def _block(channels: int, width: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(channels, width, 3, padding=1, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(inplace=True),
        nn.Conv2d(width, width, 3, padding=1, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(inplace=True),
    )


def _weighted_mean(features: Tensor, weights: Tensor) -> Tensor:
    return (features * weights).sum((2, 3)) / (weights.sum((2, 3)) + 1e-6)


def spots(points: Tensor, present: Tensor, side: int, sigma: float = SPOT_PX) -> Tensor:
    """Clicks (n, most, 2) as (x, y) in pixels, of which present (n, most) are there -> (n, side, side) in 0 … 1."""
    if not points.shape[1]:
        return points.new_zeros(len(points), side, side)
    along = torch.arange(side, dtype=points.dtype, device=points.device)
    shape_x = torch.exp(-0.5 * ((along - points[..., :1]) / sigma) ** 2) * present[..., None]
    shape_y = torch.exp(-0.5 * ((along - points[..., 1:]) / sigma) ** 2)
    return (shape_y[..., :, None] * shape_x[..., None, :]).amax(1)


def assemble(
    planes: Tensor, inside: Tensor, inside_there: Tensor, outside: Tensor, outside_there: Tensor, pixel_mm: Tensor
) -> Tensor:
    """The network's input from image channels (n, 4, side, side), clicks, and the side of a pixel in mm (n,)."""
    side = planes.shape[-1]
    along = torch.arange(side, dtype=planes.dtype, device=planes.device)
    first = inside[:, 0]
    distance = torch.sqrt((along - first[:, None, 1:]).transpose(1, 2) ** 2 + (along - first[:, None, :1]) ** 2) / side
    scale = torch.log(pixel_mm)[:, None, None].expand(-1, side, side)
    extra = [spots(inside, inside_there, side), spots(outside, outside_there, side), distance, scale]
    extra.append(spots(inside[:, 1:], inside_there[:, 1:], side, WIDE_PX))
    extra.append(spots(outside, outside_there, side, WIDE_PX))
    return torch.cat([planes, torch.stack(extra, 1).to(planes.dtype)], 1)
