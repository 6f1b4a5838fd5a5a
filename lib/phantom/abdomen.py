"""A whole upper abdomen: everything about it is drawn first, then any slice of it can be painted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from lesionlabel.phantom.background import PARENCHYMA_MM, PARENCHYMA_SD
from lesionlabel.phantom.body import SKIN_MM, Trunk, below_diaphragm, draw_trunk, recess_floor, wall_depths
from lesionlabel.phantom.liver import Liver, draw_liver
from lesionlabel.phantom.patient import ScanDensities
from lesionlabel.phantom.skeleton import Skeleton, draw_skeleton, paint_skeleton
from lesionlabel.phantom.solids import FAR, common, ellipsoid, put
from lesionlabel.phantom.texture import Waves, draw_waves
from lesionlabel.phantom.tubes import Tube, grow_tube, paint_tubes
from lesionlabel.phantom.vasculature import Vasculature, draw_vasculature
from lesionlabel.phantom.viscera import Viscera, draw_viscera, paint_before_liver, paint_behind_liver, paint_heart

Floats = NDArray[np.floating[Any]]

#: Lowest and highest slice in mm: from the kidneys to the dome.
BOTTOM_MM, TOP_MM = -100.0, 96.0
#: Size in mm of the smooth displacement that makes outlines irregular, and its wavelengths.
BEND_MM = 3.6
BEND_WAVES_MM = (60.0, 190.0)
#: σ in mm of an edge along z: half a thin slice.
SLANT_MM = 0.5
#: Grid step in pixels on which that displacement is evaluated.
COARSE = 8


@dataclass(frozen=True, eq=False)
class Abdomen:
    densities: ScanDensities
    trunk: Trunk
    skeleton: Skeleton
    liver: Liver
    vessels: Vasculature
    viscera: Viscera
    parenchyma: Waves
    bends: tuple[Waves, Waves]
    lung_vessels: tuple[Tube, ...]


def draw_abdomen(rng: np.random.Generator, densities: ScanDensities) -> Abdomen:
    trunk = draw_trunk(rng)
    scale = trunk.half_width / 160
    skeleton = draw_skeleton(rng, trunk)
    lung_vessels: list[Tube] = []
    for _ in range(70):
        start = np.array([rng.uniform(-130, 130), rng.uniform(-70, 100), rng.uniform(0, 110)])
        heading = rng.normal(size=3)
        lung_vessels += grow_tube(rng, start, heading / np.linalg.norm(heading), rng.uniform(0.7, 2.4), 30.0, 1)
    return Abdomen(
        densities=densities,
        trunk=trunk,
        skeleton=skeleton,
        liver=draw_liver(rng, scale),
        vessels=draw_vasculature(rng, densities, skeleton.spine, scale),
        viscera=draw_viscera(rng, skeleton.spine, scale),
        parenchyma=draw_waves(rng, 10, *PARENCHYMA_MM),
        bends=(draw_waves(rng, 6, *BEND_WAVES_MM), draw_waves(rng, 6, *BEND_WAVES_MM)),
        lung_vessels=tuple(lung_vessels),
    )


@dataclass(frozen=True, eq=False)
class Slice:
    """hu: painted without noise. liver, room: depth in mm in the liver and in the abdominal cavity. All (rows, columns)."""

    hu: Floats
    liver: Floats
    room: Floats


def spread(waves: Waves, x: Floats, y: Floats, z: float) -> Floats:
    """A smooth field on a regular grid, evaluated on every COARSE-th point and interpolated linearly in between."""
    rows, columns = x.shape
    down, across = np.arange(0, rows + COARSE - 1, COARSE), np.arange(0, columns + COARSE - 1, COARSE)
    step = float(x[0, 1] - x[0, 0])
    nodes_x, nodes_y = np.meshgrid(x[0, 0] + across * step, y[0, 0] + down * step)
    nodes = waves(nodes_x, nodes_y, z).astype(np.float32)
    return _hat(rows, len(down)) @ nodes @ _hat(columns, len(across)).T


def _hat(size: int, nodes: int) -> NDArray[np.float32]:
    """Weights of linear interpolation from every COARSE-th point to all points, (size, nodes)."""
    distance = np.abs(np.arange(size)[:, None] / COARSE - np.arange(nodes)[None, :])
    return np.clip(1 - distance, 0, None).astype(np.float32)


def paint_slice(x: Floats, y: Floats, z: float, abdomen: Abdomen) -> Slice:
    """One slice without noise and lesions. x, y: mm on a regular grid of square pixels; z: mm."""
    trunk = abdomen.trunk
    columns = np.flatnonzero(np.abs(x[0]) < trunk.half_width * 1.08 + 4)
    rows = np.flatnonzero(np.abs(y[:, 0]) < trunk.half_depth * 1.08 + 4)
    box = (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
    inner = _paint_trunk(x[box], y[box], z, abdomen)
    whole = Slice(np.full_like(x, -1000.0), np.full_like(x, FAR), np.full_like(x, FAR))
    whole.hu[box], whole.liver[box], whole.room[box] = inner.hu, inner.liver, inner.room
    return whole


def _paint_trunk(x: Floats, y: Floats, z: float, abdomen: Abdomen) -> Slice:
    densities, trunk = abdomen.densities, abdomen.trunk
    blur = densities.edge_mm
    wall = wall_depths(x, y, z, trunk)
    hu = np.full_like(x, -1000.0)
    for depth, density in (
        (wall.skin, 25.0),
        (wall.skin - SKIN_MM, densities.fat),
        (wall.muscle, densities.muscle),
        (wall.cavity, densities.fat),
    ):
        put(hu, depth, density, blur)
    # Fat between the muscles' layers, at the sides and in front.
    layers = np.exp(-(((wall.muscle - 0.5 * trunk.muscle) / 0.8) ** 2)) * (np.abs(wall.angle - np.pi / 2) > 0.8)
    hu += 0.55 * layers * (densities.fat - hu)
    hu = _paint_back_muscles(hu, x, y, abdomen)

    wx, wy = (axis + BEND_MM * spread(waves, x, y, z) for axis, waves in zip((x, y), abdomen.bends, strict=True))
    below = below_diaphragm(x, y, z, trunk)
    chest = common(wall.cavity, -below - 1.2, 1)
    lung = common(chest, (z - recess_floor(y)) * 0.8, 4)
    put(hu, lung, densities.lung, blur)
    if z > 0:
        hu = paint_tubes(hu, x, y, z, abdomen.lung_vessels, blur, within=ndtr(lung / blur))
    muscle = np.exp(-(((below + 0.6) / 1.0) ** 2)) * ndtr(wall.cavity / blur) * (z > recess_floor(y))
    hu += 0.9 * muscle * (densities.muscle - hu)
    sx, sy = abdomen.skeleton.spine
    mediastinum = ellipsoid(x, y, z, (sx + 4, sy - 18, 0), (34.0, 34.0, 400.0))
    put(hu, common(mediastinum, wall.cavity, 3), densities.fat, blur)
    if z > 55:
        hu = paint_heart(hu, x, y, z, abdomen.viscera, densities, chest)

    room = common(common(wall.cavity - 1.2, below, 2), -ellipsoid(x, y, 0.0, (sx, sy, 0.0), (27.0, 21.0, 1000.0)), 3)
    hu = paint_behind_liver(hu, wx, wy, z, abdomen.viscera, densities, room)
    liver = abdomen.liver.depth(wx, wy, z, room + 1.0)
    cover = ndtr(liver / _across(liver, float(x[0, 1] - x[0, 0]), blur))
    hu = _paint_liver(hu, x, y, z, cover, abdomen)
    hu = paint_tubes(hu, x, y, z, abdomen.vessels.hepatic, blur, within=ndtr((liver - 3) / 2))
    hu = paint_before_liver(hu, wx, wy, z, abdomen.viscera, densities, room)
    hu = paint_tubes(hu, x, y, z, abdomen.vessels.outside, blur, brighter_only=False)
    return Slice(paint_skeleton(hu, x, y, z, abdomen.skeleton, blur), liver, room)


def _across(depth: Floats, pixel_mm: float, blur_mm: float) -> Floats:
    """σ in mm along depth where a surface is cut at a slant: blur_mm in the plane, half a millimetre across it."""
    dy, dx = np.gradient(depth, pixel_mm)
    flat = np.clip(dx * dx + dy * dy, 0, 1)
    return np.sqrt(flat * blur_mm**2 + (1 - flat) * SLANT_MM**2)


def liver_depth(x: Floats, y: Floats, z: float, abdomen: Abdomen) -> Floats:
    """Depth in mm in the liver at single points, as paint_slice has it."""
    wx, wy = (axis + BEND_MM * waves(x, y, z) for axis, waves in zip((x, y), abdomen.bends, strict=True))
    sx, sy = abdomen.skeleton.spine
    room = common(wall_depths(x, y, z, abdomen.trunk).cavity - 1.2, below_diaphragm(x, y, z, abdomen.trunk), 2)
    room = common(room, -ellipsoid(x, y, 0.0, (sx, sy, 0.0), (27.0, 21.0, 1000.0)), 3)
    return abdomen.liver.depth(wx, wy, z, room + 1.0)


def _paint_back_muscles(hu: Floats, x: Floats, y: Floats, abdomen: Abdomen) -> Floats:
    sx, sy = abdomen.skeleton.spine
    densities = abdomen.densities
    marbling = 10 * np.sin(0.45 * x + 1.3 * np.sin(0.2 * y)) * np.sin(0.4 * y)
    for side in (-1, 1):
        depth = ellipsoid(x, y, 0.0, (sx + side * 33, sy + 36, 0.0), (29.0, 19.0, 1000.0))
        put(hu, depth + 1.2, densities.fat + 40, densities.edge_mm)
        put(hu, depth, densities.muscle + marbling, densities.edge_mm)
    return hu


def _paint_liver(hu: Floats, x: Floats, y: Floats, z: float, cover: Floats, abdomen: Abdomen) -> Floats:
    rows, columns = np.flatnonzero((cover > 1e-4).any(axis=1)), np.flatnonzero((cover > 1e-4).any(axis=0))
    if not len(rows):
        return hu
    part = (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
    tissue = abdomen.densities.liver + PARENCHYMA_SD * abdomen.parenchyma(x[part], y[part], z)
    hu[part] += cover[part] * (tissue - hu[part])
    return hu
