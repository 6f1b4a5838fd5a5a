"""Lesions to train the click segmenter on: the phantom's, and far more varied ones without a class.

Segmenters trained on lesions of many simulated looks carry over to real ones (Hu et al. 2023, arXiv 2303.14869): so shape,
density, rim, core, edge and texture are drawn over wide ranges, none fitted to a scan.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lesionlabel.phantom.lesions import DRAWN_CLASSES, SimulatedLesion, Spot, draw_lesion, paint_lesion
from lesionlabel.phantom.parameters import VARIANTS
from lesionlabel.phantom.patient import ScanDensities
from lesionlabel.phantom.shape import draw_shape
from lesionlabel.phantom.texture import draw_waves

Floats = NDArray[np.floating[Any]]

#: Longest diameters in mm, drawn evenly in their logarithm.
DIAMETERS_MM = (9.0, 115.0)
#: Share of the phantom's own lesions; of the others, how often a second lobe joins.
PHANTOM_SHARE, LOBES_SHARE = 0.35, 0.35
#: Density against the liver in HU: least and most, and how often darker.
CONTRAST_HU, DARKER_SHARE = (9.0, 105.0), 0.8
RIM_SHARE, CORE_SHARE, SPOTS_SHARE = 0.4, 0.3, 0.4


@dataclass(frozen=True, eq=False)
class DrawnLesion:
    """lobes: one or two bodies of one lesion. offsets: (x, y, z) of each in mm from the lesion's middle."""

    lobes: tuple[SimulatedLesion, ...]
    offsets: tuple[tuple[float, float, float], ...]

    @property
    def reach_mm(self) -> float:
        """Nothing of the lesion is farther from its middle."""
        return max(
            0.8 * lobe.diameter_mm + float(np.linalg.norm(offset)) + 8
            for lobe, offset in zip(self.lobes, self.offsets, strict=True)
        )

    def paint(self, hu: Floats, x: Floats, y: Floats, z: float, blur_mm: float) -> Floats:
        """The picture hu with the lesion; x, y, z in mm from its middle."""
        for lobe, (ox, oy, oz) in zip(self.lobes, self.offsets, strict=True):
            hu = paint_lesion(hu, x - ox, y - oy, z - oz, lobe, blur_mm)
        return hu

    def contains(self, x: Floats, y: Floats, z: float) -> NDArray[np.bool_]:
        """Whether points, in mm from its middle, lie in the lesion."""
        inside = np.zeros(x.shape, dtype=bool)
        for lobe, (ox, oy, oz) in zip(self.lobes, self.offsets, strict=True):
            px, py, pz = x - ox, y - oy, z - oz
            length = np.maximum(np.sqrt(px * px + py * py + pz * pz), 1e-6)
            inside |= length <= lobe.shape.radius(px / length, py / length, np.full_like(px, pz) / length)
        return inside


def draw_any_lesion(rng: np.random.Generator, densities: ScanDensities) -> DrawnLesion:
    """One lesion of any look and size."""
    diameter = float(np.exp(rng.uniform(*np.log(DIAMETERS_MM))))
    if rng.random() < PHANTOM_SHARE:
        label, variant = str(rng.choice(DRAWN_CLASSES)), str(rng.choice(list(VARIANTS)))
        return DrawnLesion((draw_lesion(rng, label, diameter, densities, VARIANTS[variant]),), ((0.0, 0.0, 0.0),))
    first = _draw_varied(rng, diameter, densities)
    if rng.random() >= LOBES_SHARE:
        return DrawnLesion((first,), ((0.0, 0.0, 0.0),))
    smaller = diameter * rng.uniform(0.45, 0.9)
    second = replace(
        first, shape=draw_shape(rng, smaller, rng.uniform(0.02, 0.15)), diameter_mm=smaller, rim=None, core=None, spots=()
    )
    direction = rng.normal(size=3) * [1, 1, 0.4]
    way = direction / np.linalg.norm(direction) * diameter * rng.uniform(0.2, 0.45)
    # The second first, so that what the first has inside is not painted over.
    return DrawnLesion((second, first), ((float(way[0]), float(way[1]), float(way[2])), (0.0, 0.0, 0.0)))


def _draw_varied(rng: np.random.Generator, diameter: float, densities: ScanDensities) -> SimulatedLesion:
    low, high = CONTRAST_HU
    contrast = low * (high / low) ** rng.random()
    body = densities.liver + (-contrast if rng.random() < DARKER_SHARE else 0.75 * contrast)
    shape = draw_shape(rng, diameter, rng.uniform(0.01, 0.16))
    has_rim, has_core = rng.random() < RIM_SHARE, rng.random() < CORE_SHARE
    spots = []
    if rng.random() < SPOTS_SHARE:
        for _ in range(int(rng.integers(1, 6))):
            direction = rng.normal(size=3) * [1, 1, 0.5]
            place = direction / np.linalg.norm(direction) * diameter / 2 * rng.uniform(0.2, 1.0)
            spots.append(
                Spot(
                    (float(place[0]), float(place[1]), float(place[2])),
                    float(max(1.0, rng.uniform(0.04, 0.2) * diameter)),
                    rng.uniform(0.2, 1.5),
                    body + rng.uniform(-50, 110),
                )
            )
    return SimulatedLesion(
        label="any",
        diameter_mm=diameter,
        shape=shape,
        edge=float(np.clip(rng.uniform(0.1, 4.0), None, 0.09 * diameter)),
        body=body,
        inside=draw_waves(rng, 8, diameter / 8, diameter / 1.2),
        inside_sd=rng.uniform(0.0, 0.35) * min(contrast, 60.0),
        spots=tuple(spots),
        rim=body + rng.uniform(-20, 60) if has_rim else None,
        rim_mm=float(np.clip(rng.uniform(0.04, 0.2) * diameter, 1.0, 8.0)),
        core=body + rng.uniform(-45, 30) if has_core else None,
        core_share=rng.uniform(0.3, 0.9) if has_core else 0.0,
    )
