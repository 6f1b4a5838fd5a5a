"""The distinct pictures behind a list of placements: a flip is the same picture with its rows or columns reversed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lesionlabel.lesions.roi import ROI_SIZE, Context, Placement

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Frames:
    """Sampling grids in a context, in native pixels.

    x, y: (n,) middle of each ROI. along_x, along_y: (n,) how far the next column of the ROI lies in x and y.
    widen: (n,) distance of neighbouring samples where the ROI shrinks, else 1: what the kernel is widened by.
    """

    x: FloatArray
    y: FloatArray
    along_x: FloatArray
    along_y: FloatArray
    widen: FloatArray

    def touched(self) -> tuple[int, int, int, int]:
        """The first and last column and the first and last row of the context that any frame's kernel can touch."""
        reach = (ROI_SIZE - 1) / 2 * (np.abs(self.along_x) + np.abs(self.along_y)) + 2 * self.widen
        left, right = np.floor((self.x - reach).min()), np.ceil((self.x + reach).max())
        top, bottom = np.floor((self.y - reach).min()), np.ceil((self.y + reach).max())
        return int(left), int(right), int(top), int(bottom)


def distinct_frames(context: Context, placements: Sequence[Placement]) -> tuple[Frames, NDArray[np.intp]]:
    """The frames that differ in more than a flip, and for each placement the index of its frame."""
    found: dict[tuple[float, float, float, float], int] = {}
    which = np.empty(len(placements), dtype=np.intp)
    for position, placement in enumerate(placements):
        margin = context.unscaled_margin if placement.margin is None else placement.margin
        which[position] = found.setdefault((placement.angle_deg, *placement.shift_px, margin), len(found))
    angle, shift_x, shift_y, margin = np.array(list(found), dtype=np.float64).T
    step = context.diameter_px * (1 + 2 * margin) / ROI_SIZE
    turn = np.radians(angle)
    frames = Frames(
        x=context.centre[0] + shift_x,
        y=context.centre[1] + shift_y,
        along_x=np.cos(turn) * step,
        along_y=np.sin(turn) * step,
        widen=np.maximum(step, 1.0),
    )
    return frames, which
