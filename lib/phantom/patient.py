"""What is common to all lesions of one simulated scan: densities of the organs, edge blur, noise. Drawn apart from class."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lesionlabel.phantom.presets import Preset

#: Share of patients with a fatty liver, which is darker.
STEATOSIS_SHARE = 0.2


@dataclass(frozen=True)
class ScanDensities:
    """Mean HU of each organ in one portal-venous scan, the σ of its edges in mm and the SD of its noise in HU."""

    liver: float
    veins: float
    aorta: float
    cava: float
    spleen: float
    kidney: float
    pancreas: float
    muscle: float
    fat: float
    gallbladder: float
    stomach: float
    bowel: float
    lung: float
    edge_mm: float
    noise_sd: float


def draw_densities(rng: np.random.Generator, preset: Preset) -> ScanDensities:
    """One scan's densities, each independent of every lesion class."""
    if rng.random() < STEATOSIS_SHARE:
        liver = rng.uniform(70, 92)
    else:
        liver = float(np.clip(rng.normal(104.5, 4.5), 92, 120))
    veins = float(np.clip(rng.normal(173, 7), max(156.0, liver + 40), 188))
    return ScanDensities(
        liver=liver,
        veins=veins,
        aorta=float(np.clip(rng.normal(157, 5), 142, 169)),
        cava=float(np.clip(rng.normal(155, 6), 140, 170)),
        spleen=rng.uniform(90, 128),
        kidney=rng.uniform(152, 188),
        pancreas=rng.uniform(82, 108),
        muscle=rng.uniform(56, 69),
        fat=rng.uniform(-109, -93),
        gallbladder=rng.uniform(1, 14),
        stomach=rng.uniform(5, 35),
        bowel=rng.uniform(20, 55),
        lung=rng.uniform(-860, -800),
        edge_mm=float(np.clip(rng.normal(preset.edge_mm, 0.08), 0.65, 1.6)),
        noise_sd=rng.uniform(*preset.noise_sd),
    )
