"""The liver's outline: lobes, fissures and fossae, pressed against wall and diaphragm."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lesionlabel.phantom.solids import Chain, Point, Sheet, common, ellipsoid, joined

Floats = NDArray[np.floating[Any]]


@dataclass(frozen=True, eq=False)
class Liver:
    """Lobes as (centre, radii) in mm; fissures are cut out of them: where fat lies in the ligaments, and at the hilum."""

    right: tuple[Point, Point]
    lower: tuple[Point, Point]
    left: tuple[Point, Point]
    caudate: tuple[Point, Point]
    fissures: tuple[Chain | Sheet, ...]

    def depth(self, x: Floats, y: Floats, z: float, allowed: Floats) -> Floats:
        """Depth in mm. allowed: depth in the space below the diaphragm and inside the wall, which the liver fills."""
        whole = joined(ellipsoid(x, y, z, *self.right), ellipsoid(x, y, z, *self.lower), 25)
        whole = joined(whole, ellipsoid(x, y, z, *self.left), 18)
        whole = joined(whole, ellipsoid(x, y, z, *self.caudate), 6)
        for fissure in self.fissures:
            whole = common(whole, -fissure.depth(x, y, z), 4)
        return common(whole, allowed, 3)


def draw_liver(rng: np.random.Generator, scale: float) -> Liver:
    """A liver for a trunk that is scale times as wide as the usual one."""

    def near(point: Point, spread: float) -> Point:
        x, y, z = (np.array(point) * [scale, 1, 1] + rng.normal(0, spread, size=3)).tolist()
        return x, y, z

    long = rng.uniform(0.9, 1.12)
    reach = rng.uniform(52, 82)
    teres = rng.uniform(-14, -4)
    hilum = near((-38.0, 2.0, -4.0), 2.0)
    fissures = (
        Sheet(
            (teres, -100), (teres - 4, rng.uniform(-46, -34)), -140, rng.uniform(8, 22), rng.uniform(0.8, 2.6), rng.normal(0, 5)
        ),
        Sheet(
            (12, rng.uniform(-20, -14)),
            (-24, rng.uniform(-6, 0)),
            6,
            rng.uniform(32, 44),
            rng.uniform(0.5, 1.2),
            rng.normal(0, 3),
        ),
        Chain(np.array([[5.0, -20, -26], [*hilum]]), np.array([13.0, 8.0])),
        Chain(np.array([[*hilum], [hilum[0] - 16, hilum[1] + 2, hilum[2] + 3]]), np.array([7.0, 3.0])),
        Chain(np.array([[-40.0 * scale, -40, -75], [-46 * scale, -36, -26]]), np.array([20.0, 7.0])),
        Chain(np.array([[-58.0, 70, -110], [-60, 66, -40], [-58, 74, -8]]), np.array([40.0, 36.0, 16.0])),
    )
    return Liver(
        right=(near((-74.0, 4.0, 26.0), 3.0), (88 * scale, 102.0, 92.0 * long)),
        lower=(near((-98.0, -4.0, -45.0), 4.0), (48 * scale, 66.0, rng.uniform(48, 72))),
        left=(near((-8.0, -52.0, 36.0), 4.0), (reach, rng.uniform(36, 46), rng.uniform(50, 64))),
        caudate=(near((-16.0, 6.0, 18.0), 1.5), (15.0, 14.0, 26.0)),
        fissures=fissures,
    )
