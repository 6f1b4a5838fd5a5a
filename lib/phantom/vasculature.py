"""Aorta, cava, portal and hepatic veins and the larger branches around them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from lesionlabel.phantom.patient import ScanDensities
from lesionlabel.phantom.solids import smooth_path
from lesionlabel.phantom.tubes import Tube, grow_tube


@dataclass(frozen=True, eq=False)
class Vasculature:
    """hepatic: vessels inside the liver, cut off at its outline. outside: the others."""

    hepatic: tuple[Tube, ...]
    outside: tuple[Tube, ...]


def draw_vasculature(rng: np.random.Generator, densities: ScanDensities, spine: tuple[float, float], scale: float) -> Vasculature:
    """spine: (x, y) mm of the vertebral bodies' middle. scale: of the trunk's width."""
    sx, sy = spine
    front = sy - 22.0
    cava_x, cava_y = sx - 24 + rng.normal(0, 1.5), front + 2.0
    portal, hepatic_hu = densities.veins, densities.veins - 3

    def path(points: ArrayLike, first: float, last: float, hu: float, spread: float = 1.5) -> Tube:
        controls = np.asarray(points, dtype=np.float64)
        controls[1:-1] += rng.normal(0, spread, size=controls[1:-1].shape)
        curve = smooth_path(controls)
        return Tube(curve, np.linspace(first, last, len(curve)), hu)

    hilum = (np.array([-40.0 * scale, -4.0, 0.0]) + rng.normal(0, 1.5, size=3)).tolist()
    mouth = [cava_x + 2, front - 12.0, 60.0]
    stems = [
        path([hilum, [-62 * scale, -4, 4], [-84 * scale, -18, 16], [-108 * scale, -34, 26]], 6.0, 2.0, portal),
        path([[-60 * scale, -3, 3], [-84 * scale, 14, 4], [-112 * scale, 26, 6]], 5.0, 1.8, portal),
        path([[-62 * scale, -3, 2], [-86 * scale, 6, -24], [-104 * scale, 10, -58]], 4.6, 1.6, portal),
        path([hilum, [-22, -18, 12], [-10, -30, 20], [-9, -54, 24]], 5.2, 3.6, portal),
        path([[-9, -52, 24], [14, -56, 34], [42, -54, 42]], 3.0, 1.2, portal),
        path([[-9, -50, 24], [-30, -66, 12], [-52, -72, 0]], 2.8, 1.2, portal),
        path([mouth, [-46 * scale, 14, 56], [-76 * scale, 20, 40], [-106 * scale, 14, 8]], 5.6, 1.6, hepatic_hu),
        path([mouth, [-36 * scale, -14, 48], [-52 * scale, -40, 28], [-62 * scale, -60, 2]], 5.0, 1.5, hepatic_hu),
        path([mouth, [-8, -14, 54], [10, -36, 48], [34, -50, 40]], 4.6, 1.4, hepatic_hu),
    ]
    hepatic: list[Tube] = []
    for stem in stems:
        hepatic.append(stem)
        hepatic.extend(_twigs(rng, stem))
    confluence = [-8.0, 2.0, -42.0]
    outside = (
        path(
            [[sx + 13, front + 2, -125], [sx + 9, front - 1, -40], [sx + 7, front, 30], [sx + 12, front + 4, 120]],
            10.0,
            12.0,
            densities.aorta,
        ),
        path(
            [[cava_x, cava_y, -125], [cava_x, cava_y, -40], [cava_x - 2, front - 4, 10], mouth, [cava_x + 6, front - 22, 96]],
            10.5,
            12.5,
            densities.cava,
        ),
        path([confluence, [-22, -3, -22], hilum], 7.0, 6.4, portal),
        path([confluence, [-2, -6, -80], [2, -14, -125]], 6.0, 4.5, portal),
        path([confluence, [22, 4, -34], [54, 18, -14], [84, 26, 6]], 4.8, 3.6, portal),
        path([[sx + 8, front - 8, -30], [2, -3, -50], [6, -10, -125]], 4.0, 3.0, densities.aorta),
        path([[sx + 8, front - 8, -14], [2, front - 24, -10], [-20, front - 30, -8]], 3.6, 2.4, densities.aorta),
        path([[62, 38, -48], [30, front - 9, -50], [cava_x + 6, cava_y - 2, -52]], 4.6, 5.0, densities.cava),
        path([[-56, 40, -62], [-40, cava_y + 4, -60], [cava_x - 6, cava_y, -58]], 4.4, 5.0, densities.cava),
    )
    mesentery = []
    for _ in range(26):
        start = np.array([rng.uniform(-50, 70), rng.uniform(-62, -12), rng.uniform(-120, -55)])
        mesentery += grow_tube(rng, start, _unit(rng.normal(size=3)), rng.uniform(1.0, 2.2), densities.veins - 15, 1)
    return Vasculature(tuple(hepatic), (*outside, *mesentery))


def _twigs(rng: np.random.Generator, stem: Tube) -> list[Tube]:
    """Branches off a stem, which branch again."""
    twigs: list[Tube] = []
    for at in range(2, len(stem.points) - 1, 2):
        along = _unit(stem.points[at + 1] - stem.points[at - 1])
        side = _unit(np.cross(along, rng.normal(size=3)))
        heading = _unit(along * rng.uniform(0.2, 0.8) + side)
        radius = float(min(stem.radii[at] * rng.uniform(0.45, 0.75), 3.2))
        twigs += grow_tube(rng, stem.points[at], heading, radius, stem.hu, 2)
    end = _unit(stem.points[-1] - stem.points[-2])
    return twigs + grow_tube(rng, stem.points[-1], end, float(stem.radii[-1]), stem.hu, 2)


def _unit(vector: NDArray[np.float64]) -> NDArray[np.float64]:
    return vector / np.linalg.norm(vector)
