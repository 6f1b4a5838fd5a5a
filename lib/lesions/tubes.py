"""Whether a bright structure runs on through the slices as a vessel does, rather than ending as a lesion does."""

from __future__ import annotations

import math

import numpy as np
from scipy import ndimage

from lesionlabel.lesions.contour import Contour
from lesionlabel.lesions.volume import Volume

#: The structure is looked at within a ball of this many times its width.
BALL_WIDTHS = 1.25
#: Longest against shortest variance within the ball: a tube has about 8, a ball 1, an ellipsoid of axes 3:2 about 2.
TUBE_RATIO = 4.0
SMOOTHING_MM = 1.0


def narrowest_width(contour: Contour) -> float:
    """The least distance in pixels of two parallel lines that hold the contour between them."""
    angle = np.arange(36) * math.pi / 36
    along = contour.points @ np.stack([np.cos(angle), np.sin(angle)])
    return float(np.ptp(along, axis=0).min())


def runs_like_a_vessel(volume: Volume, contour: Contour, tissue_hu: float) -> bool:
    """Whether what is brighter than halfway from tissue_hu to the contour's inside is a tube around the contour's centre."""
    column_mm, row_mm, slice_mm = volume.geometry.spacing
    radius = BALL_WIDTHS * narrowest_width(contour) * column_mm
    half = [math.ceil((radius + 2) / mm) for mm in (slice_mm, row_mm, column_mm)]
    middle = (contour.slice_index, round(contour.centre[1]), round(contour.centre[0]))
    spans = [slice(max(0, m - h), m + h + 1) for m, h in zip(middle, half, strict=True)]
    block = np.clip(volume.voxels[spans[0], spans[1], spans[2]].astype(np.float32), -200, 400)
    block = ndimage.gaussian_filter(block, [SMOOTHING_MM / mm for mm in (slice_mm, row_mm, column_mm)], truncate=3)
    within = contour.mask(*volume.geometry.shape[1:])[spans[1], spans[2]]
    depth = middle[0] - spans[0].start
    if not within.any():
        return False
    grid = np.stack(
        np.meshgrid(
            *[
                (np.arange(n) + s.start - m) * mm
                for n, s, m, mm in zip(block.shape, spans, middle, (slice_mm, row_mm, column_mm), strict=True)
            ],
            indexing="ij",
        ),
        axis=-1,
    )
    bright = block > (tissue_hu + float(np.median(block[depth][within]))) / 2
    labelled = np.zeros(block.shape, dtype=np.int32)
    ndimage.label(bright & ((grid**2).sum(axis=-1) <= radius**2), output=labelled)
    sizes = np.bincount(labelled[depth][within], minlength=2)[1:]
    part = grid[labelled == 1 + int(sizes.argmax())]
    if sizes.max() == 0 or len(part) < 8:
        return False
    spread = np.linalg.eigvalsh(np.cov(part.T))
    # A structure thinner than a voxel has no variance across: give it a voxel's.
    return bool(spread[2] / max(spread[0], column_mm**2 / 12) >= TUBE_RATIO)
