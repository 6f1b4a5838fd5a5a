"""The outline of a lesion in space: an ellipsoid with smooth bumps, seen from its centre (star-shaped)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

Floats = NDArray[np.floating[Any]]

#: Angles at which a slice's outline is found.
OUTLINE_ANGLES = 96


@dataclass(frozen=True, eq=False)
class Shape:
    """axes: (3, 3), maps a direction to the unit ball of the ellipsoid (1/mm). bumps, phases: waves over directions;
    bump: their amplitude as a share of the radius."""

    axes: NDArray[np.float64]
    bumps: NDArray[np.float64]
    phases: NDArray[np.float64]
    bump: float

    def radius(self, ux: Floats, uy: Floats, uz: Floats) -> Floats:
        """Distance in mm from the centre to the surface along unit directions."""
        norm = np.zeros_like(ux)
        for a, b, c in self.axes.tolist():
            norm += (a * ux + b * uy + c * uz) ** 2
        wave = np.zeros_like(ux)
        for (a, b, c), phase in zip(self.bumps.tolist(), self.phases.tolist(), strict=True):
            wave += np.cos(a * ux + b * uy + (c * uz + phase))
        return (1 + self.bump * float(np.sqrt(2 / len(self.phases))) * wave) / np.sqrt(np.maximum(norm, 1e-18))

    def outline(self, z: float) -> NDArray[np.float64]:
        """The surface in the plane z mm above the centre, (n, 2) as (x, y) mm; no points where the plane misses it."""
        angles = np.linspace(0, 2 * np.pi, OUTLINE_ANGLES, endpoint=False)
        cos, sin = np.cos(angles), np.sin(angles)
        reach = float(np.max(self.radius(cos, sin, np.zeros_like(cos)))) * 1.6
        inner, outer = np.zeros_like(angles), np.full_like(angles, reach)
        if not self._inside(cos, sin, inner, z)[0]:
            return np.empty((0, 2))
        for _ in range(24):
            middle = (inner + outer) / 2
            inside = self._inside(cos, sin, middle, z)
            inner, outer = np.where(inside, middle, inner), np.where(inside, outer, middle)
        return np.asarray(np.stack([cos * inner, sin * inner], axis=1), dtype=np.float64)

    def _inside(self, cos: Floats, sin: Floats, rho: Floats, z: float) -> NDArray[np.bool_]:
        length = np.maximum(np.hypot(rho, z), 1e-9)
        return np.asarray(length <= self.radius(cos * rho / length, sin * rho / length, z / length))


def outline_diameter(outline: NDArray[np.float64]) -> float:
    """The largest distance between two points of an outline, 0 for none."""
    if not len(outline):
        return 0.0
    return float(np.sqrt(((outline[:, None] - outline[None]) ** 2).sum(axis=2).max()))


def draw_shape(rng: np.random.Generator, diameter_mm: float, bump: float) -> Shape:
    """A shape whose longest diameter in the axial plane through its centre is diameter_mm."""
    semi_axes = np.array([1.0, rng.uniform(0.72, 1.0), rng.uniform(0.8, 1.05)])
    turn = Rotation.from_euler("zyx", [rng.uniform(0, 2 * np.pi), rng.normal(0, 0.35), rng.normal(0, 0.35)])
    directions = rng.normal(size=(6, 3))
    bumps = directions / np.linalg.norm(directions, axis=1, keepdims=True) * rng.uniform(1.5, 4.5, size=(6, 1))
    unit = Shape(turn.as_matrix().T / semi_axes[:, None], bumps, rng.uniform(0, 2 * np.pi, size=6), bump)
    size = diameter_mm / outline_diameter(unit.outline(0.0))
    return Shape(unit.axes / size, bumps, unit.phases, bump)
