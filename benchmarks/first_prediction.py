"""The README's figure: lesions of the demo's simulated patients, each asked for by its centre and diameter, with the answers.

Usage: make demo (stop it), then python benchmarks/first_prediction.py --demo demo --out docs/first-prediction.png
"""

from __future__ import annotations

import argparse
import json
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
    desk = Desk(Settings(home=options.demo / "home"))

    figure, axes = plt.subplots(1, PANELS, figsize=(4 * PANELS, 4.4), facecolor="black")
    right = 0
    for position, (image, lesion) in enumerate(lesions):
        asked = Asked(centre_lps=tuple(lesion["centre_lps"]), diameter_mm=lesion["diameter_mm"])
        answer = desk.answer(studies / f"{image}.nii.gz", asked)
        right += answer.label == lesion["label"]
        print(f"{image}: {lesion['label']} of {lesion['diameter_mm']:.0f} mm, answered: {answer.text}")
        if position < PANELS:
            draw(axes[position], answer, lesion["label"])
    print(f"{right} of {len(lesions)} lesions answered with their type")
    for axis in axes:
        axis.set_axis_off()
    figure.tight_layout()
    figure.savefig(options.out, dpi=75, facecolor="black")


def draw(axis, answer, truth: str) -> None:
    """One slice with the lesion's outline, what was answered and what is true."""
    contour = answer.contour
    axis.imshow(answer.volume.voxels[contour.slice_index], cmap="gray", vmin=WINDOW[0], vmax=WINDOW[1], interpolation="bilinear")
    outline = np.vstack([contour.points, contour.points[:1]])
    axis.plot(outline[:, 0], outline[:, 1], color="#ffcc33", linewidth=1.5)
    axis.set_title(f"{answer.text}\n(simulated; truth: {truth})", color="white", fontsize=12)


if __name__ == "__main__":
    main()
