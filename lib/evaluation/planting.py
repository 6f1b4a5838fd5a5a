"""Copies of lesions as a generator might make them: what the memorisation check must find before it may call a generator fit."""

from __future__ import annotations

import numpy as np
import torch
from scipy.ndimage import gaussian_filter
from torch import Tensor

from lesionlabel.augment.apply import cut_rois
from lesionlabel.augment.draw import lesion_stream, margin_range
from lesionlabel.evaluation.orbit import ORBIT_FLIPS
from lesionlabel.lesions.cohort import Cohort
from lesionlabel.lesions.roi import SHIFT_PX, SHIFT_SHARE, Context, Placement

#: Blur and noise of a copy are drawn up to these: σ in ROI pixels, and SD in units of the ROI (17 HU, nearly the CT's own 21).
MOST_BLUR_PX = 1.5
MOST_NOISE = 0.05


def plant_copies(cohort: Cohort, per_lesion: int, seed: int) -> Tensor:
    """per_lesion copies of each lesion, in the cohort's order: (n, 1, 64, 64) float32 in [0, 1].

    Each is rotated, scaled and shifted at random and at once, mirrored or not, then blurred and given white noise. A lesion's
    copies depend on the seed and its id alone.
    """
    copies = []
    for lesion in cohort:
        rng = lesion_stream(seed, lesion.lesion_id)
        placements = [_draw_placement(lesion.context, rng) for _ in range(per_lesion)]
        blurs, noises = rng.uniform(0, MOST_BLUR_PX, per_lesion), rng.uniform(0, MOST_NOISE, per_lesion)
        for roi, blur, noise in zip(cut_rois(lesion.context, placements)[:, 0].numpy(), blurs, noises, strict=True):
            changed = gaussian_filter(roi, blur) + noise * rng.standard_normal(roi.shape)
            copies.append(np.clip(changed, 0, 1).astype(np.float32))
    return torch.from_numpy(np.stack(copies)[:, None])


def _draw_placement(context: Context, rng: np.random.Generator) -> Placement:
    """Anywhere in the orbit, not only where the distance looks."""
    reach = min(SHIFT_PX, SHIFT_SHARE * context.diameter_px)
    x, y = rng.uniform(-reach, reach, size=2)
    return Placement(
        angle_deg=float(rng.uniform(0, 360)),
        shift_px=(float(x), float(y)),
        margin=float(rng.uniform(*margin_range(context))),
        flip=ORBIT_FLIPS[int(rng.integers(len(ORBIT_FLIPS)))],
    )
