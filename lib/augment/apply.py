"""Placements -> ROIs, all of a lesion at once: the same pictures as `lesions.roi.cut_roi`, in a fraction of the time."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from numpy.typing import NDArray

from lesionlabel.augment.frames import Frames, distinct_frames
from lesionlabel.augment.kernel import TILE, sample_frames
from lesionlabel.lesions.errors import InputError
from lesionlabel.lesions.roi import HU_WINDOW, ROI_SIZE, Context, Flip, Placement

#: Axes of a ROI (row, column) that a flip reverses.
FLIPPED_AXES: dict[Flip, tuple[int, ...]] = {"none": (), "ud": (1,), "lr": (2,), "both": (1, 2)}
#: Pixels along a side that the placements of one lesion may touch: far more than a CT slice has.
LARGEST_SIDE = 8192


def cut_rois(context: Context, placements: Sequence[Placement], device: torch.device | str | None = None) -> torch.Tensor:
    """The ROIs at placements: (n, 1, 64, 64) float32 in [0, 1], on device (None: the CPU).

    Each equals cut_roi at its placement to rounding and does not depend on the others. They are sampled on the CPU and then
    moved. Raises InputError when a placement is not finite or reaches over more than 8192 pixels.
    """
    return cut_all([(context, placements)], device)


def cut_all(jobs: Sequence[tuple[Context, Sequence[Placement]]], device: torch.device | str | None = None) -> torch.Tensor:
    """cut_rois of several lesions, one after the other in the result, with torch.get_num_threads() threads."""
    ends = np.cumsum([0] + [len(placements) for _, placements in jobs])
    rois = np.empty((int(ends[-1]), ROI_SIZE, ROI_SIZE), dtype=np.float32)

    def run(number: int) -> None:
        context, placements = jobs[number]
        if placements:
            _cut_into(rois[ends[number] : ends[number + 1]], context, placements)

    threads = min(torch.get_num_threads(), len(jobs))
    if threads > 1:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(run, range(len(jobs))))
    else:
        for number in range(len(jobs)):
            run(number)
    return torch.from_numpy(rois)[:, None].to(device)


def _cut_into(rois: NDArray[np.float32], context: Context, placements: Sequence[Placement]) -> None:
    """Each frame is sampled once; flips and repeats are made from it."""
    frames, which = distinct_frames(context, placements)
    sampled = _sample(context, frames)
    flips = np.array([placement.flip for placement in placements])
    for flip, axes in FLIPPED_AXES.items():
        chosen = np.flatnonzero(flips == flip)
        rois[chosen] = np.flip(sampled[which[chosen]], axes)


def _sample(context: Context, frames: Frames) -> NDArray[np.float32]:
    """The picture on every frame, (n, 64, 64)."""
    numbers = np.stack([frames.x, frames.y, frames.along_x, frames.along_y, frames.widen])
    if not np.isfinite(numbers).all():
        raise InputError("A placement's angle, shift and margin must be finite numbers.")
    left, right, top, bottom = frames.touched()
    if max(right - left, bottom - top) > LARGEST_SIDE:
        raise InputError(
            f"The placements reach over {right - left} × {bottom - top} pixels; {LARGEST_SIDE} on a side is the most. "
            "Check the lesion's diameter in pixels and the shifts."
        )
    mirror = context.margin_px is not None
    rows = _inside(top - 1, bottom + 2 + TILE, context.hu.shape[0], mirror)
    columns = _inside(left - 1, right + 2 + TILE, context.hu.shape[1], mirror)
    low, high = HU_WINDOW
    image = np.ascontiguousarray((context.hu[np.ix_(rows, columns)] - low) / (high - low), dtype=np.float32)
    out = np.empty((len(frames.x), ROI_SIZE, ROI_SIZE), dtype=np.float32)
    sample_frames(image, left - 1, top - 1, frames.x, frames.y, frames.along_x, frames.along_y, frames.widen, out)
    return out


def _inside(start: int, stop: int, size: int, mirror: bool) -> NDArray[np.intp]:
    """Indices into an axis of size pixels for start to stop, read outside as `lesions.roi.taps` reads them."""
    index = np.arange(start, stop)
    if mirror:
        index = np.mod(index, 2 * size)
        index = np.where(index >= size, 2 * size - 1 - index, index)
    return np.clip(index, 0, size - 1)
