"""Lesions to train the click segmenter on: the phantom's, and far more varied ones without a class.

Segmenters trained on lesions of many simulated looks carry over to real ones (Hu et al. 2023, arXiv 2303.14869): so shape,
density, rim, core, layers, edge and texture are drawn over wide ranges, none fitted to a scan.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from lesionlabel.phantom.lesions import DRAWN_CLASSES, SimulatedLesion, Spot, draw_lesion, paint_lesion
from lesionlabel.phantom.parameters import VARIANTS
from lesionlabel.phantom.patient import ScanDensities
from lesionlabel.phantom.shape import Shape, draw_shape
from lesionlabel.phantom.texture import Waves, draw_waves

Floats = NDArray[np.floating[Any]]

#: Longest diameters in mm, drawn evenly in their logarithm.
DIAMETERS_MM = (9.0, 115.0)
#: Share of the phantom's own lesions; of the others, how often a second lobe joins, and how often it has layers (as a target
#: has, or dead tissue beside the middle), most of them, and how often they share the lesion's shape.
PHANTOM_SHARE, LOBES_SHARE = 0.25, 0.35
LAYERS_SHARE, MOST_LAYERS, CONCENTRIC_SHARE = 0.5, 3, 0.6
#: Density against the liver in HU: least and most, and how often darker.
CONTRAST_HU, DARKER_SHARE = (9.0, 105.0), 0.65
RIM_SHARE, CORE_SHARE, SPOTS_SHARE = 0.4, 0.3, 0.4
#: A rim differs from the liver by at least this, and a layer from what lies around it, within what tissue has.
LEAST_RIM_HU, LEAST_LAYER_HU = 10.0, 12.0
#: How often the inside is uneven on its own account, not in proportion to its contrast, and by how much (SD in HU).
MOSAIC_SHARE, MOSAIC_SD = 0.4, (3.0, 28.0)
#: How often the inside is patches of tissues side by side, as dead and living ones; most of them; how far their densities lie
#: from its body's (SD in HU, drawn evenly in its logarithm); how often one has the liver's density; how softly they meet, in the
#: SD of the field that parts them.
PATCHES_SHARE, MOST_PATCHES, PATCHES_SD, LIKE_LIVER_SHARE, PATCHES_SOFT = 0.4, 4, (8.0, 45.0), 0.5, (0.03, 0.5)
#: How often its outline has finer bumps as well, and how many of them go around it.
ROUGH_SHARE, ROUGH_BUMPS = 0.35, (4.5, 10.0)
#: How often its density goes over into the liver's towards the edge, unless it is faint; over which share of the diameter; and
#: what is left of its body's contrast at the edge in HU. All of its contrast goes down by that share.
FADE_SHARE, FADE_REACH, FADE_LEFT_HU = 0.35, (0.08, 0.4), (6.0, 25.0)


@dataclass(frozen=True, eq=False)
class Patches(Waves):
    """A field of a few tissues. hu: (n,), each against the body's. limits: (n - 1,), where the waves part one from the next."""

    limits: NDArray[np.float64]
    hu: NDArray[np.float64]
    soft: float

    def __call__(self, x: Floats, y: Floats, z: Floats | float) -> Floats:
        """HU against the body's at points in mm."""
        field = super().__call__(x, y, z)
        tissues = np.full_like(field, self.hu[0])
        for limit, step in zip(self.limits.tolist(), np.diff(self.hu).tolist(), strict=True):
            tissues += step * ndtr((field - limit) / self.soft)
        return tissues


@dataclass(frozen=True, eq=False)
class DrawnLesion:
    """bodies: what the lesion is made of, each painted over the ones before. offsets: (x, y, z) of each in mm from its middle.

    What lies in any of them belongs to the lesion. fade_mm: from so deep inside to the edge its contrast goes down to the share
    fade_left; 0 for a lesion that does not fade.
    """

    bodies: tuple[SimulatedLesion, ...]
    offsets: tuple[tuple[float, float, float], ...]
    fade_mm: float = 0.0
    fade_left: float = 1.0

    @property
    def diameter_mm(self) -> float:
        """That of its largest body."""
        return max(body.diameter_mm for body in self.bodies)

    @property
    def reach_mm(self) -> float:
        """Nothing of the lesion is farther from its middle."""
        return max(
            0.8 * body.diameter_mm + float(np.linalg.norm(offset)) + 8
            for body, offset in zip(self.bodies, self.offsets, strict=True)
        )

    def paint(self, hu: Floats, x: Floats, y: Floats, z: float, blur_mm: float) -> Floats:
        """The picture hu with the lesion; x, y, z in mm from its middle."""
        painted = hu
        for body, (ox, oy, oz) in zip(self.bodies, self.offsets, strict=True):
            painted = paint_lesion(painted, x - ox, y - oy, z - oz, body, blur_mm)
        if not self.fade_mm:
            return painted
        kept = self.fade_left + (1 - self.fade_left) * np.clip(self._depth(x, y, z) / self.fade_mm, 0, 1)
        return hu + kept * (painted - hu)

    def contains(self, x: Floats, y: Floats, z: float) -> NDArray[np.bool_]:
        """Whether points, in mm from its middle, lie in the lesion."""
        return np.asarray(self._depth(x, y, z) >= 0)

    def _depth(self, x: Floats, y: Floats, z: float) -> Floats:
        """How far inside the lesion points lie in mm, along the line from its bodies' middles; negative outside."""
        depths = []
        for body, (ox, oy, oz) in zip(self.bodies, self.offsets, strict=True):
            px, py, pz = x - ox, y - oy, z - oz
            length = np.maximum(np.sqrt(px * px + py * py + pz * pz), 1e-6)
            depths.append(body.shape.radius(px / length, py / length, np.full_like(px, pz) / length) - length)
        return np.max(depths, axis=0)


def draw_any_lesion(rng: np.random.Generator, densities: ScanDensities) -> DrawnLesion:
    """One lesion of any look and size."""
    diameter = float(np.exp(rng.uniform(*np.log(DIAMETERS_MM))))
    if rng.random() < PHANTOM_SHARE:
        label, variant = str(rng.choice(DRAWN_CLASSES)), str(rng.choice(list(VARIANTS)))
        return DrawnLesion((draw_lesion(rng, label, diameter, densities, VARIANTS[variant]),), ((0.0, 0.0, 0.0),))
    first = _draw_varied(rng, diameter, densities)
    bodies, offsets = [first], [(0.0, 0.0, 0.0)]
    if rng.random() < LOBES_SHARE:
        smaller = diameter * rng.uniform(0.45, 0.9)
        second = replace(
            first, shape=draw_shape(rng, smaller, rng.uniform(0.02, 0.15)), diameter_mm=smaller, rim=None, core=None, spots=()
        )
        # Before the first, so that what the first has inside is not painted over.
        bodies.insert(0, second)
        offsets.insert(0, _away(rng, diameter * rng.uniform(0.2, 0.45), 0.4))
    if rng.random() < LAYERS_SHARE:
        for layer, offset in _draw_layers(rng, first, densities):
            bodies.append(layer)
            offsets.append(offset)
    fade_mm, left = _draw_fade(rng, first, densities) if rng.random() < FADE_SHARE else (0.0, 1.0)
    return DrawnLesion(tuple(bodies), tuple(offsets), fade_mm, left)


def _draw_fade(rng: np.random.Generator, first: SimulatedLesion, densities: ScanDensities) -> tuple[float, float]:
    """Over how many mm its contrast goes down, and to which share of it; a faint lesion does not fade."""
    left = rng.uniform(*FADE_LEFT_HU) / abs(first.body - densities.liver)
    return (rng.uniform(*FADE_REACH) * first.diameter_mm, left) if left < 0.75 else (0.0, 1.0)


def _away(rng: np.random.Generator, distance_mm: float, flat: float) -> tuple[float, float, float]:
    """A point so far from the middle, in any direction; flat: how much of it goes along z."""
    direction = rng.normal(size=3) * [1, 1, flat]
    x, y, z = (direction / np.linalg.norm(direction) * distance_mm).tolist()
    return x, y, z


def _draw_layers(
    rng: np.random.Generator, first: SimulatedLesion, densities: ScanDensities
) -> list[tuple[SimulatedLesion, tuple[float, float, float]]]:
    """Bodies in the first, each about in the one before, with their places. What sticks out of it belongs to the lesion, too."""
    layers, place, around = [], np.zeros(3), first
    for _ in range(int(rng.integers(1, MOST_LAYERS + 1))):
        share = rng.uniform(0.4, 0.92)
        diameter = around.diameter_mm * share
        if diameter < 4:
            break
        if rng.random() < CONCENTRIC_SHARE:
            shape, off = _scaled(around.shape, share), 0.15
        else:
            shape, off = draw_shape(rng, diameter, rng.uniform(0.02, 0.2)), 0.8
        place = place + _away(rng, rng.uniform(0, off) * (around.diameter_mm - diameter) / 2, 0.6)
        step = rng.uniform(LEAST_LAYER_HU, 70) * rng.choice([-1, 1])
        body = float(np.clip(around.body + step, -5, densities.liver + 80))
        layer = replace(
            around,
            shape=shape,
            diameter_mm=diameter,
            edge=float(np.clip(rng.uniform(0.2, 5.0), None, 0.12 * diameter)),
            body=body,
            inside=draw_waves(rng, 8, diameter / 8, diameter / 1.2),
            inside_sd=rng.uniform(0, 0.3) * min(abs(step), 40.0),
            spots=(),
            rim=None,
            core=None,
        )
        layers.append((layer, (float(place[0]), float(place[1]), float(place[2]))))
        around = layer
    return layers


def _scaled(shape: Shape, share: float) -> Shape:
    return replace(shape, axes=shape.axes / share)


def _draw_varied(rng: np.random.Generator, diameter: float, densities: ScanDensities) -> SimulatedLesion:
    low, high = CONTRAST_HU
    contrast = low * (high / low) ** rng.random()
    body = densities.liver + (-contrast if rng.random() < DARKER_SHARE else 0.75 * contrast)
    shape = draw_shape(rng, diameter, rng.uniform(0.01, 0.16))
    if rng.random() < ROUGH_SHARE:
        shape = _roughen(rng, shape)
    has_core = rng.random() < CORE_SHARE
    inside, inside_sd = draw_waves(rng, 8, diameter / 8, diameter / 1.2), rng.uniform(0.0, 0.35) * min(contrast, 60.0)
    if rng.random() < PATCHES_SHARE:
        inside, inside_sd = _draw_patches(rng, inside, body, densities), 1.0
    elif rng.random() < MOSAIC_SHARE:
        inside_sd = rng.uniform(*MOSAIC_SD)
    spots = []
    if rng.random() < SPOTS_SHARE:
        for _ in range(int(rng.integers(1, 6))):
            spots.append(
                Spot(
                    _away(rng, diameter / 2 * rng.uniform(0.2, 1.0), 0.5),
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
        inside=inside,
        inside_sd=inside_sd,
        spots=tuple(spots),
        rim=_draw_rim(rng, body, densities) if rng.random() < RIM_SHARE else None,
        rim_mm=float(np.clip(rng.uniform(0.03, 0.28) * diameter, 1.0, 16.0)),
        core=body + rng.uniform(-45, 30) if has_core else None,
        core_share=rng.uniform(0.3, 0.9) if has_core else 0.0,
    )


def _draw_patches(rng: np.random.Generator, field: Waves, body: float, densities: ScanDensities) -> Patches:
    """Tissues side by side, one of them at times like the liver."""
    n = int(rng.integers(2, MOST_PATCHES + 1))
    low, high = PATCHES_SD
    hu = np.clip(body + rng.normal(0, low * (high / low) ** rng.random(), n), -5, densities.liver + 80)
    if rng.random() < LIKE_LIVER_SHARE:
        hu[int(rng.integers(n))] = densities.liver + rng.normal(0, 4)
    limits = ndtri(np.sort(rng.uniform(0.15, 0.85, n - 1)))
    return Patches(field.vectors, field.phases, limits, hu - body, rng.uniform(*PATCHES_SOFT))


def _roughen(rng: np.random.Generator, shape: Shape) -> Shape:
    """The shape with as many finer bumps."""
    directions = rng.normal(size=shape.bumps.shape)
    directions *= rng.uniform(*ROUGH_BUMPS, size=(len(directions), 1)) / np.linalg.norm(directions, axis=1, keepdims=True)
    phases = np.concatenate([shape.phases, rng.uniform(0, 2 * np.pi, len(directions))])
    return replace(shape, bumps=np.concatenate([shape.bumps, directions]), phases=phases)


def _draw_rim(rng: np.random.Generator, body: float, densities: ScanDensities) -> float:
    """HU of a rim, near the body's or near the liver's, but never the liver's: nobody could say where such a lesion ends."""
    rim = body + rng.uniform(-20, 60) if rng.random() < 0.5 else densities.liver + rng.uniform(-50, 60)
    gap = rim - densities.liver
    return float(rim if abs(gap) >= LEAST_RIM_HU else densities.liver + np.copysign(LEAST_RIM_HU, gap))
