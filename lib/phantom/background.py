"""The liver around a lesion, for ROIs without a whole abdomen: parenchyma, vessels, at times the organ's edge. No class here."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from lesionlabel.phantom.patient import ScanDensities
from lesionlabel.phantom.texture import Waves, draw_waves
from lesionlabel.phantom.tubes import Tube, draw_tube, paint_tubes

Floats = NDArray[np.floating[Any]]

#: SD in HU of the liver's own texture, and its wavelengths in mm.
PARENCHYMA_SD = 4.0
PARENCHYMA_MM = (5.0, 28.0)
#: One vessel for each so many mm² of a slice.
MM2_PER_VESSEL = 420.0
#: Mean distance in mm from a lesion's edge to the liver's, and how often there is a second edge.
EDGE_GAP_MM = 22.0
SECOND_EDGE = 0.45


@dataclass(frozen=True)
class OrganEdge:
    """Where the liver ends: a curved border, then a layer, then another organ.

    angle: towards the border, in the slice. distance: mm from the lesion's centre. bend: radius of curvature in mm, positive
    where the liver is convex. tilt: mm that the border moves per mm of z. layer_mm, layer: thickness and HU of what lies between.
    """

    angle: float
    distance: float
    bend: float
    tilt: float
    layer_mm: float
    layer: float
    beyond: float


@dataclass(frozen=True, eq=False)
class Background:
    densities: ScanDensities
    parenchyma: Waves
    vessels: tuple[Tube, ...]
    edges: tuple[OrganEdge, ...]


def draw_background(rng: np.random.Generator, densities: ScanDensities, diameter_mm: float, half_mm: float) -> Background:
    """The surroundings of a lesion of that diameter, in a square of 2 · half_mm around it."""
    n_vessels = int(rng.poisson((2 * half_mm) ** 2 / MM2_PER_VESSEL))
    vessels = []
    for _ in range(n_vessels):
        start = np.array([*rng.uniform(-1.1 * half_mm, 1.1 * half_mm, size=2), rng.uniform(-12, 12)])
        radius = float(np.clip(1.6 * np.exp(rng.normal(0, 0.5)), 0.7, 6.5))
        hu = densities.veins + rng.normal(0, 4)
        vessels.extend(draw_tube(rng, start, radius, hu))
    edges = [_draw_edge(rng, densities, diameter_mm) for _ in range(1 + int(rng.random() < SECOND_EDGE))]
    return Background(densities, draw_waves(rng, 10, *PARENCHYMA_MM), tuple(vessels), tuple(edges))


def _draw_edge(rng: np.random.Generator, densities: ScanDensities, diameter_mm: float) -> OrganEdge:
    fat = densities.fat
    layer_mm, layer, beyond = (
        (2.5, densities.muscle, densities.lung),
        (rng.uniform(0.5, 4.0), fat, densities.muscle),
        (rng.uniform(3.0, 25.0), fat, densities.kidney),
        (rng.uniform(1.0, 12.0), fat, densities.stomach),
        (rng.uniform(1.0, 10.0), fat, densities.bowel),
        (1.5, densities.muscle, densities.gallbladder),
        (10.0, fat, fat),
    )[rng.choice(7, p=[0.2, 0.3, 0.1, 0.1, 0.08, 0.08, 0.14])]
    return OrganEdge(
        angle=rng.uniform(0, 2 * np.pi),
        distance=diameter_mm / 2 + rng.exponential(EDGE_GAP_MM) + 1.0,
        bend=rng.uniform(60, 160) * (1 if rng.random() < 0.75 else -1),
        tilt=rng.normal(0, 0.6),
        layer_mm=layer_mm,
        layer=layer,
        beyond=beyond,
    )


def paint_background(x: Floats, y: Floats, z: float, background: Background, tissue: Floats | None = None) -> Floats:
    """HU without noise at points in mm from the lesion's centre, z the same for all.

    tissue: the parenchyma's field where it is known already, as for a second plane in the same slice.
    """
    densities = background.densities
    blur = densities.edge_mm
    hu = densities.liver + PARENCHYMA_SD * (background.parenchyma(x, y, z) if tissue is None else tissue)
    hu = paint_tubes(hu, x, y, z, background.vessels, blur)
    for edge in background.edges:
        along = np.cos(edge.angle) * x + np.sin(edge.angle) * y
        across = -np.sin(edge.angle) * x + np.cos(edge.angle) * y
        outside = along - edge.distance - edge.tilt * z + across**2 / (2 * edge.bend)
        hu += (edge.layer - hu) * ndtr(outside / blur)
        hu += (edge.beyond - hu) * ndtr((outside - edge.layer_mm) / blur)
    return hu
