"""How far a ROI is from a lesion: from the nearest of all pictures that the classic augmentation could have made of it.

A generator that copies, copies a rotated, mirrored, scaled or shifted picture, which pixel by pixel is far from the original.
"""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d
from torch import Tensor

from lesionlabel.augment.apply import cut_rois
from lesionlabel.augment.draw import margin_range
from lesionlabel.lesions.cohort import Cohort
from lesionlabel.lesions.roi import ROI_SIZE, SHIFT_PX, SHIFT_SHARE, Context, Flip, Placement
from lesionlabel.training.hooks import Progress, ShouldStop, StoppedError, never_stop, no_progress
from lesionlabel.training.images import require_images

ROTATIONS = 24
#: Up-down is left-right turned by half a circle.
ORBIT_FLIPS: tuple[Flip, ...] = ("none", "lr")
SCALES = 5
#: σ in ROI pixels of the low-pass, under which noise no longer hides a copy.
LOW_PASS_PX = 1.5
#: The largest shift in ROI pixels: 0.1 d at the unscaled margin is 4.3. What it takes off each side is compared by no shift.
MOST_SHIFT = 5
#: Every second pixel is compared: after the low-pass, 0.4 % of a signal's power at most is left beyond what they resolve.
STRIDE = 2
#: ROIs whose shifted pictures are held at once, 0.35 MB each.
BLOCK = 512
#: Near the mean of a ROI; taken off both pictures so that the squares lose no digits in float32.
CENTRE = 0.5


def orbit_placements(context: Context) -> list[Placement]:
    """The 240 placements of a lesion that ROIs are compared with: 24 rotations, each mirrored or not, at 5 margins."""
    angles = np.arange(ROTATIONS) * (360 / ROTATIONS)
    margins = np.linspace(*margin_range(context), SCALES)
    return [Placement(float(a), margin=float(m), flip=flip) for flip in ORBIT_FLIPS for m in margins for a in angles]


def shift_limit(context: Context) -> int:
    """How many ROI pixels along each axis a ROI is shifted by against the lesion: the augmentation's p, rounded up."""
    reach = min(SHIFT_PX, SHIFT_SHARE * context.diameter_px)
    step = context.diameter_px * (1 + 2 * context.unscaled_margin) / ROI_SIZE
    return min(MOST_SHIFT, math.ceil(reach / step))


def orbit_distances(
    rois: Tensor, cohort: Cohort, *, progress: Progress = no_progress, should_stop: ShouldStop = never_stop
) -> NDArray[np.float32]:
    """The distance of each ROI from each lesion of a cohort, (n, lesions): 0 is a copy, 1 is black against white.

    rois: (n, 1, 64, 64) float32 in [0, 1]. The distance is the root mean square difference of the low-passed pictures over the
    middle that all shifts share, the least over the lesion's placements and over whole-pixel shifts of the ROI. Raises InputError
    for other images, StoppedError when should_stop says so.
    """
    require_images(rois)
    found = np.empty((len(rois), len(cohort)), dtype=np.float32)
    for start in range(0, len(rois), BLOCK):
        shifted, norms = _shift(_low_pass(rois[start : start + BLOCK, 0].cpu()))
        for position, lesion in enumerate(cohort):
            done = (start + len(shifted[0]) * position / len(cohort)) / len(rois)
            if should_stop():
                raise StoppedError(f"The comparison of {len(rois)} ROIs with {len(cohort)} lesions was stopped.")
            progress(done, f"comparing {len(rois)} ROIs with lesion {position + 1} of {len(cohort)}")
            count = (2 * shift_limit(lesion.context) + 1) ** 2
            nearest = _nearest(shifted[:count], norms[:count], _templates(lesion.context))
            found[start : start + BLOCK, position] = nearest.numpy()
    progress(1.0, f"compared {len(rois)} ROIs with {len(cohort)} lesions")
    return found


def _low_pass(rois: Tensor, kept: slice = slice(None)) -> Tensor:
    """(n, 64, 64) smoothed, edge values repeated outside -> the rows and columns that are kept."""
    smooth = torch.from_numpy(gaussian_filter1d(np.eye(ROI_SIZE), LOW_PASS_PX, axis=0, mode="nearest")[kept]).float()
    return smooth @ (rois - CENTRE) @ smooth.T


def _shift(pictures: Tensor) -> tuple[Tensor, Tensor]:
    """The middle of each picture at all shifts, small ones first, (shifts, n, features), and their squared norms (shifts, n)."""
    along = range(-MOST_SHIFT, MOST_SHIFT + 1)
    shifts = sorted(((y, x) for y in along for x in along), key=lambda s: max(abs(s[0]), abs(s[1])))
    middles = torch.stack([pictures[:, _middle(y), _middle(x)].flatten(1) for y, x in shifts])
    return middles, middles.square().sum(dim=2)


def _middle(shift: int = 0) -> slice:
    """The pixels along an axis that are compared when a picture is shifted."""
    return slice(MOST_SHIFT + shift, ROI_SIZE - MOST_SHIFT + shift, STRIDE)


def _templates(context: Context) -> Tensor:
    """The middles of a lesion's placements, (240, features)."""
    return _low_pass(cut_rois(context, orbit_placements(context))[:, 0], _middle()).flatten(1)


def _nearest(shifted: Tensor, norms: Tensor, templates: Tensor) -> Tensor:
    """The root mean square difference of each ROI, (n,), from its nearest template over all shifts given."""
    squares = templates.square().sum(dim=1)
    least = torch.full_like(norms[0], torch.inf)
    for middles, norm in zip(shifted, norms, strict=True):
        # |a - b|² = |a|² + |b|² - 2ab: one matrix product for all templates.
        torch.minimum(least, norm + torch.addmm(squares, middles, templates.T, alpha=-2).amin(dim=1), out=least)
    return (least.clamp(min=0) / templates.shape[1]).sqrt()
