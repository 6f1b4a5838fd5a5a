"""What the phase check says on simulated abdomens, drawn in four phases, and on a real CT where one is given.

Run from the repository: python benchmarks/phase_check.py [--patients N] [--seed S]. The phantom is portal-venous; the other
phases are the same anatomy painted with other organs' HU, not a simulation of how contrast spreads. LESIONLABEL_REAL_CT names the
unzipped 3Dircadb1.17 folder.
"""

from __future__ import annotations

import argparse
import os
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np

from lesionlabel.imaging.read import read_volume
from lesionlabel.lesions.phase import check_phase
from lesionlabel.lesions.volume import Geometry, Volume
from lesionlabel.phantom.abdomen import draw_abdomen, paint_slice
from lesionlabel.phantom.patient import ScanDensities, draw_densities
from lesionlabel.phantom.presets import PRESETS

#: HU of organs in each phase; those not named stay as drawn.
PHASES: dict[str, dict[str, float]] = {
    "portal-venous, as drawn": {},
    "early arterial": {"aorta": 330, "veins": 70, "cava": 70, "liver": 66, "kidney": 190, "spleen": 130, "pancreas": 110},
    "late arterial": {"aorta": 270, "veins": 128, "cava": 105, "liver": 80, "kidney": 190, "spleen": 125},
    "late venous": {"aorta": 112, "veins": 115, "cava": 112, "liver": 88, "kidney": 140, "spleen": 95},
    "unenhanced": {"aorta": 42, "veins": 42, "cava": 42, "liver": 58, "kidney": 32, "spleen": 48, "pancreas": 40},
}
ROWS, FIELD_MM, SLICE_MM, NOISE_SD = 256, 380.0, 4.0, 14.0


def paint(seed: int, densities: ScanDensities, anatomy: np.random.Generator) -> Volume:
    abdomen = draw_abdomen(anatomy, densities)
    along = (np.arange(ROWS) - ROWS / 2) * FIELD_MM / ROWS
    x, y = np.meshgrid(along, along)
    hu = np.stack([paint_slice(x, y, float(z), abdomen).hu for z in np.arange(-98, 95, SLICE_MM)])
    hu += np.random.default_rng([seed, 1]).normal(0, NOISE_SD, hu.shape)
    shape = (hu.shape[0], hu.shape[1], hu.shape[2])
    geometry = Geometry(shape, np.diag([FIELD_MM / ROWS, FIELD_MM / ROWS, SLICE_MM, 1.0]))
    return Volume(np.rint(np.clip(hu, -1024, 3071)).astype(np.int16), geometry, geometry)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--patients", type=int, default=12)
    parser.add_argument("--seed", type=int, default=7)
    chosen = parser.parse_args()
    said: dict[str, Counter[str]] = {phase: Counter() for phase in PHASES}
    for number in range(chosen.patients):
        rng = np.random.default_rng([chosen.seed, number])
        drawn, state = draw_densities(rng, PRESETS["sharp"]), rng.bit_generator.state
        for phase, organs in PHASES.items():
            rng.bit_generator.state = state
            said[phase][check_phase(paint(number, replace(drawn, **organs), rng)).name] += 1
    names = ("portal-venous", "arterial", "unenhanced", "unknown")
    print(
        f"{chosen.patients} simulated patients, seed {chosen.seed}\n\n| drawn as | " + " | ".join(names) + " |\n|" + " --- |" * 5
    )
    for phase, counts in said.items():
        print(f"| {phase} | " + " | ".join(str(counts[name]) for name in names) + " |")
    real = os.environ.get("LESIONLABEL_REAL_CT")
    if real:
        volume = read_volume(Path(real) / "PATIENT_DICOM")
        check_phase(volume)
        began = time.perf_counter()
        phase = check_phase(volume)
        print(f"\nReal CT, {volume.geometry.shape}: {phase.sentence} {1000 * (time.perf_counter() - began):.0f} ms.")
    else:
        print("\nThe real CT was not looked at: set LESIONLABEL_REAL_CT to the unzipped 3Dircadb1.17 folder.")


if __name__ == "__main__":
    main()
