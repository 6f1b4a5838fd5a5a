"""Simulated abdomens as small volumes without noise, from which many training scenes are cut.

Half of them are no abdomens but made up of random shapes with random densities, so that a network cannot lean on how the
phantom's organs lie (domain randomisation, as in SynthSeg: Billot et al. 2023).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from lesionlabel.phantom.abdomen import draw_abdomen, paint_slice
from lesionlabel.phantom.patient import ScanDensities, draw_densities
from lesionlabel.phantom.presets import PRESETS
from lesionlabel.phantom.texture import draw_waves
from lesionlabel.phantom.tubes import Tube, draw_tube, paint_tubes

Floats = NDArray[np.floating[Any]]

#: How often an abdomen is the phantom's.
PHANTOMS_SHARE = 0.5
#: Grid of the volumes in mm, and the box of the trunk that they hold (x, y, z).
PIXEL_MM, SLICE_MM = 1.0, 2.0
BOX_MM = ((-175.0, 175.0), (-130.0, 130.0), (-84.0, 94.0))
#: Small vessels beside the drawn ones: mean number range in a liver, and their mean radius in mm.
SMALL_VESSELS, SMALL_RADIUS_MM = (40, 260), 1.2
#: SD in HU of the liver's further unevenness.
UNEVEN_HU = (0.0, 6.0)
#: HU brighter than the liver at which a point in it counts as vessel, and mm below the liver's surface that count as liver.
VESSEL_HU, INSIDE_MM = 24.0, 3.0
#: Made-up ones: voxels of the grid that random shapes are drawn on, as (z, y, x); sizes of the shapes in mm, SD of the smoothing;
#: which share of the box is liver; how many tissues lie around it; the vessels' number, HU above the liver, and spread of radii.
COARSE = (3, 4, 4)
LIVER_MM, TISSUE_MM, UNEVEN_MM = (18.0, 40.0), (8.0, 30.0), (3.0, 20.0)
LIVER_SHARE, MOST_TISSUES = (0.4, 0.8), 7
VESSELS, VESSELS_HU, RADIUS_SPREAD = (40, 500), (35.0, 90.0), 0.85
#: HU of what may lie around the liver, each as likely: air, fat, water, muscle, organs, kidneys and vessels.
TISSUES_HU = ((-900.0, -700.0), (-115.0, -80.0), (-5.0, 35.0), (40.0, 75.0), (75.0, 135.0), (135.0, 195.0))


@dataclass(frozen=True, eq=False)
class Anatomy:
    """hu: (slices, rows, columns) int16 without noise. depth: mm below the liver's surface, int8, negative outside.

    Voxel (k, j, i) lies at (x, y, z) = BOX_MM's lower corner + (i · PIXEL_MM, j · PIXEL_MM, k · SLICE_MM).
    """

    hu: NDArray[np.int16]
    depth: NDArray[np.int8]
    densities: ScanDensities


def draw_anatomy(rng: np.random.Generator) -> Anatomy:
    """Any of both: the phantom's, or a made-up one."""
    return draw_phantoms(rng) if rng.random() < PHANTOMS_SHARE else draw_made_up(rng)


def draw_phantoms(rng: np.random.Generator) -> Anatomy:
    """One abdomen of the phantom, with more small vessels and unevenness than the phantom's patients have."""
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


def draw_made_up(rng: np.random.Generator) -> Anatomy:
    """Liver of any outline, of which nothing but its density is the phantom's, with vessels in it and tissues around."""
    densities = draw_densities(rng, PRESETS["sharp"])
    (left, right), (top, bottom), (low, high) = BOX_MM
    x, y = np.meshgrid(np.arange(left, right, PIXEL_MM, dtype=np.float32), np.arange(top, bottom, PIXEL_MM, dtype=np.float32))
    heights = np.arange(low, high, SLICE_MM)
    shape = (len(heights), *x.shape)
    outline = _draw_field(rng, shape, rng.uniform(*LIVER_MM))
    liver = outline > np.quantile(outline, 1 - rng.uniform(*LIVER_SHARE))
    spacing = (COARSE[0] * SLICE_MM, COARSE[1] * PIXEL_MM, COARSE[2] * PIXEL_MM)
    inner, outer = (np.asarray(ndimage.distance_transform_edt(part, spacing)) for part in (liver, ~liver))
    # The surface lies half a step from the middles of the voxels beside it.
    half = COARSE[1] * PIXEL_MM / 2
    depth = _finer(np.where(liver, inner - half, half - outer), shape)
    tissue = _finer(_draw_field(rng, shape, rng.uniform(*TISSUE_MM)), shape)
    limits = np.quantile(tissue[::4, ::8, ::8], np.sort(rng.uniform(0, 1, int(rng.integers(1, MOST_TISSUES)))))
    around = [rng.uniform(*TISSUES_HU[int(rng.integers(len(TISSUES_HU)))]) for _ in range(len(limits) + 1)]
    uneven = _finer(_draw_field(rng, shape, rng.uniform(*UNEVEN_MM)), shape) * rng.uniform(*UNEVEN_HU)
    hu = np.where(depth > 0, densities.liver + uneven, np.array(around)[np.digitize(tissue, limits)]).astype(np.float32)
    blur = densities.edge_mm
    ndimage.gaussian_filter(hu, (blur / SLICE_MM, blur / PIXEL_MM, blur / PIXEL_MM), output=hu, truncate=3)
    brightness = densities.liver + rng.uniform(*VESSELS_HU)
    vessels: list[Tube] = []
    for _ in range(int(rng.integers(*VESSELS))):
        start = np.array([rng.uniform(left, right), rng.uniform(top, bottom), rng.uniform(low, high)])
        radius = float(np.clip(SMALL_RADIUS_MM * np.exp(rng.normal(0, RADIUS_SPREAD)), 0.6, 9.0))
        vessels += draw_tube(rng, start, radius, brightness + rng.normal(0, 8))
    for k, z in enumerate(heights.tolist()):
        paint_tubes(hu[k], x, y, z, vessels, blur, within=np.clip(depth[k] / 2, 0, 1))
    return Anatomy(np.rint(hu).astype(np.int16), np.clip(np.rint(depth), -100, 100).astype(np.int8), densities)


def _draw_field(rng: np.random.Generator, shape: tuple[int, ...], smooth_mm: float) -> NDArray[np.float32]:
    """A smooth random field of SD 1 over the volume, on the coarse grid."""
    noise = rng.standard_normal([-(-size // step) for size, step in zip(shape, COARSE, strict=True)], dtype=np.float32)
    sigma = [smooth_mm / (step * mm) for step, mm in zip(COARSE, (SLICE_MM, PIXEL_MM, PIXEL_MM), strict=True)]
    field = np.asarray(ndimage.gaussian_filter(noise, sigma, mode="nearest"))
    return (field - field.mean()) / field.std()


def _finer(field: NDArray[np.floating[Any]], shape: tuple[int, ...]) -> NDArray[np.float32]:
    """A coarse field on the volume's own grid."""
    finer = np.asarray(ndimage.zoom(field.astype(np.float32), COARSE, order=1, grid_mode=True, mode="nearest"), dtype=np.float32)
    return finer[: shape[0], : shape[1], : shape[2]]
