"""A cohort of simulated lesions as ROIs with their contexts, in seconds, without a whole abdomen around each.

A result on simulated lesions says nothing about patients.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from lesionlabel.lesions.classes import DEFAULT_CLASSES
from lesionlabel.lesions.cohort import Cohort, CohortLesion
from lesionlabel.lesions.errors import InputError, UnknownClassError
from lesionlabel.lesions.lesion import Proof
from lesionlabel.lesions.roi import Context, context_half_width
from lesionlabel.phantom.background import draw_background, paint_background
from lesionlabel.phantom.lesions import DRAWN_CLASSES, draw_diameter, draw_lesion, paint_lesion
from lesionlabel.phantom.parameters import VARIANTS, LesionParameters
from lesionlabel.phantom.patient import ScanDensities, draw_densities
from lesionlabel.phantom.presets import Preset, find_preset
from lesionlabel.phantom.randomness import LESION, PATIENT, stream
from lesionlabel.phantom.reader import draw_contour, pick_slice
from lesionlabel.phantom.shape import outline_diameter
from lesionlabel.phantom.texture import draw_noise, draw_noise_level

#: The paper's cohort.
PAPER_COUNTS = {"cyst": 53, "metastasis": 64, "hemangioma": 65}
#: Smallest and largest diameter in mm of the paper's lesions.
DIAMETERS_MM = (10.0, 102.0)
#: Share of patients with two lesions instead of one.
TWO_LESIONS = 0.4


def make_cohort(
    counts: Mapping[str, int] | None = None,
    seed: int = 0,
    preset: str = "sharp",
    parameters: LesionParameters = VARIANTS["calibrated"],
) -> Cohort:
    """Simulated lesions, counts[class] of each, the paper's numbers if None, in patients of one or two lesions.

    Lesion n of a class is the same for a seed whatever the counts. Raises InputError for a bad count or preset,
    UnknownClassError for a class that the phantom cannot draw.
    """
    wanted = dict(PAPER_COUNTS if counts is None else counts)
    strange = sorted(set(wanted) - set(DRAWN_CLASSES))
    if strange:
        raise UnknownClassError(f"The phantom draws {', '.join(DRAWN_CLASSES)}; it has no class {strange[0]!r}.")
    for name, count in wanted.items():
        if count < 0:
            raise InputError(f"The number of lesions of class {name} must not be negative, got {count}.")
    if seed < 0:
        raise InputError(f"A seed must be 0 or more, got {seed}.")
    scanner = find_preset(preset)
    lesions: list[CohortLesion] = []
    for position, label in enumerate(DRAWN_CLASSES):
        made, patient = 0, 0
        while made < wanted.get(label, 0):
            rng = stream(seed, PATIENT, position, patient)
            densities = draw_densities(rng, scanner)
            for _ in range(min(1 + int(rng.random() < TWO_LESIONS), wanted[label] - made)):
                lesions.append(
                    CohortLesion(
                        lesion_id=f"phantom-{seed}-{label}-{made:05d}",
                        patient=f"phantom-{seed}-{position}-{patient:05d}",
                        label=label,
                        context=_draw_context(stream(seed, LESION, position, made), label, densities, scanner, parameters),
                        proof=Proof.PATHOLOGY,
                        saw_model=False,
                    )
                )
                made += 1
            patient += 1
    return Cohort(tuple(lesions), tuple(DEFAULT_CLASSES.names))


def _draw_context(
    rng: np.random.Generator, label: str, densities: ScanDensities, preset: Preset, parameters: LesionParameters
) -> Context:
    diameter_mm = draw_diameter(rng)
    lesion = draw_lesion(rng, label, diameter_mm, densities, parameters)
    heights = (np.arange(-4, 5) + rng.uniform(-0.5, 0.5)) * preset.slice_mm
    height = float(heights[pick_slice(rng, lesion.shape, heights)])
    contour = draw_contour(rng, lesion.shape.outline(height), *DIAMETERS_MM)
    diameter_px = outline_diameter(contour) / preset.pixel_mm
    half = context_half_width(diameter_px)
    background = draw_background(rng, densities, diameter_mm, half * preset.pixel_mm)

    # The ROI is centred on the contour's bounding box, which falls anywhere between pixel centres.
    centre = (contour.min(axis=0) + contour.max(axis=0)) / 2
    offset = rng.uniform(-0.5, 0.5, size=2)
    along = np.arange(-half, half + 1)
    x, y = np.meshgrid(centre[0] + (along - offset[0]) * preset.pixel_mm, centre[1] + (along - offset[1]) * preset.pixel_mm)
    hu = np.zeros_like(x)
    tissue = background.parenchyma(x, y, height)
    for share in (np.arange(preset.sub_slices) + 0.5) / preset.sub_slices - 0.5:
        z = height + float(share) * preset.slice_mm
        hu += paint_lesion(paint_background(x, y, z, background, tissue), x, y, z, lesion, densities.edge_mm)
    hu /= preset.sub_slices
    noise = draw_noise(rng, along.size, along.size, preset)
    hu += noise * draw_noise_level(rng, densities.noise_sd).on_grid(x, y, height)
    return Context(
        hu=np.rint(np.clip(hu, -1024, 3071)).astype(np.float32),
        centre=(half + float(offset[0]), half + float(offset[1])),
        diameter_px=diameter_px,
        spacing_mm=preset.pixel_mm,
    )
