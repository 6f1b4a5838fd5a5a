"""The figure of docs/generators.md: synthetic ROIs of the starter generators beside simulated ones that they have not seen.

python benchmarks/generator_pictures.py --out docs/generators.png
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from lesionlabel.augment.classic import augment_cohort
from lesionlabel.phantom.cohort import make_cohort
from lesionlabel.registry.generators import ALL_CLASSES, GeneratorVersions
from lesionlabel.settings import Settings

COLUMNS = 10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("docs/generators.png"))
    parser.add_argument("--seed", type=int, default=7)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as home:
        settings = Settings(home=Path(home), device="cpu")
        names = settings.classes.names
        rows: list[tuple[str, str, np.ndarray]] = []
        for name in names:
            # Another cohort than the starters': lesions that no generator has seen, augmented as what they learned from.
            fresh = make_cohort({name: COLUMNS}, seed=51)
            rows.append((f"SIMULATED {name}, unseen", "#1c4f8a", augment_cohort(fresh, COLUMNS, asked.seed).images[:, 0].numpy()))
            one = GeneratorVersions(settings, name).champion()
            rows.append((f"SYNTHETIC {name}, {one.manifest.arm}", "#a01818", one.sample_all(COLUMNS, asked.seed)))
            every = GeneratorVersions(settings, ALL_CLASSES).champion()
            rows.append((f"SYNTHETIC {name}, {every.manifest.arm}", "#a01818", every.sample_all(COLUMNS, asked.seed, name)))
    figure = Figure(figsize=(COLUMNS + 0.2, len(rows) * 1.25 + 0.1), dpi=90, facecolor="white")
    FigureCanvasAgg(figure)
    for row, (title, colour, rois) in enumerate(rows):
        top = 1 - row * 1.25 / figure.get_size_inches()[1]
        figure.text(0.01, top - 0.012, title, color=colour, fontsize=10, fontweight="bold")
        for column, roi in enumerate(rois):
            height = figure.get_size_inches()[1]
            axes = figure.add_axes((0.01 + column * 0.099, top - 1.2 / height, 0.096, 0.96 / height))
            axes.imshow(roi, cmap="gray", vmin=0, vmax=1, interpolation="nearest")
            axes.set_axis_off()
    figure.savefig(asked.out)
    print(f"{asked.out}: seed {asked.seed}, grey from -100 to 240 HU")


if __name__ == "__main__":
    main()
