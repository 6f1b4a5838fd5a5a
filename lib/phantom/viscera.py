"""The organs around the liver: spleen, kidneys, stomach, gallbladder, pancreas, colon, bowel, heart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr

from lesionlabel.phantom.patient import ScanDensities
from lesionlabel.phantom.solids import Chain, Point, common, ellipsoid, joined, put, smooth_path
from lesionlabel.phantom.texture import Waves, draw_waves

Floats = NDArray[np.floating[Any]]

GAS_HU = -950.0


@dataclass(frozen=True, eq=False)
class Viscera:
    """Where the organs lie. Solids are (centre, radii) in mm; gas_level: y in mm above which the stomach holds gas."""

    spleen: tuple[Point, Point]
    kidneys: tuple[tuple[Point, Point], tuple[Point, Point]]
    fundus: tuple[Point, Point]
    corpus: tuple[Point, Point]
    antrum: Chain
    gas_level: float
    gallbladder: tuple[Point, Point]
    pancreas: Chain
    duodenum: Chain
    colon: Chain
    bowel: tuple[Chain, ...]
    psoas: tuple[Chain, Chain]
    crura: tuple[Chain, ...]
    adrenals: tuple[Chain, ...]
    oesophagus: Chain
    heart: tuple[Point, Point]
    stool: Waves


def draw_viscera(rng: np.random.Generator, spine: tuple[float, float], scale: float) -> Viscera:
    sx, sy = spine

    def near(x: float, y: float, z: float, spread: float = 3.0) -> Point:
        a, b, c = (np.array([x * scale, y, z]) + rng.normal(0, spread, size=3)).tolist()
        return a, b, c

    def rod(points: ArrayLike, radius: float, wobble: float = 0.0, spread: float = 1.5) -> Chain:
        curve = smooth_path(np.asarray(points, dtype=np.float64) * [scale, 1, 1], 6)
        curve = curve + rng.normal(0, spread, size=curve.shape)
        return Chain(curve, radius * (1 + wobble * rng.uniform(-1, 1, size=len(curve))))

    kidney = (rng.uniform(25, 29), rng.uniform(25, 29), rng.uniform(50, 58))
    loops = []
    for _ in range(7):
        start = np.array([rng.uniform(-20, 90), rng.uniform(-62, -10), rng.uniform(-118, -66)])
        points = start + np.cumsum(rng.normal(0, 16, size=(4, 3)) * [1, 1, 0.5], axis=0)
        loops.append(rod(points, rng.uniform(9, 13), 0.12))
    return Viscera(
        spleen=(near(104, 30, 24), (rng.uniform(30, 40), rng.uniform(48, 58), rng.uniform(44, 56))),
        kidneys=((near(-62, sy + 2, -66), kidney), (near(64, sy, -50), kidney)),
        fundus=(near(58, 12, 48), (rng.uniform(28, 36), rng.uniform(32, 38), 36.0)),
        corpus=(near(56, -26, 8), (rng.uniform(22, 32), rng.uniform(24, 32), 50.0)),
        antrum=rod([[50, -40, -18], [22, -52, -38], [-8, -44, -36], [-26, -36, -32]], 14.0, 0.08, 0.5),
        gas_level=rng.uniform(-46, -14),
        gallbladder=(near(-50, -50, -42), (rng.uniform(13, 19), rng.uniform(16, 25), rng.uniform(24, 32))),
        pancreas=rod([[-34, -8, -66], [-26, -10, -48], [-4, -12, -38], [24, -4, -28], [54, 12, -10], [82, 20, 4]], 10.5, 0.22),
        duodenum=rod([[-28, -34, -34], [-46, -18, -44], [-50, -2, -74], [-36, 2, -100], [10, 4, -104]], 11.5, 0.1),
        colon=rod(
            [
                [-98, 0, -128],
                [-96, -10, -84],
                [-70, -62, -74],
                [-20, -78, -92],
                [40, -76, -70],
                [84, -56, -26],
                [104, -8, -16],
                [108, 26, -60],
                [106, 30, -128],
            ],
            17.0,
            0.2,
        ),
        bowel=tuple(loops),
        psoas=(
            Chain(np.array([[sx - 26.0, sy + 6, -10], [sx - 36, sy + 4, -70], [sx - 44, sy, -130]]), np.array([3.0, 14, 22])),
            Chain(np.array([[sx + 26.0, sy + 6, -10], [sx + 36, sy + 4, -70], [sx + 44, sy, -130]]), np.array([3.0, 14, 22])),
        ),
        crura=(
            Chain(
                np.array([[sx - 6.0, sy - 18, -80], [sx - 10, sy - 24, -20], [sx - 8, sy - 40, 40]]), np.array([4.0, 6.5, 4.0])
            ),
            Chain(
                np.array([[sx + 20.0, sy - 14, -70], [sx + 23, sy - 20, -10], [sx + 18, sy - 38, 40]]), np.array([3.5, 5.0, 4.0])
            ),
        ),
        adrenals=tuple(
            Chain(
                np.array([[side * 30.0, sy - 18, -2], [side * 36, sy - 4, -8], [side * 42, sy + 6, -14]]),
                np.array([2.8, 2.4, 1.8]),
            )
            for side in (-1, 1)
        ),
        oesophagus=Chain(np.array([[sx + 10.0, sy - 44, 120], [sx + 14, sy - 46, 75], [34, 0, 52]]), np.array([8.0, 8.5, 9.0])),
        heart=(near(24, -44, 130), (74.0, 58.0, 58.0)),
        stool=draw_waves(rng, 10, 7, 30),
    )


def paint_behind_liver(
    hu: Floats, x: Floats, y: Floats, z: float, viscera: Viscera, densities: ScanDensities, room: Floats
) -> Floats:
    """The organs that the liver lies in front of, or that it pushes aside. room: depth in the abdominal cavity in mm."""
    blur = densities.edge_mm
    spleen = common(ellipsoid(x, y, z, *viscera.spleen), room, 4)
    (cx, cy, cz), (a, b, c) = viscera.fundus
    spleen = common(spleen, -ellipsoid(x, y, z, (cx + 2, cy - 2, cz - 24), (a + 6, b + 8, c + 26)), 5)
    for chain in viscera.psoas:
        hu = put(hu, chain.depth(x, y, z), densities.muscle, blur)
    for centre, radii in viscera.kidneys:
        hu = _paint_kidney(hu, x, y, z, centre, radii, densities)
    for chain in viscera.adrenals:
        hu = put(hu, chain.depth(x, y, z), 85.0, blur)
    for loop in viscera.bowel:
        depth = loop.depth(x, y, z)
        hu = put(put(hu, common(depth, room, 2), 88.0, blur), depth - 2.8, densities.bowel, blur)
    hu = _paint_colon(hu, x, y, z, viscera, densities, room)
    hu = put(hu, spleen, densities.spleen, blur)
    stomach = joined(ellipsoid(x, y, z, *viscera.fundus), ellipsoid(x, y, z, *viscera.corpus), 22)
    stomach = common(joined(stomach, viscera.antrum.depth(x, y, z), 8), room, 4)
    contents = densities.stomach + ndtr((viscera.gas_level - y) / blur) * (GAS_HU - densities.stomach)
    hu = put(put(hu, stomach, 72.0, blur), stomach - 4.2, contents, blur)
    hu = put(hu, viscera.oesophagus.depth(x, y, z), 58.0, blur)
    duodenum = viscera.duodenum.depth(x, y, z)
    hu = put(put(hu, duodenum, 80.0, blur), duodenum - 2.5, densities.bowel, blur)
    return put(hu, common(viscera.pancreas.depth(x, y, z), room, 2), densities.pancreas, blur)


def _paint_kidney(hu: Floats, x: Floats, y: Floats, z: float, centre: Point, radii: Point, densities: ScanDensities) -> Floats:
    cx, cy, cz = centre
    inward = -1.0 if cx > 0 else 1.0
    # Kidneys lean with the psoas: upper poles nearer to the spine.
    lean = 0.16 * inward * (z - cz)
    px = x - lean
    depth = ellipsoid(px, y, z, centre, radii)
    sinus = ellipsoid(px, y, z, (cx + 0.62 * inward * radii[0], cy - 6, cz), (0.62 * radii[0], 0.36 * radii[1], 0.46 * radii[2]))
    depth = common(depth, 1.5 - sinus, 3)
    blur = densities.edge_mm
    hu = put(hu, depth, densities.kidney, blur)
    around = np.arctan2(y - cy, px - cx) * 5 + z * 0.16
    pyramids = depth - 6.5 - 2.5 * np.cos(around)
    hu = put(hu, pyramids, densities.kidney - 32, 1.4)
    pelvis = ellipsoid(px, y, z, (cx + 0.5 * inward * radii[0], cy - 5, cz), (0.4 * radii[0], 0.14 * radii[1], 0.22 * radii[2]))
    return put(hu, pelvis, 20.0, blur)


def _paint_colon(hu: Floats, x: Floats, y: Floats, z: float, viscera: Viscera, densities: ScanDensities, room: Floats) -> Floats:
    depth = common(viscera.colon.depth(x, y, z), room, 2)
    if float(depth.max()) < -4:
        return hu
    blur = densities.edge_mm
    mottled = viscera.stool(x, y, z)
    filling = np.where(mottled > 0.55, -620.0, densities.bowel - 25 + 18 * mottled)
    return put(put(hu, depth, 62.0, blur), depth - 2.2, filling, blur)


def paint_before_liver(
    hu: Floats, x: Floats, y: Floats, z: float, viscera: Viscera, densities: ScanDensities, room: Floats
) -> Floats:
    """The gallbladder, which lies in its fossa, and the crura."""
    blur = densities.edge_mm
    sac = common(ellipsoid(x, y, z, *viscera.gallbladder), room, 3)
    hu = put(put(hu, sac, 60.0, blur), sac - 1.4, densities.gallbladder, blur)
    for chain in viscera.crura:
        hu = put(hu, chain.depth(x, y, z), densities.muscle, blur)
    return hu


def paint_heart(hu: Floats, x: Floats, y: Floats, z: float, viscera: Viscera, densities: ScanDensities, chest: Floats) -> Floats:
    """The heart on its bed of fat. chest: depth in mm in the space above the diaphragm."""
    sac = common(ellipsoid(x, y, z, *viscera.heart), chest, 6)
    blur = densities.edge_mm
    hu = put(hu, sac + 4.0, densities.fat, blur)
    hu = put(hu, sac, 112.0, blur)
    return put(hu, sac - 9.0, densities.aorta - 6, 1.6)
