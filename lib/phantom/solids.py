"""Depth functions: how many mm a point lies inside a solid, negative outside. The stuff that organs are made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

Floats = NDArray[np.floating[Any]]
Point = tuple[float, float, float]


def ellipsoid(x: Floats, y: Floats, z: Floats | float, centre: Point, radii: Point) -> Floats:
    """Depth in an ellipsoid along the axes (first-order distance, exact on its surface)."""
    px, py, pz = x - centre[0], y - centre[1], z - centre[2]
    a, b, c = radii
    scaled = np.sqrt((px / a) ** 2 + (py / b) ** 2 + (pz / c) ** 2)
    slope = np.sqrt((px / a**2) ** 2 + (py / b**2) ** 2 + (pz / c**2) ** 2)
    return np.minimum(scaled * (1 - scaled) / np.maximum(slope, 1e-6), min(radii))


def joined(first: Floats, second: Floats, fillet_mm: float) -> Floats:
    """Depth in the union of two solids, the crease between them filled over about fillet_mm."""
    overlap = np.clip(fillet_mm - np.abs(first - second), 0, None)
    return np.maximum(first, second) + overlap * overlap * (0.25 / fillet_mm)


def common(first: Floats, second: Floats, fillet_mm: float) -> Floats:
    """Depth in what two solids share, its edge rounded over about fillet_mm."""
    return -joined(-first, -second, fillet_mm)


#: Depth that stands for "far outside", and the distance in mm up to which depths outside are computed.
FAR, NEAR_MM = -50.0, 14.0


@dataclass(frozen=True, eq=False)
class Chain:
    """A bent, knobbly rod: balls joined by cones. points: (n, 3) mm. radii: (n,) mm."""

    points: NDArray[np.float64]
    radii: NDArray[np.float64]

    def depth(self, x: Floats, y: Floats, z: float) -> Floats:
        """Depth of points in mm, FAR where it is less than -NEAR_MM. x, y: mm, growing along columns and rows, at most
        bent a few mm from a regular grid; z: the same for all."""
        deepest = np.full_like(x, FAR)
        columns, rows = x[len(x) // 2], y[:, y.shape[1] // 2]
        for start, end, first, last in zip(self.points[:-1], self.points[1:], self.radii[:-1], self.radii[1:], strict=True):
            reach = max(first, last) + NEAR_MM
            if min(start[2], end[2]) - reach > z or max(start[2], end[2]) + reach < z:
                continue
            left, right = np.searchsorted(columns, [min(start[0], end[0]) - reach, max(start[0], end[0]) + reach])
            top, bottom = np.searchsorted(rows, [min(start[1], end[1]) - reach, max(start[1], end[1]) + reach])
            if left >= right or top >= bottom:
                continue
            part = (slice(top, bottom), slice(left, right))
            ax, ay, az = (end - start).tolist()
            px, py, pz = x[part] - float(start[0]), y[part] - float(start[1]), z - float(start[2])
            along = np.clip((px * ax + py * ay + pz * az) / max(ax * ax + ay * ay + az * az, 1e-6), 0, 1)
            distance = np.sqrt((px - along * ax) ** 2 + (py - along * ay) ** 2 + (pz - along * az) ** 2)
            np.maximum(deepest[part], float(first) + float(last - first) * along - distance, out=deepest[part])
        return deepest


@dataclass(frozen=True)
class Sheet:
    """An upright plate: a line in the axial plane that bows by that many mm, from bottom to top (mm), half_mm to each side."""

    start: tuple[float, float]
    end: tuple[float, float]
    bottom: float
    top: float
    half_mm: float
    bow: float = 0.0

    def depth(self, x: Floats, y: Floats, z: float) -> Floats:
        """Depth of points in mm, FAR above and below."""
        level = min(z - self.bottom, self.top - z) * 0.25
        if level < -4:
            return np.full_like(x, FAR)
        ax, ay = self.end[0] - self.start[0], self.end[1] - self.start[1]
        px, py = x - self.start[0], y - self.start[1]
        along = np.clip((px * ax + py * ay) / (ax * ax + ay * ay), 0, 1)
        aside = 4 * self.bow * along * (1 - along) / float(np.hypot(ax, ay))
        return np.minimum(self.half_mm - np.hypot(px - along * ax + aside * ay, py - along * ay - aside * ax), level)


def put(hu: Floats, depth: Floats, density: Floats | float, blur_mm: float) -> Floats:
    """Paint a solid of that density into hu, which is changed, with edges of σ blur_mm; where it is not, nothing is computed."""
    where = depth > -4 * blur_mm
    here = hu[where]
    filling = density[where] if isinstance(density, np.ndarray) else density
    hu[where] = here + ndtr(depth[where] / blur_mm) * (filling - here)
    return hu


def smooth_path(points: NDArray[np.float64], per_leg: int = 4) -> NDArray[np.float64]:
    """A Catmull-Rom curve through points (n, 3) -> ((n - 1) · per_leg + 1, 3)."""
    padded = np.vstack([2 * points[0] - points[1], points, 2 * points[-1] - points[-2]])
    t = (np.arange(per_leg) / per_leg)[:, None]
    legs = []
    for a, b, c, d in zip(padded[:-3], padded[1:-2], padded[2:-1], padded[3:], strict=True):
        legs.append(0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3))
    return np.vstack([*legs, points[-1:]])
