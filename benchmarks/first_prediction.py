"""The README's figure: lesions of the demo's simulated patients, each asked for by its centre and diameter, with the answers.

Usage: make demo (stop it), then python benchmarks/first_prediction.py --demo demo --out docs/first-prediction.png
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from pathlib import Path

import matplotlib
import numpy as np

matplotlib.use("Agg")
import matplotlib.pyplot as plt

from lesionlabel.imaging.sidecar import read_sidecars
from lesionlabel.infers.asked import Asked
from lesionlabel.infers.desk import Desk
from lesionlabel.settings import Settings

PANELS = 4
#: What is brighter belongs to the patient; pictures are cut to it.
BODY_HU = -200
#: Window of the pictures in HU: level 70, width 340, as the ROI's.
WINDOW = (-100, 240)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--demo", type=Path, default=Path("demo"), help="the folder that `make demo` filled")
    parser.add_argument("--out", type=Path, default=Path("docs/first-prediction.png"))
    options = parser.parse_args()
    studies = options.demo / "studies"
    image_of = {sidecar.source["series_uid"]: sidecar.image for sidecar in read_sidecars(studies)}
    patients = json.loads((options.demo / "dicom" / "truth.json").read_text(encoding="utf-8"))["patients"]
    lesions = [(image_of[p["series_uid"]], lesion) for p in patients for lesion in p["lesions"] if lesion["diameter_mm"] >= 10]
    # The first of each class in turn, then whatever comes, so that every class is seen.
    firsts = {lesion["label"]: position for position, (_, lesion) in reversed(list(enumerate(lesions)))}
    shown = sorted([*firsts.values(), *(set(range(len(lesions))) - set(firsts.values()))][:PANELS])
    desk = Desk(Settings(home=options.demo / "home"))

    figure, axes = plt.subplots(1, PANELS, figsize=(4 * PANELS, 4), facecolor="black", layout="constrained")
    right: Counter[str] = Counter()
    for position, (image, lesion) in enumerate(lesions):
        asked = Asked(centre_lps=tuple(lesion["centre_lps"]), diameter_mm=lesion["diameter_mm"])
        answer = desk.answer(studies / f"{image}.nii.gz", asked)
        right[lesion["label"]] += answer.label == lesion["label"]
        print(f"{image}: {lesion['label']} of {lesion['diameter_mm']:.0f} mm, answered: {answer.text}")
        if position in shown:
            draw(axes[shown.index(position)], answer, lesion["label"])
    asked_of = Counter(lesion["label"] for _, lesion in lesions)
    print(f"answered with their type: {right.total()} of {len(lesions)} lesions")
    for label, count in asked_of.items():
        print(f"  {label}: {right[label]} of {count}")
    for axis in axes:
        axis.set_axis_off()
    figure.savefig(options.out, dpi=75, facecolor="black")


def draw(axis, answer, truth: str) -> None:
    """One slice with the lesion's outline, what was answered and what is true."""
    contour = answer.contour
    axis.imshow(answer.volume.voxels[contour.slice_index], cmap="gray", vmin=WINDOW[0], vmax=WINDOW[1], interpolation="bilinear")
    body = np.argwhere(answer.volume.voxels[contour.slice_index] > BODY_HU)
    (top, left), (bottom, right) = body.min(axis=0), body.max(axis=0)
    axis.set_xlim(left, right)
    axis.set_ylim(bottom, top)
    outline = np.vstack([contour.points, contour.points[:1]])
    axis.plot(outline[:, 0], outline[:, 1], color="#ffcc33", linewidth=1.5)
    axis.set_title(f"{answer.text}\n(simulated; truth: {truth})", color="white", fontsize=12)


if __name__ == "__main__":
    main()
