"""The trunk: skin, fat, muscle wall, the cavity inside, and the diaphragm's domes between lungs and abdomen.

Coordinates in mm: x to the patient's left, y to the back, z to the head; the origin lies in the middle of the trunk.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lesionlabel.phantom.solids import ellipsoid, joined

Floats = NDArray[np.floating[Any]]

SKIN_MM = 1.8


@dataclass(frozen=True)
class Trunk:
    """half_width, half_depth: mm to the skin. power: of the superellipse. fat, muscle: thickness in mm at the side.
    dents: amplitude and phase of the outline's waves of order 2 to 5. dome: height in mm of the right dome."""

    half_width: float
    half_depth: float
    power: float
    fat: float
    muscle: float
    dents: tuple[tuple[float, float], ...]
    dome: float


def draw_trunk(rng: np.random.Generator) -> Trunk:
    half_width = rng.uniform(150, 168)
    return Trunk(
        half_width=half_width,
        half_depth=float(np.clip(half_width * rng.uniform(0.77, 0.90), 120, 144)),
        power=rng.uniform(2.2, 2.6),
        fat=rng.uniform(5, 19),
        muscle=rng.uniform(9, 12.5),
        dents=tuple((rng.normal(0, 0.009), rng.uniform(0, 2 * np.pi)) for _ in range(4)),
        dome=rng.uniform(80, 92),
    )


@dataclass(frozen=True, eq=False)
class Wall:
    """Depths in mm at the points of one slice: below the skin, into the muscle, into the cavity; angle: of each point."""

    skin: Floats
    muscle: Floats
    cavity: Floats
    angle: Floats


def fat_at(trunk: Trunk, angle: Floats) -> Floats:
    """Thickness in mm of the fat under the skin: most at the back's sides, least over the ribs in front."""
    return trunk.fat * (1 + 0.45 * np.exp(-(((np.abs(angle - np.pi / 2) - 0.9) / 0.4) ** 2)) - 0.25 * np.cos(angle) ** 2)


def muscle_at(trunk: Trunk, angle: Floats) -> Floats:
    """Thickness in mm of the wall: rectus on both sides of the midline in front, flat muscles and ribs at the side."""
    front = np.abs(angle + np.pi / 2)
    rectus = 4.0 * np.exp(-(((front - 0.24) / 0.14) ** 2)) - (trunk.muscle - 4.5) * np.exp(-((front / 0.05) ** 2))
    back = 9.0 * np.exp(-(((angle - np.pi / 2) / 0.55) ** 2))
    return trunk.muscle + rectus + back


def skin_radius(trunk: Trunk, angle: Floats, z: float) -> Floats:
    """Distance in mm of the skin from the middle."""
    a, b = trunk.half_width * (1 - 0.00025 * z), trunk.half_depth
    radius = (np.abs(np.cos(angle) / a) ** trunk.power + np.abs(np.sin(angle) / b) ** trunk.power) ** (-1 / trunk.power)
    for order, (size, phase) in enumerate(trunk.dents, start=2):
        radius = radius * (1 + size * np.cos(order * angle + phase + 0.004 * order * z))
    return radius - 7 * np.exp(-(((angle - np.pi / 2) / 0.13) ** 2))


def wall_depths(x: Floats, y: Floats, z: float, trunk: Trunk) -> Wall:
    angle = np.arctan2(y, x)
    skin = skin_radius(trunk, angle, z) - np.hypot(x, y)
    muscle = skin - fat_at(trunk, angle) - SKIN_MM
    return Wall(skin, muscle, muscle - muscle_at(trunk, angle), angle)


def below_diaphragm(x: Floats, y: Floats, z: float, trunk: Trunk) -> Floats:
    """Depth in mm below the diaphragm: two domes, the right one higher, with the heart's bed between."""
    scale = trunk.half_width / 160
    high = trunk.dome
    right = ellipsoid(x, y, z, (-68 * scale, -10.0, -25.0), (80 * scale, 96.0, high + 25))
    left = ellipsoid(x, y, z, (70 * scale, -6.0, -30.0), (76 * scale, 92.0, high + 14))
    middle = ellipsoid(x, y, z, (0.0, -25.0, -45.0), (70 * scale, 84.0, high + 24))
    return joined(joined(right, left, 14), middle, 14)


def recess_floor(y: Floats) -> Floats:
    """Lowest z in mm that the lung reaches: deep at the back, high in front."""
    return 22.0 - 0.55 * y
