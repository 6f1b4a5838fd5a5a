"""How many lesions of unread volumes the detector of active learning finds, and how much else.

    lesionlabel phantom --patients 8 --seed 210 --matrix 384 --out DIR       # minutes
    python benchmarks/lesion_candidates.py DIR                               # and the real CT that LESIONLABEL_REAL_CT names

Found: a candidate's centre lies within half a diameter, at least 8 mm, of the lesion's. A result on the phantom says nothing
about patients, and one real CT next to nothing.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections import Counter
from pathlib import Path

import numpy as np
import torch

from lesionlabel.imaging.ircad import IMAGES, read_masks
from lesionlabel.imaging.read import read_volume
from lesionlabel.lesions.candidates import Candidate, find_candidates
from lesionlabel.lesions.segmenter import Segmenter
from lesionlabel.lesions.volume import Volume
from lesionlabel.registry.segmenter_bundle import load_segmenter
from lesionlabel.registry.versions import starter_folder
from lesionlabel.strategies.views import SEGMENTER

LEAST_MM = 8.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("studies", type=Path, help="what 'lesionlabel phantom' wrote")
    folder = parser.parse_args().studies
    torch.set_num_threads(1)
    segmenter = load_segmenter(starter_folder(SEGMENTER))
    truth = json.loads((folder / "truth.json").read_bytes())
    lesions, found, others, seconds = Counter(), Counter(), 0, []
    for patient in truth["patients"]:
        volume = read_volume(folder / patient["folder"])
        started = time.process_time()
        candidates = find_candidates(volume, segmenter)
        seconds.append(time.process_time() - started)
        hits: set[int] = set()
        for lesion in patient["lesions"]:
            near = near_to(np.array(lesion["centre_lps"]), lesion["diameter_mm"], candidates, volume)
            lesions[lesion["label"]] += 1
            found[lesion["label"]] += bool(near)
            hits |= near
        others += len(candidates) - len(hits)
    names = ", ".join(f"{name} {found[name]} of {lesions[name]}" for name in lesions)
    print(f"{len(seconds)} simulated patients, seed {truth['seed']}, {type(segmenter).__name__}: {names}")
    print(f"other candidates: {others / len(seconds):.1f} a volume; {np.median(seconds):.2f} s of one core a volume (median)")
    if os.environ.get("LESIONLABEL_REAL_CT"):
        real_ct(Path(os.environ["LESIONLABEL_REAL_CT"]), segmenter)


def near_to(centre: np.ndarray, diameter_mm: float, candidates: list[Candidate], volume: Volume) -> set[int]:
    """Which candidates lie at the lesion. centre: LPS mm."""
    near = set()
    for number, candidate in enumerate(candidates):
        at = volume.geometry.to_lps((*candidate.contour.centre, candidate.contour.slice_index))
        if np.linalg.norm(at - centre) < max(diameter_mm / 2, LEAST_MM):
            near.add(number)
    return near


def real_ct(folder: Path, segmenter: Segmenter) -> None:
    """Which of the real CT's tumours have a candidate mostly inside. Nothing is tuned on it."""
    volume = read_volume(folder / IMAGES)
    labels, names, _ = read_masks(folder, volume, folder)
    candidates = find_candidates(volume, segmenter)
    hit = set()
    for candidate in candidates:
        inside = candidate.contour.mask(*volume.voxels.shape[1:])
        values = np.zeros(0) if labels is None else labels[candidate.contour.slice_index][inside]
        hit |= {name for number, name in enumerate(names, 1) if values.size and (values == number).mean() > 0.5}
    tumours = [name for name in names if "tumor" in name]
    print(f"real CT: {len(hit & set(tumours))} of {len(tumours)} tumours, {len(candidates)} candidates")


if __name__ == "__main__":
    main()
