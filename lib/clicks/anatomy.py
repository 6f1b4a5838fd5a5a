"""Simulated abdomens as small volumes without noise, from which many training scenes are cut."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lesionlabel.phantom.abdomen import draw_abdomen, paint_slice
from lesionlabel.phantom.patient import ScanDensities, draw_densities
from lesionlabel.phantom.presets import PRESETS
from lesionlabel.phantom.texture import draw_waves
from lesionlabel.phantom.tubes import Tube, draw_tube, paint_tubes

Floats = NDArray[np.floating[Any]]

#: Grid of the volumes in mm, and the box of the trunk that they hold (x, y, z).
PIXEL_MM, SLICE_MM = 1.0, 2.0
BOX_MM = ((-175.0, 175.0), (-130.0, 130.0), (-84.0, 94.0))
#: Small vessels beside the drawn ones: mean number range in a liver, and their mean radius in mm.
SMALL_VESSELS, SMALL_RADIUS_MM = (40, 260), 1.2
#: SD in HU of the liver's further unevenness.
UNEVEN_HU = (0.0, 6.0)
#: HU brighter than the liver at which a point in it counts as vessel, and mm below the liver's surface that count as liver.
VESSEL_HU, INSIDE_MM = 24.0, 3.0


@dataclass(frozen=True, eq=False)
class Anatomy:
    """hu: (slices, rows, columns) int16 without noise. depth: mm below the liver's surface, int8, negative outside.

    Voxel (k, j, i) lies at (x, y, z) = BOX_MM's lower corner + (i · PIXEL_MM, j · PIXEL_MM, k · SLICE_MM).
    """

    hu: NDArray[np.int16]
    depth: NDArray[np.int8]
    densities: ScanDensities


def draw_anatomy(rng: np.random.Generator) -> Anatomy:
    """One abdomen, with more small vessels and unevenness than the phantom's patients have."""
    densities = draw_densities(rng, PRESETS["sharp"])
    abdomen = draw_abdomen(rng, densities)
    (left, right), (top, bottom), (low, high) = BOX_MM
    x, y = np.meshgrid(np.arange(left, right, PIXEL_MM, dtype=np.float32), np.arange(top, bottom, PIXEL_MM, dtype=np.float32))
    heights = np.arange(low, high, SLICE_MM)
    vessels: list[Tube] = []
    for _ in range(int(rng.integers(*SMALL_VESSELS))):
        start = np.array([rng.uniform(-150, 90), rng.uniform(-105, 105), rng.uniform(-75, 84)])
        radius = float(np.clip(SMALL_RADIUS_MM * np.exp(rng.normal(0, 0.5)), 0.6, 4.0))
        vessels += draw_tube(rng, start, radius, densities.veins + rng.normal(0, 5))
    uneven, uneven_sd = draw_waves(rng, 8, 6.0, 60.0), rng.uniform(*UNEVEN_HU)
    hu = np.empty((len(heights), *x.shape), dtype=np.int16)
    depth = np.empty(hu.shape, dtype=np.int8)
    for k, z in enumerate(heights.tolist()):
        painted = paint_slice(x, y, z, abdomen)
        within = np.clip(painted.liver / 2, 0, 1)
        picture = paint_tubes(painted.hu, x, y, z, vessels, densities.edge_mm, within=within)
        rows, columns = np.flatnonzero(within.any(axis=1)), np.flatnonzero(within.any(axis=0))
        if len(rows):
            part = (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
            picture[part] += within[part] * uneven_sd * uneven(x[part], y[part], z)
        hu[k] = np.rint(picture)
        depth[k] = np.clip(np.rint(painted.liver), -100, 100)
    return Anatomy(hu, depth, densities)
