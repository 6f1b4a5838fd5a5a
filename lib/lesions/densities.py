"""What a reader is told of a lesion's HU: mean and SD inside it, and the HU of a vein in the tissue around it."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from lesionlabel.lesions.contour import Contour
from lesionlabel.lesions.roi import require_inside
from lesionlabel.lesions.volume import Volume

#: Fewest pixels that the mean is taken from before the lesion's edge is counted in.
FEWEST_PIXELS = 9
#: How far around the lesion a vein is looked for, and the gap left free of the lesion's own edge, in mm.
RING_MM, GAP_MM = 25.0, 2.0
#: Organ tissue and vessels; above is bone or calcium, below fat and air.
TISSUE_HU = (0.0, 250.0)
#: Edges of fat, air and bone are kept out by this distance in mm.
EDGE_MM = 3.0
#: Smoothing before HU are compared, SD in mm.
SMOOTHING_MM = 1.0
#: A vein is brighter than the tissue by this many HU at least, and this many SD of the tissue's smoothed noise.
BRIGHTER_BY, BRIGHTER_BY_SD = 20.0, 4.0
#: A vein's section has at least this area in mm² above the limit.
LEAST_AREA_MM2 = 6.0
#: No portal-venous vein is brighter than this multiple of the aorta.
VEIN_PER_AORTA = 1.25
#: Below this much tissue in mm² around the lesion nothing is said.
LEAST_TISSUE_MM2 = 100.0


@dataclass(frozen=True)
class LesionDensity:
    """mean_hu, sd_hu: of the lesion's pixels in its slice. pixels: how many. edge_left_out: not its outermost."""

    mean_hu: float
    sd_hu: float
    pixels: int
    edge_left_out: bool


def lesion_densities(volume: Volume, contour: Contour) -> LesionDensity:
    """Mean and SD in HU within the contour less one pixel, or within all of it where fewer than FEWEST_PIXELS would be left.

    SD is the population's and holds the scan's noise. A contour around no pixel centre reads the pixel nearest its centre.
    Raises OutsideVolumeError when the contour lies outside the volume.
    """
    hu, mask = _patch(volume, contour, 2.0)
    inner = np.asarray(ndimage.binary_erosion(mask), dtype=bool)
    left_out = int(inner.sum()) >= FEWEST_PIXELS
    values = hu[inner if left_out else mask]
    return LesionDensity(float(values.mean()), float(values.std()), int(values.size), left_out)


def nearby_vein(volume: Volume, contour: Contour, aorta_hu: float | None = None) -> float | None:
    """HU of the brightest vessel in the tissue within 25 mm of the lesion in its slice, or None when there is none.

    aorta_hu: where it is known, what is brighter by more than a quarter is taken for bone or calcification, not for a vein.

    The median of the brightest half of the pixels that stand out from the tissue (by 20 HU and 4 SD of the smoothed slice),
    in the patch of at least 6 mm² that is brightest. Bone, fat, air and what lies at their edge do not count. A narrow
    vessel reads too low by partial volume, and an artery or a kidney that close is not told from a vein.
    Raises OutsideVolumeError when the contour lies outside the volume.
    """
    pixel_mm = volume.geometry.pixel_mm
    hu, mask = _patch(volume, contour, RING_MM + 10)
    smooth = ndimage.gaussian_filter(np.clip(hu, -200, 400), SMOOTHING_MM / pixel_mm, truncate=3)
    outside = np.asarray(ndimage.distance_transform_edt(~mask)) * pixel_mm
    # Coarser than the noise, so that grains of it are not taken for fat or bone.
    coarse = ndimage.gaussian_filter(np.clip(hu, -200, 400), 2 * SMOOTHING_MM / pixel_mm, truncate=3)
    organ = (coarse >= TISSUE_HU[0]) & (coarse <= TISSUE_HU[1])
    # The lesion itself may hold any HU: its edge is no edge of the organ.
    depth = np.asarray(ndimage.distance_transform_edt(np.pad(organ | mask, 1, constant_values=True)))[1:-1, 1:-1] * pixel_mm
    ring = (outside > GAP_MM) & (outside <= RING_MM) & organ & (depth > EDGE_MM)
    if ring.sum() * pixel_mm**2 < LEAST_TISSUE_MM2:
        return None
    values = smooth[ring]
    tissue = float(np.median(values))
    below = values[values <= tissue]
    sd = float(np.median(tissue - below)) / 0.6745
    bright = ring & (smooth > tissue + max(BRIGHTER_BY, BRIGHTER_BY_SD * sd))
    labelled = np.zeros(bright.shape, dtype=np.int32)
    ndimage.label(bright, output=labelled)
    sizes = np.bincount(labelled.ravel())[1:]
    parts = 1 + np.nonzero(sizes * pixel_mm**2 >= LEAST_AREA_MM2)[0]
    found = []
    for part in parts:
        part_values = smooth[labelled == part]
        found.append(float(np.median(part_values[part_values >= np.median(part_values)])))
    brightest = np.inf if aorta_hu is None else VEIN_PER_AORTA * aorta_hu
    return max((value for value in found if value <= brightest), default=None)


def _patch(volume: Volume, contour: Contour, around_mm: float) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """HU and the lesion's mask in the slice, within around_mm of the contour."""
    require_inside(volume, contour)
    _, rows, columns = volume.geometry.shape
    x, y = contour.centre
    around = math.ceil(around_mm / volume.geometry.pixel_mm)
    low = np.maximum(np.floor(contour.points.min(axis=0)).astype(int) - around, 0)
    high = np.minimum(np.ceil(contour.points.max(axis=0)).astype(int) + around + 1, [columns, rows])
    hu = volume.voxels[contour.slice_index, low[1] : high[1], low[0] : high[0]].astype(np.float32)
    mask = Contour(contour.slice_index, contour.points - low).mask(*hu.shape)
    if not mask.any():
        mask[min(round(y) - low[1], mask.shape[0] - 1), min(round(x) - low[0], mask.shape[1] - 1)] = True
    return hu, mask
