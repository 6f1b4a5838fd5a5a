"""Where a ROI speaks for a class, by occlusion: what changes when a spot of it is replaced by the tissue around the lesion.

Occlusion (Zeiler and Fergus 2014) asks the network itself: each value says how far the log-odds of the class fall. A 64 × 64 ROI
takes 256 answers of a small network. Class activation maps would have 12 × 12 cells here, and gradients tell of changes that are
too small to see. Whatever the map shows, it is no evidence that the class is right. benchmarks/heat_map.py checks it.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from lesionlabel.lesions.roi import MARGIN, ROI_SIZE

FloatArray = NDArray[np.float64]
Rois = NDArray[np.float32]

#: Distance of neighbouring spots and σ of each, in the ROI's pixels.
STEP_PX, SPOT_SIGMA_PX = 4, 4.0
#: Probabilities are held so far from 0 and 1 that the log-odds stay finite.
LEAST_PROBABILITY = 1e-6


def occlusion_map(roi: Rois, index: int, probabilities: Callable[[Rois], FloatArray]) -> FloatArray:
    """How much each pixel of a ROI (64, 64) speaks for the class of that index: fall of its log-odds, (64, 64).

    Positive where the tissue speaks for the class, negative where it speaks against it. probabilities: of ROIs (n, 64, 64).
    """
    spots = _spots()
    occluded = roi[None] * (1 - spots) + surroundings(roi) * spots
    answers = probabilities(np.concatenate([roi[None], occluded.astype(np.float32)]))[:, index]
    held = np.clip(answers, LEAST_PROBABILITY, 1 - LEAST_PROBABILITY)
    log_odds = np.log(held / (1 - held))
    falls = log_odds[0] - log_odds[1:]
    return np.einsum("n,nrc->rc", falls, spots) / spots.sum(axis=0)


def surroundings(roi: Rois) -> float:
    """The median of what lies around the lesion in an unscaled ROI: what a spot is replaced by, as if no lesion were there."""
    y, x = np.mgrid[:ROI_SIZE, :ROI_SIZE] - (ROI_SIZE - 1) / 2
    return float(np.median(roi[np.hypot(x, y) > ROI_SIZE / 2 / (1 + 2 * MARGIN) + 1]))


def _spots() -> FloatArray:
    """How much of each pixel each spot covers, (spots, 64, 64)."""
    centres = np.arange(STEP_PX / 2 - 0.5, ROI_SIZE, STEP_PX)
    along = np.exp(-((np.arange(ROI_SIZE) - centres[:, None]) ** 2) / (2 * SPOT_SIGMA_PX**2))
    return np.einsum("ar,bc->abrc", along, along).reshape(-1, ROI_SIZE, ROI_SIZE)
