"""A lesion of each class: its parameters are drawn first and painted second, the same for ROIs and for full studies.

Looks after Frid-Adar et al. 2018, section II (cyst: water-like, sharp; metastasis: darker than liver, less well defined,
at times with vessels or calcifications; hemangioma: discontinuous nodules at the edge).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from lesionlabel.lesions.errors import UnknownClassError
from lesionlabel.phantom.parameters import LesionParameters
from lesionlabel.phantom.patient import ScanDensities
from lesionlabel.phantom.shape import Shape, draw_shape
from lesionlabel.phantom.texture import Waves, draw_waves

Floats = NDArray[np.floating[Any]]

#: Longest diameters in mm that are drawn, median and spread of the logarithm: the same for every class.
DIAMETER_RANGE = (11.0, 100.0)
DIAMETER_MEDIAN, DIAMETER_SPREAD = 26.0, 0.55
#: Softest edge (σ) as a share of the diameter, so that a small lesion keeps a middle.
EDGE_SHARE = 0.08
#: Hemangiomas below this fill often; above the other they have a dark central cleft.
FILLING_MM, CLEFT_MM = 15.0, 60.0
#: Nodules and veins of one scan differ by no more than this (HU).
NODULE_TO_VEIN = 15.0


@dataclass(frozen=True)
class Spot:
    """A ball inside a lesion, cut off at its outline. position: mm from the lesion's centre. radius, edge (σ): mm."""

    position: tuple[float, float, float]
    radius: float
    edge: float
    hu: float


@dataclass(frozen=True, eq=False)
class SimulatedLesion:
    """Everything that painting needs.

    body: HU. edge: σ of the outline in mm. rim: HU, or None; rim_mm: its thickness. core: HU of the necrotic middle, or
    None; core_share: its radius as a share of the outline's. cleft: HU of a dark central cleft, or None.
    """

    label: str
    diameter_mm: float
    shape: Shape
    edge: float
    body: float
    inside: Waves
    inside_sd: float
    spots: tuple[Spot, ...] = ()
    rim: float | None = None
    rim_mm: float = 0.0
    core: float | None = None
    core_share: float = 0.0
    cleft: float | None = None


def draw_diameter(rng: np.random.Generator) -> float:
    """The longest axial diameter in mm, a log-normal cut to DIAMETER_RANGE."""
    while True:
        diameter = DIAMETER_MEDIAN * float(np.exp(rng.normal(0, DIAMETER_SPREAD)))
        if DIAMETER_RANGE[0] <= diameter <= DIAMETER_RANGE[1]:
            return diameter


def draw_lesion(
    rng: np.random.Generator, label: str, diameter_mm: float, densities: ScanDensities, parameters: LesionParameters
) -> SimulatedLesion:
    """A lesion of the class called label, of that diameter, in a scan with those densities.

    Raises UnknownClassError for a class the phantom cannot draw.
    """
    try:
        draw = _DRAW[label]
    except KeyError:
        raise UnknownClassError(f"The phantom draws {', '.join(_DRAW)}; it has no class {label!r}.") from None
    return draw(rng, diameter_mm, densities, parameters)


def _body(rng: np.random.Generator, between: tuple[float, float], densities: ScanDensities, gap: float) -> float:
    return min(rng.uniform(*between), densities.liver - gap)


def _draw_cyst(
    rng: np.random.Generator, diameter_mm: float, _densities: ScanDensities, parameters: LesionParameters
) -> SimulatedLesion:
    return SimulatedLesion(
        label="cyst",
        diameter_mm=diameter_mm,
        shape=draw_shape(rng, diameter_mm, rng.uniform(0.01, 0.05)),
        edge=rng.uniform(0.1, 0.5),
        body=rng.uniform(*parameters.cyst),
        inside=draw_waves(rng, 6, diameter_mm / 4, diameter_mm),
        inside_sd=rng.uniform(0.0, 1.5),
    )


def _on_surface(
    rng: np.random.Generator, shape: Shape, depth_mm: float, flatness: float = 1.0
) -> tuple[tuple[float, float, float], float]:
    """A random place depth_mm below the surface, and its angle in the axial plane; flatness below 1 keeps it near that plane."""
    direction = rng.normal(size=3) * [1, 1, flatness]
    x, y, z = direction / np.linalg.norm(direction)
    reach = float(shape.radius(np.array([x]), np.array([y]), np.array([z]))[0]) - depth_mm
    return (x * reach, y * reach, z * reach), float(np.arctan2(y, x))


def _draw_metastasis(
    rng: np.random.Generator, diameter_mm: float, densities: ScanDensities, parameters: LesionParameters
) -> SimulatedLesion:
    shape = draw_shape(rng, diameter_mm, rng.uniform(0.03, 0.10))
    body = _body(rng, parameters.body, densities, parameters.body_gap)
    kind = rng.random()
    core, core_share = None, 0.0
    inside_sd = rng.uniform(*parameters.heterogeneity)
    if kind < parameters.necrotic_share:
        core, core_share = rng.uniform(20, 40), rng.uniform(*parameters.core_share)
    elif kind < parameters.necrotic_share + parameters.hypervascular_share:
        body = rng.uniform(105, 150)
        inside_sd = rng.uniform(8, 18)
    spots: list[Spot] = []
    if rng.random() < parameters.vessel_share:
        for _ in range(rng.integers(parameters.vessels[0], parameters.vessels[1] + 1)):
            radius = float(np.clip(rng.uniform(*parameters.vessel_size) * diameter_mm, 1.2, 8.0))
            place, _angle = _on_surface(rng, shape, radius * rng.uniform(*parameters.vessel_depth), 0.5)
            spots.append(Spot(place, radius, rng.uniform(0.3, 1.0), densities.veins + rng.uniform(-25, 8)))
    if rng.random() < parameters.calcified_share:
        for _ in range(rng.integers(2, 7)):
            radius = rng.uniform(0.8, 1.8)
            place, _angle = _on_surface(rng, shape, rng.uniform(0.1, 0.45) * diameter_mm, 0.5)
            spots.append(Spot(place, radius, 0.2, rng.uniform(180, 380)))
    has_rim = rng.random() < parameters.rim_share
    return SimulatedLesion(
        label="metastasis",
        diameter_mm=diameter_mm,
        shape=shape,
        edge=float(np.clip(rng.uniform(*parameters.metastasis_edge), None, EDGE_SHARE * diameter_mm)),
        body=body,
        inside=draw_waves(rng, 8, diameter_mm / 6, diameter_mm / 1.5),
        inside_sd=inside_sd,
        spots=tuple(spots),
        rim=max(body + 15, densities.liver + rng.uniform(*parameters.rim)) if has_rim else None,
        rim_mm=float(np.clip(rng.uniform(0.05, 0.12) * diameter_mm, 1.2, 5.0)),
        core=core,
        core_share=core_share,
    )


def _draw_hemangioma(
    rng: np.random.Generator, diameter_mm: float, densities: ScanDensities, parameters: LesionParameters
) -> SimulatedLesion:
    shape = draw_shape(rng, diameter_mm, rng.uniform(0.03, 0.10))
    filled = rng.random() < parameters.filled_share[0 if diameter_mm < FILLING_MM else 1]
    body = _body(rng, parameters.hemangioma_body, densities, parameters.body_gap)
    spots: list[Spot] = []
    if filled:
        body = densities.veins + rng.uniform(-NODULE_TO_VEIN, 0.5 * NODULE_TO_VEIN)
    else:
        taken: list[float] = []
        for _ in range(rng.integers(parameters.nodules[0], parameters.nodules[1] + 1)):
            radius = float(max(rng.uniform(*parameters.nodule_size) * diameter_mm, 1.3))
            place, angle = _on_surface(rng, shape, radius * rng.uniform(*parameters.nodule_depth), 0.4)
            hu = densities.veins + rng.uniform(-NODULE_TO_VEIN, NODULE_TO_VEIN)
            spots.append(Spot(place, radius, rng.uniform(0.3, 1.0), hu))
            taken.append(angle)
        spots = _keep_discontinuous(spots, taken, diameter_mm)
    return SimulatedLesion(
        label="hemangioma",
        diameter_mm=diameter_mm,
        shape=shape,
        edge=float(np.clip(rng.uniform(*parameters.hemangioma_edge), None, EDGE_SHARE * diameter_mm)),
        body=body,
        inside=draw_waves(rng, 8, diameter_mm / 6, diameter_mm / 1.5),
        inside_sd=rng.uniform(*parameters.heterogeneity),
        spots=tuple(spots),
        cleft=rng.uniform(15, 38) if diameter_mm > CLEFT_MM and not filled else None,
    )


def _keep_discontinuous(spots: list[Spot], angles: list[float], diameter_mm: float) -> list[Spot]:
    """Drop nodules until a gap of at least 60° stays open in the axial plane."""
    while len(spots) > 1:
        order = np.argsort(angles)
        starts = np.array(angles)[order]
        reach = np.array([np.arcsin(min(1.0, spots[i].radius / (0.45 * diameter_mm))) for i in order])
        gaps = np.roll(starts - reach, -1) - (starts + reach)
        gaps[-1] += 2 * np.pi
        if gaps.max() >= np.pi / 3:
            break
        spots, angles = spots[:-1], angles[:-1]
    return spots


_DRAW: dict[str, Callable[[np.random.Generator, float, ScanDensities, LesionParameters], SimulatedLesion]] = {
    "cyst": _draw_cyst,
    "metastasis": _draw_metastasis,
    "hemangioma": _draw_hemangioma,
}
DRAWN_CLASSES = tuple(_DRAW)


def paint_lesion(hu: Floats, x: Floats, y: Floats, z: float, lesion: SimulatedLesion, blur_mm: float) -> Floats:
    """The picture hu with the lesion in it.

    hu, x, y: arrays of one shape; x, y, z: mm from the lesion's centre. blur_mm: σ of the scanner's own edges.
    """
    length = np.maximum(np.sqrt(x * x + y * y + z * z), 1e-6)
    surface = lesion.shape.radius(x / length, y / length, z / length)
    depth = surface - length
    inside = np.full_like(x, lesion.body) + lesion.inside_sd * lesion.inside(x, y, z)
    if lesion.core is not None:
        soft = 0.06 * lesion.diameter_mm + blur_mm
        inside += (lesion.core - lesion.body) * ndtr((lesion.core_share * surface - length) / soft)
    if lesion.cleft is not None:
        inside += (lesion.cleft - inside) * _cleft(x, y, z, lesion, blur_mm)
    if lesion.rim is not None:
        inside += (lesion.rim - lesion.body) * ndtr((lesion.rim_mm - depth) / float(np.hypot(0.5, blur_mm)))
    cover = ndtr(depth / float(np.hypot(lesion.edge, blur_mm)))
    painted = hu + cover * (inside - hu)
    for spot in lesion.spots:
        px, py, pz = spot.position
        if abs(z - pz) > spot.radius + 4 * (spot.edge + blur_mm):
            continue
        distance = np.sqrt((x - px) ** 2 + (y - py) ** 2 + (z - pz) ** 2)
        painted += cover * (spot.hu - painted) * ndtr((spot.radius - distance) / float(np.hypot(spot.edge, blur_mm)))
    return painted


def _cleft(x: Floats, y: Floats, z: float, lesion: SimulatedLesion, blur_mm: float) -> Floats:
    """How much of each point is the central cleft: a thin bent sheet through the middle, in [0, 1]."""
    bend = 0.06 * lesion.diameter_mm
    across = x + bend * np.sin(y / (0.14 * lesion.diameter_mm))
    length = np.sqrt((y / 0.26) ** 2 + (z / 0.3) ** 2) / lesion.diameter_mm
    width = 0.05 * lesion.diameter_mm * np.clip(1.0 - length, 0.0, None)
    return ndtr((width - np.abs(across)) / max(blur_mm, 1.0)) * (length < 1)
