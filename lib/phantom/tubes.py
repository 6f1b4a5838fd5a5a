"""Vessels: bent, tapering tubes that branch, as short straight segments."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

Floats = NDArray[np.floating[Any]]

STEP_MM = 6.0
#: A branch takes off with this share of its parent's radius.
BRANCH_RADIUS = 0.72


@dataclass(frozen=True, eq=False)
class Tube:
    """points: (n, 3) mm. radii: (n,) mm at the points. hu: density of the blood."""

    points: NDArray[np.float64]
    radii: NDArray[np.float64]
    hu: float


def draw_tube(rng: np.random.Generator, start: NDArray[np.float64], radius: float, hu: float, branches: int = 1) -> list[Tube]:
    """A vessel from start in a random direction, thinner to its end, with up to that many branches."""
    direction = rng.normal(size=3)
    return grow_tube(rng, start, direction / np.linalg.norm(direction), radius, hu, branches)


def grow_tube(
    rng: np.random.Generator,
    start: NDArray[np.float64],
    direction: NDArray[np.float64],
    radius: float,
    hu: float,
    branches: int,
    steps: int | None = None,
) -> list[Tube]:
    """A vessel from start along direction (unit vector), bending at random."""
    count = int(rng.integers(4, 9)) if steps is None else steps
    points, radii = [start], [radius]
    heading = direction
    for step in range(count):
        heading = heading + rng.normal(0, 0.18, size=3)
        heading = heading / np.linalg.norm(heading)
        points.append(points[-1] + heading * STEP_MM)
        radii.append(radius * (1 - 0.55 * (step + 1) / count))
    tubes = [Tube(np.array(points), np.array(radii), hu)]
    for _ in range(branches):
        at = int(rng.integers(1, count))
        side = np.cross(heading, rng.normal(size=3))
        turned = heading * rng.uniform(0.4, 0.9) + side / np.linalg.norm(side) * rng.uniform(0.5, 1.0)
        smaller = radii[at] * BRANCH_RADIUS
        if smaller > 0.6:
            tubes += grow_tube(rng, points[at], turned / np.linalg.norm(turned), smaller, hu, branches - 1)
    return tubes


def paint_tubes(
    hu: Floats,
    x: Floats,
    y: Floats,
    z: float,
    tubes: Sequence[Tube],
    blur_mm: float,
    *,
    within: Floats | None = None,
    brighter_only: bool = True,
) -> Floats:
    """The picture hu with the tubes in it; hu itself is changed.

    x, y: mm on a regular grid, x along columns, y along rows; z the same for all. within: share of each point in which
    tubes may lie, in [0, 1]. brighter_only: a tube never darkens what it passes, as where vessels meet.
    """
    columns, rows = x[0], y[:, 0]
    for tube in tubes:
        margin = 4 * blur_mm
        if np.all(np.abs(tube.points[:, 2] - z) > tube.radii[0] + margin + STEP_MM):
            continue
        for start, end, first, last in zip(tube.points[:-1], tube.points[1:], tube.radii[:-1], tube.radii[1:], strict=True):
            reach = max(first, last) + margin
            if min(start[2], end[2]) - reach > z or max(start[2], end[2]) + reach < z:
                continue
            left, right = np.searchsorted(columns, [min(start[0], end[0]) - reach, max(start[0], end[0]) + reach])
            top, bottom = np.searchsorted(rows, [min(start[1], end[1]) - reach, max(start[1], end[1]) + reach])
            if left >= right or top >= bottom:
                continue
            part = (slice(top, bottom), slice(left, right))
            ax, ay, az = (end - start).tolist()
            px, py, pz = x[part] - float(start[0]), y[part] - float(start[1]), float(z - start[2])
            along = np.clip((px * ax + py * ay + pz * az) / (ax * ax + ay * ay + az * az), 0, 1)
            distance = np.sqrt((px - along * ax) ** 2 + (py - along * ay) ** 2 + (pz - along * az) ** 2)
            cover = ndtr((float(first) + float(last - first) * along - distance) / blur_mm)
            if within is not None:
                cover = cover * within[part]
            change = cover * (tube.hu - hu[part])
            hu[part] += np.maximum(change, 0) if brighter_only else change
    return hu
