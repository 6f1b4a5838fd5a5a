"""Where lesions lie in a simulated liver: anywhere in it, whatever their class."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lesionlabel.phantom.abdomen import Abdomen, liver_depth
from lesionlabel.phantom.cohort import PAPER_COUNTS
from lesionlabel.phantom.lesions import DIAMETER_RANGE, SimulatedLesion, draw_diameter, draw_lesion
from lesionlabel.phantom.parameters import LesionParameters

#: Distance in mm of the points that are tried, and the box of the trunk in which they lie (x, y, z).
STEP_MM = 5.0
BOX_MM = ((-150, 90), (-105, 105), (-75, 84))
#: How much of its radius a lesion's centre lies inside the liver, and the least gap in mm between two lesions.
DEPTH_SHARE = 0.9
GAP_MM = 6.0
#: Lesions per patient and how often.
LESIONS = ((1, 0.55), (2, 0.35), (3, 0.10))
#: How often a further lesion is of the same class as the first.
SAME_CLASS = 0.6


@dataclass(frozen=True, eq=False)
class PlacedLesion:
    """lesion, and its centre in mm in the trunk."""

    lesion: SimulatedLesion
    centre: NDArray[np.float64]


def draw_lesions(rng: np.random.Generator, abdomen: Abdomen, parameters: LesionParameters) -> list[PlacedLesion]:
    """One patient's lesions. One that does not fit into the liver is drawn as large as it fits."""
    points, depths = _tried_points(abdomen)
    names, numbers = list(PAPER_COUNTS), np.array(list(PAPER_COUNTS.values()), dtype=np.float64)
    counts, shares = zip(*LESIONS, strict=True)
    placed: list[PlacedLesion] = []
    for _ in range(int(rng.choice(counts, p=shares))):
        if placed and rng.random() < SAME_CLASS:
            label = placed[0].lesion.label
        else:
            label = str(rng.choice(names, p=numbers / numbers.sum()))
        free = depths.copy()
        for other in placed:
            gap = np.linalg.norm(points - other.centre, axis=1) - other.lesion.diameter_mm / 2 - GAP_MM
            free = np.minimum(free, gap)
        diameter = min(draw_diameter(rng), 2 * float(free.max()) / DEPTH_SHARE * 0.98)
        if diameter < DIAMETER_RANGE[0]:
            break
        fits = np.flatnonzero(free >= DEPTH_SHARE * diameter / 2)
        centre = points[int(rng.choice(fits))] + rng.uniform(-0.5, 0.5, size=3)
        placed.append(PlacedLesion(draw_lesion(rng, label, diameter, abdomen.densities, parameters), centre))
    return placed


def _tried_points(abdomen: Abdomen) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    axes = [np.arange(low, high + 1e-6, STEP_MM) for low, high in BOX_MM]
    x, y = np.meshgrid(axes[0], axes[1])
    depths = np.concatenate([liver_depth(x, y, float(z), abdomen).ravel() for z in axes[2]])
    points = np.concatenate([np.stack([x.ravel(), y.ravel(), np.full(x.size, z)], axis=1) for z in axes[2]])
    inside = depths > 0
    return points[inside], depths[inside].astype(np.float64)
