"""Stress sets for the warning "unlike anything curated": what is no lesion of the classes, or no portal-venous CT in HU.

All of it is simulated. The phantom can make the sets below. It cannot make MR, nor any real scanner's arterial or unenhanced
phase: those two are the same anatomy painted with other organs' HU, not a simulation of how contrast spreads.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from lesionlabel.lesions.cohort import Cohort
from lesionlabel.lesions.roi import Context, context_half_width
from lesionlabel.phantom.abdomen import Abdomen, draw_abdomen, liver_depth, paint_slice
from lesionlabel.phantom.cohort import make_cohort
from lesionlabel.phantom.lesions import SimulatedLesion, draw_diameter, draw_lesion, paint_lesion
from lesionlabel.phantom.parameters import VARIANTS
from lesionlabel.phantom.patient import ScanDensities, draw_densities
from lesionlabel.phantom.presets import PRESETS
from lesionlabel.phantom.shape import draw_shape
from lesionlabel.phantom.texture import draw_noise, draw_noise_level, draw_waves

Point = NDArray[np.float64]

PRESET = PRESETS["sharp"]
#: HU of organs in other phases; those not named stay as drawn.
ARTERIAL = {"aorta": 330.0, "veins": 70.0, "cava": 70.0, "liver": 66.0, "kidney": 190.0, "spleen": 130.0, "pancreas": 110.0}
UNENHANCED = {"aorta": 42.0, "veins": 42.0, "cava": 42.0, "liver": 58.0, "kidney": 32.0, "spleen": 48.0, "pancreas": 40.0}
#: Where points in the liver are tried (x, y, z in mm of the trunk), and how deep they lie at least.
LIVER_MM, DEEP_MM = ((-150.0, 90.0), (-105.0, 105.0), (-70.0, 80.0)), 8.0
#: From any place in the trunk to beyond its skin.
TRUNK_MM = 260.0


def lesions(count: int, seed: int) -> Cohort:
    """Lesions as the starter was trained on, of other patients: what the warning must be quiet about."""
    third = count // 3
    return make_cohort({"cyst": third, "metastasis": third, "hemangioma": count - 2 * third}, seed)


def stress_sets(count: int, seed: int) -> Iterator[tuple[str, list[Context]]]:
    """Name and contexts of each stress set, count of each."""
    drawn: dict[str, Callable[[np.random.Generator], Context]] = {
        "normal liver": _normal_liver,
        "vessel in the liver": _vessel,
        "gallbladder": _gallbladder,
        "kidney cyst": _kidney_cyst,
        "focal fat sparing": _fat_sparing,
        "lesion in the arterial phase": lambda rng: _other_phase(rng, ARTERIAL),
        "lesion without contrast": lambda rng: _other_phase(rng, UNENHANCED),
    }
    for number, (name, draw) in enumerate(drawn.items()):
        yield name, [draw(np.random.default_rng([seed, number, n])) for n in range(count)]
    usual = [lesion.context for lesion in lesions(count, seed + 1)]
    yield "wrong window: 8-bit grey (-160 to 240 HU) for HU", [replace(one, hu=_grey(one.hu)) for one in usual]
    yield "wrong window: HU + 1024", [replace(one, hu=one.hu + np.float32(1024)) for one in usual]


def _grey(hu: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.rint(np.clip((hu + 160) / 400, 0, 1) * 255).astype(np.float32)


def _normal_liver(rng: np.random.Generator) -> Context:
    abdomen = draw_abdomen(rng, draw_densities(rng, PRESET))
    return _picture(rng, abdomen, _in_liver(rng, abdomen), draw_diameter(rng))


def _vessel(rng: np.random.Generator) -> Context:
    abdomen = draw_abdomen(rng, draw_densities(rng, PRESET))
    wide = [(tube.points[i], r) for tube in abdomen.vessels.hepatic for i, r in enumerate(tube.radii) if r >= 3.5]
    inside = [(p, r) for p, r in wide if _depth(abdomen, p) > DEEP_MM] or wide
    place, radius = inside[int(rng.integers(len(inside)))]
    return _picture(rng, abdomen, place, max(10.0, 2 * radius * rng.uniform(1.0, 1.6)))


def _gallbladder(rng: np.random.Generator) -> Context:
    abdomen = draw_abdomen(rng, draw_densities(rng, PRESET))
    centre, radii = abdomen.viscera.gallbladder
    return _picture(rng, abdomen, np.array(centre), 2 * max(radii[:2]) * rng.uniform(0.9, 1.1))


def _kidney_cyst(rng: np.random.Generator) -> Context:
    abdomen = draw_abdomen(rng, draw_densities(rng, PRESET))
    centre, radii = abdomen.viscera.kidneys[0]
    angle, diameter = rng.uniform(np.pi / 2, 1.5 * np.pi), rng.uniform(12, 40)
    aside = np.array([radii[0] * np.cos(angle), radii[1] * np.sin(angle), rng.uniform(-15, 15)])
    place = np.asarray(centre, dtype=np.float64) + aside
    return _picture(rng, abdomen, place, diameter, draw_lesion(rng, "cyst", diameter, abdomen.densities, VARIANTS["calibrated"]))


def _fat_sparing(rng: np.random.Generator) -> Context:
    """A soft-edged spot of unfatty liver in a fatty one."""
    densities = replace(draw_densities(rng, PRESET), liver=rng.uniform(55, 75))
    abdomen, diameter = draw_abdomen(rng, densities), rng.uniform(12, 40)
    spared = SimulatedLesion(
        label="",
        diameter_mm=diameter,
        shape=draw_shape(rng, diameter, rng.uniform(0.08, 0.16)),
        edge=rng.uniform(1.5, 4.0),
        body=rng.uniform(95, 112),
        inside=draw_waves(rng, 8, diameter / 6, diameter / 1.5),
        inside_sd=4.0,
    )
    return _picture(rng, abdomen, _in_liver(rng, abdomen), diameter, spared)


def _other_phase(rng: np.random.Generator, organs: dict[str, float]) -> Context:
    densities: ScanDensities = replace(draw_densities(rng, PRESET), **organs)
    abdomen, diameter = draw_abdomen(rng, densities), draw_diameter(rng)
    label = ("cyst", "metastasis", "hemangioma")[int(rng.integers(3))]
    lesion = draw_lesion(rng, label, diameter, densities, VARIANTS["calibrated"])
    return _picture(rng, abdomen, _in_liver(rng, abdomen), diameter, lesion)


def _depth(abdomen: Abdomen, place: Point) -> float:
    return float(liver_depth(place[:1, None], place[1:2, None], float(place[2]), abdomen)[0, 0])


def _in_liver(rng: np.random.Generator, abdomen: Abdomen) -> Point:
    while True:
        place = np.array([rng.uniform(*axis) for axis in LIVER_MM])
        if _depth(abdomen, place) > DEEP_MM:
            return place


def _picture(
    rng: np.random.Generator, abdomen: Abdomen, place: Point, diameter_mm: float, lesion: SimulatedLesion | None = None
) -> Context:
    """The slice around place with the phantom's noise, as a lesion of that diameter there would be cut."""
    diameter_px = diameter_mm / PRESET.pixel_mm
    half = context_half_width(diameter_px)
    # The phantom paints whole slices: one on a grid through the place, so wide that the picture lies in it.
    reach = half + int(TRUNK_MM / PRESET.pixel_mm)
    along = np.arange(-reach, reach + 1) * PRESET.pixel_mm
    near = slice(reach - half, reach + half + 1)
    x, y = np.meshgrid(place[0] + along, place[1] + along)
    hu = paint_slice(x, y, float(place[2]), abdomen).hu[near, near]
    x, y = x[near, near], y[near, near]
    if lesion is not None:
        hu = paint_lesion(hu, x - place[0], y - place[1], 0.0, lesion, abdomen.densities.edge_mm)
    level = draw_noise_level(rng, abdomen.densities.noise_sd)
    hu += draw_noise(rng, len(x), len(x), PRESET) * level.on_grid(x, y, float(place[2]))
    return Context(np.rint(np.clip(hu, -1024, 3071)).astype(np.float32), (float(half), float(half)), diameter_px, PRESET.pixel_mm)
