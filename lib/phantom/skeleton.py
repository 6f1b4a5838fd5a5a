"""Spine and ribs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from lesionlabel.phantom.body import SKIN_MM, Trunk, fat_at, muscle_at, skin_radius
from lesionlabel.phantom.solids import Chain
from lesionlabel.phantom.tubes import Tube, paint_tubes

Floats = NDArray[np.floating[Any]]

#: Distance in mm from one vertebra to the next, half of it the height over which its arch is closed.
VERTEBRA_MM = 31.0
DISC_HALF_MM = 3.6
RIBS = 12


@dataclass(frozen=True, eq=False)
class Skeleton:
    """spine: (x, y) mm of the vertebral bodies' middle. phase: z in mm of one disc."""

    spine: tuple[float, float]
    phase: float
    cortex: float
    marrow: float
    bones: tuple[Tube, ...]
    marrows: tuple[Tube, ...]
    cartilage: tuple[Tube, ...]


def draw_skeleton(rng: np.random.Generator, trunk: Trunk) -> Skeleton:
    cortex, marrow = rng.uniform(360, 460), rng.uniform(140, 210)
    top, spacing, slope = rng.uniform(205, 228), rng.uniform(25, 28), rng.uniform(0.85, 1.0)
    bones, marrows, cartilage = [], [], []
    for side in (-1, 1):
        for number in range(RIBS):
            turn = np.linspace(0.17, (2.6, 1.75, 1.2)[max(number - RIBS + 3, 0)], 26)
            angle = np.pi / 2 + side * turn
            angle = np.arctan2(np.sin(angle), np.cos(angle))
            heights = top - spacing * number - slope * 100 * np.minimum(turn, 2.0) / 2.0 + 45 * np.maximum(turn - 2.0, 0)
            inward = np.array([float(muscle_at(trunk, np.array([a]))[0]) for a in angle])
            inward = np.minimum(inward, trunk.muscle + 1) * 0.62
            reach = np.array([float(skin_radius(trunk, np.array([a]), float(h))[0]) for a, h in zip(angle, heights, strict=True)])
            reach = reach - fat_at(trunk, angle) - SKIN_MM - inward
            reach[:2] -= [12, 5]
            points = np.stack([reach * np.cos(angle), reach * np.sin(angle), heights], axis=1)
            bony = slice(0, 20)
            bones.append(Tube(points[bony], np.full(20, 4.0), cortex))
            marrows.append(Tube(points[bony], np.full(20, 2.2), marrow))
            if number < RIBS - 2:
                cartilage.append(Tube(points[19:], np.full(len(points) - 19, 4.6), 115.0))
    return Skeleton(
        spine=(rng.normal(0, 2), trunk.half_depth - rng.uniform(66, 70) - trunk.fat * 0.6),
        phase=rng.uniform(0, VERTEBRA_MM),
        cortex=cortex,
        marrow=marrow,
        bones=tuple(bones),
        marrows=tuple(marrows),
        cartilage=tuple(cartilage),
    )


def paint_skeleton(hu: Floats, x: Floats, y: Floats, z: float, skeleton: Skeleton, blur_mm: float) -> Floats:
    """The picture hu with the bones in it; x, y on a regular grid in mm."""
    hu = paint_tubes(hu, x, y, z, skeleton.cartilage, blur_mm)
    hu = paint_tubes(hu, x, y, z, skeleton.bones, blur_mm)
    hu = paint_tubes(hu, x, y, z, skeleton.marrows, blur_mm, brighter_only=False)
    cx, cy = skeleton.spine
    columns, rows = x[0], y[:, 0]
    left, right = np.searchsorted(columns, [cx - 56, cx + 56])
    top, bottom = np.searchsorted(rows, [cy - 30, cy + 80])
    part = (slice(top, bottom), slice(left, right))
    hu[part] = _paint_vertebra(hu[part], x[part] - cx, y[part] - cy, z, skeleton, blur_mm)
    return hu


def _paint_vertebra(hu: Floats, x: Floats, y: Floats, z: float, skeleton: Skeleton, blur_mm: float) -> Floats:
    height = (z - skeleton.phase) % VERTEBRA_MM
    from_disc = min(height, VERTEBRA_MM - height)
    # The body's waist is narrower than its end plates, and its back is hollow towards the canal.
    waist = 1.0 - 0.08 * np.sin(np.pi * height / VERTEBRA_MM)
    body = (1 - np.sqrt((x / (23 * waist)) ** 2 + (y / (17 * waist)) ** 2)) * 18
    body = np.minimum(body, 15.5 - y)
    bone_share = float(ndtr((from_disc - DISC_HALF_MM) / 0.8))
    shell = 95 + bone_share * (skeleton.cortex - 95)
    inner = 95 + bone_share * (skeleton.marrow + 40 * float(from_disc < DISC_HALF_MM + 2) - 95)
    # The arch and its processes lie at the lower half of each vertebra.
    arch = float(ndtr((8.5 - abs(height - 0.42 * VERTEBRA_MM)) / 1.5))
    ring = (1 - np.sqrt((x / 21) ** 2 + ((y - 28) / 17) ** 2)) * 17
    spinous = Chain(np.array([[0.0, 42, 0], [0.0, 64, 0]]), np.array([4.0, 4.6])).depth(x, y, 0.0)
    sideways = np.maximum(
        Chain(np.array([[-15.0, 26, 0], [-40.0, 33, 0]]), np.array([5.5, 3.6])).depth(x, y, 0.0),
        Chain(np.array([[15.0, 26, 0], [40.0, 33, 0]]), np.array([5.5, 3.6])).depth(x, y, 0.0),
    )
    facets = np.maximum((7.5 - np.hypot(x - 16, y - 36)), (7.5 - np.hypot(x + 16, y - 36)))
    low = float(ndtr((9.0 - abs(height - 0.25 * VERTEBRA_MM)) / 1.5))
    for depth, share in ((ring, arch), (sideways, arch), (spinous, low), (facets, low)):
        hu = hu + share * ndtr(depth / blur_mm) * (skeleton.cortex * 0.85 - hu)
        hu = hu + share * ndtr((depth - 2.6) / blur_mm) * (skeleton.marrow - hu)
    hu = hu + ndtr(body / blur_mm) * (shell - hu)
    hu = hu + ndtr((body - 2.0) / blur_mm) * (inner - hu)
    canal = (1 - np.sqrt((x / 11.5) ** 2 + ((y - 25.5) / 9) ** 2)) * 9
    hu = hu + ndtr(canal / blur_mm) * (20 - hu)
    cord = (1 - np.sqrt((x / 6.5) ** 2 + ((y - 25.5) / 5) ** 2)) * 5
    return hu + ndtr(cord / blur_mm) * (45 - hu)
