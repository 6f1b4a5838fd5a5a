"""Phantom and real CT side by side: noise, its correlation, vessels and edges against the target ranges.

    LESIONLABEL_REAL_CT=.../3Dircadb1.17 python benchmarks/phantom_vs_real.py --figure docs/phantom.png

Without LESIONLABEL_REAL_CT the real column is left out. The figure shows slices of the phantom and statistics of both, never
a pixel of the real CT. The real column is one patient: a check, not a population.
"""

from __future__ import annotations

import argparse
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom
from numpy.typing import NDArray

from lesionlabel.phantom.abdomen import Abdomen, draw_abdomen, paint_slice
from lesionlabel.phantom.parameters import VARIANTS
from lesionlabel.phantom.patient import draw_densities
from lesionlabel.phantom.placing import draw_lesions
from lesionlabel.phantom.presets import Preset, find_preset
from lesionlabel.phantom.randomness import NOISE, STUDY, stream
from lesionlabel.phantom.solids import Chain
from lesionlabel.phantom.statistics import Texture, edge_sigmas, parenchyma, texture, vessel_densities
from lesionlabel.phantom.studies import paint_thick_slice
from lesionlabel.phantom.texture import draw_noise_level, noise_stack

FAT, LUNG = (-130.0, -70.0), (-1000.0, -600.0)
#: (slice, row, column) of aorta and cava in the real case, read off its pictures, and the radius in mm that is averaged.
REAL_AORTA, REAL_CAVA = (90, 283, 255), (50, 252, 228)
DISC_MM = 4.0


@dataclass(frozen=True, eq=False)
class Measured:
    texture: Texture
    vessels: NDArray[np.float64]
    fat_edge: NDArray[np.float64]
    lung_edge: NDArray[np.float64]
    aorta: float
    cava: float


def measure(
    hu: NDArray[np.float32],
    liver: NDArray[np.bool_],
    lesions: NDArray[np.bool_] | None,
    pixel_mm: float,
    aorta: tuple[int, int, int],
    cava: tuple[int, int, int],
) -> Measured:
    return Measured(
        texture=texture(hu, parenchyma(hu, liver, lesions)),
        vessels=vessel_densities(hu, liver, lesions),
        fat_edge=edge_sigmas(hu, liver, pixel_mm, FAT),
        lung_edge=edge_sigmas(hu, liver, pixel_mm, LUNG),
        aorta=_disc_mean(hu, aorta, pixel_mm),
        cava=_disc_mean(hu, cava, pixel_mm),
    )


def _disc_mean(hu: NDArray[np.float32], where: tuple[int, int, int], pixel_mm: float) -> float:
    k, r, c = where
    rows, columns = np.indices(hu.shape[1:])
    return float(hu[k][np.hypot(rows - r, columns - c) * pixel_mm <= DISC_MM].mean())


def phantom_volume(seed: int, number: int, preset: Preset, low: float, high: float) -> tuple[Measured, NDArray[np.float32]]:
    """One simulated patient between two heights in mm, measured, and its slices."""
    rng = stream(seed, STUDY, number)
    densities = draw_densities(rng, preset)
    abdomen = draw_abdomen(rng, densities)
    placed = draw_lesions(rng, abdomen, VARIANTS["calibrated"])
    level = draw_noise_level(rng, densities.noise_sd)
    heights = np.arange(low, high, preset.slice_mm)
    cava = Chain(abdomen.vessels.outside[1].points, abdomen.vessels.outside[1].radii)
    along = ((np.arange(512) - 255.5) * preset.pixel_mm).astype(np.float32)
    x, y = np.meshgrid(along, along)
    slices, livers, marks = [], [], []
    grains = noise_stack(stream(seed, NOISE, number), len(heights), 512, preset)
    for height, grain in zip(heights.tolist(), grains, strict=True):
        slices.append(np.rint(paint_thick_slice(x, y, height, abdomen, placed, preset) + grain * level.on_grid(x, y, height)))
        in_cava = cava.depth(x, y, height) > -2
        livers.append((paint_slice(x, y, height, abdomen).liver > 0) & ~in_cava)
        mark = np.zeros(x.shape, dtype=bool)
        for one in placed:
            cx, cy, cz = one.centre
            mark |= (x - cx) ** 2 + (y - cy) ** 2 + (height - cz) ** 2 < (0.65 * one.lesion.diameter_mm + 3) ** 2
        marks.append(mark)
    hu = np.asarray(slices, dtype=np.float32)
    aorta_at, cava_at = (_vessel_place(abdomen, index, heights, preset) for index in (0, 1))
    return measure(hu, np.asarray(livers), np.asarray(marks), preset.pixel_mm, aorta_at, cava_at), hu


def _vessel_place(abdomen: Abdomen, index: int, heights: NDArray[np.float64], preset: Preset) -> tuple[int, int, int]:
    """Where the middle of aorta (0) or cava (1) lies in the lowest third of the slices."""
    k = len(heights) // 3
    points = abdomen.vessels.outside[index].points
    nearest = points[np.argmin(np.abs(points[:, 2] - heights[k]))]
    column, row = (nearest[:2] / preset.pixel_mm + 255.5).round().astype(int)
    return k, int(row), int(column)


def real_volume(folder: Path) -> Measured:
    def stack(name: str) -> NDArray[np.int16]:
        count = len(list((folder / name).iterdir()))
        return np.stack([pydicom.dcmread(folder / name / f"image_{i}").pixel_array for i in range(count)])

    hu = stack("PATIENT_DICOM").astype(np.float32)
    liver = stack("MASKS_DICOM/liver") > 0
    lesions = (stack("MASKS_DICOM/livertumor1") > 0) | (stack("MASKS_DICOM/livertumor2") > 0)
    pixel = float(pydicom.dcmread(folder / "PATIENT_DICOM" / "image_0", stop_before_pixels=True).PixelSpacing[0])
    return measure(hu, liver, lesions, pixel, REAL_AORTA, REAL_CAVA)


def rows_of(measured: list[Measured]) -> dict[str, str]:
    """What the table states, averaged over patients; ranges pooled."""

    def mean(values: list[float], digits: int = 1) -> str:
        return f"{np.mean(values):.{digits}f}"

    def spread(values: NDArray[np.float64], digits: int) -> str:
        if not len(values):
            return "none found"
        return " – ".join(f"{v:.{digits}f}" for v in np.percentile(values, [10, 90]))

    patch = np.concatenate([m.texture.patch_sd for m in measured])
    vessels = np.concatenate([m.vessels for m in measured])
    fat, lung = np.concatenate([m.fat_edge for m in measured]), np.concatenate([m.lung_edge for m in measured])
    low, high = np.percentile(patch, [5, 95])
    return {
        "parenchyma, HU": mean([m.texture.mean for m in measured]),
        "SD in 17×17 patches, HU": f"{patch.mean():.1f}",
        "… 5–95 %": f"{low:.1f} – {high:.1f}",
        "in-plane autocorrelation, lag 1": mean([m.texture.in_plane[0] for m in measured], 2),
        "… lag 2": mean([m.texture.in_plane[1] for m in measured], 2),
        "… lag 3": mean([m.texture.in_plane[2] for m in measured], 2),
        "z autocorrelation, lag 1": mean([m.texture.along_z for m in measured], 2),
        "SD of the mean of 2 slices, HU": mean([m.texture.averaged_sd[0] for m in measured]),
        "SD of the mean of 3 slices, HU": mean([m.texture.averaged_sd[1] for m in measured]),
        "larger liver vessels, HU, 10–90 %": spread(vessels, 0),
        "aorta, HU": mean([m.aorta for m in measured], 0),
        "cava, HU": mean([m.cava for m in measured], 0),
        "liver-fat edge, median σ, mm": f"{np.median(fat):.2f}" if len(fat) else "none found",
        "… 10–90 %": spread(fat, 2),
        "liver-lung edge, median σ, mm": f"{np.median(lung):.2f}" if len(lung) else "none found",
        "… 10–90 % (lung)": spread(lung, 2),
    }


_SHARP = (
    "104 ± 5|21 ± 2|17 – 25|.20 ± .05|0 ± .05|0 ± .05|.07 ± .05|15.6 ± 1.5|13.0 ± 1.5|150 – 185|157|155|"
    "0.97|0.73 – 1.53|0.95|0.73 – 1.53"
)
_SOFT = "70 – 120|10 – 14||longer|longer|||||150 – 185|140 – 170|||||"
TARGETS = {"sharp": _SHARP.split("|"), "soft": _SOFT.split("|")}


def draw_figure(path: Path, pictures: list[NDArray[np.float32]], phantom: list[Measured], real: Measured | None) -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(2, 4, figsize=(13, 6.6))
    for axis, picture in zip(axes[0], pictures, strict=True):
        axis.imshow(picture, cmap="gray", vmin=-60, vmax=200)
        axis.axis("off")
    axes[0, 0].set_title("phantom (simulated), window -60 to 200 HU", fontsize=9, loc="left")
    columns = [("phantom", phantom, "tab:blue")] + ([("real CT, one patient", [real], "tab:orange")] if real else [])
    for name, measured, colour in columns:
        patch = np.concatenate([m.texture.patch_sd for m in measured])
        axes[1, 0].hist(patch, bins=np.arange(10, 36, 1), density=True, histtype="step", color=colour, label=name)
        lags = np.mean([[1.0, *m.texture.in_plane] for m in measured], axis=0)
        axes[1, 1].plot(range(4), lags, "o-", color=colour, label=f"{name}, in plane")
        axes[1, 1].plot([0, 1], [1, np.mean([m.texture.along_z for m in measured])], "s--", color=colour, label="… z")
        vessels = np.concatenate([m.vessels for m in measured])
        axes[1, 2].hist(vessels, bins=np.arange(130, 225, 4), density=True, histtype="step", color=colour, label=name)
        for values, style, edge in (
            (np.concatenate([m.fat_edge for m in measured]), "-", "fat"),
            (np.concatenate([m.lung_edge for m in measured]), "--", "lung"),
        ):
            axes[1, 3].plot(
                np.sort(values), np.linspace(0, 1, len(values)), style, color=colour, label=f"{name}, liver to {edge}"
            )
    labels = ("SD in a 17×17 patch, HU", "lag, pixels or slices", "vessel, HU", "σ of the edge, mm")
    titles = ("noise", "autocorrelation", "larger liver vessels", "edges, cumulated")
    for axis, label, title in zip(axes[1], labels, titles, strict=True):
        axis.set_xlabel(label, fontsize=8)
        axis.set_title(title, fontsize=9)
        axis.tick_params(labelsize=7)
        axis.legend(fontsize=6)
    figure.tight_layout()
    figure.savefig(path, dpi=80)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--patients", type=int, default=4)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--preset", default="sharp")
    parser.add_argument("--figure", type=Path)
    options = parser.parse_args()
    preset = find_preset(options.preset)
    phantom, pictures = [], []
    for number in range(1, options.patients + 1):
        measured, hu = phantom_volume(options.seed, number, preset, -30.0, 84.0)
        phantom.append(measured)
        shares = np.array_split([0.05, 0.3, 0.55, 0.82], options.patients)[number - 1] if options.patients <= 4 else [0.5]
        pictures += [hu[int(len(hu) * share)] for share in shares]
    folder = os.environ.get("LESIONLABEL_REAL_CT")
    real = real_volume(Path(folder)) if folder else None
    simulated, measured_real = rows_of(phantom), rows_of([real]) if real else {}
    print(f"| measured | target | phantom, {options.patients} patients, {preset.name} | real CT, one patient |")
    print("| --- | --- | --- | --- |")
    for (name, value), target in zip(simulated.items(), TARGETS[preset.name], strict=True):
        print(f"| {name} | {target} | {value} | {measured_real.get(name, 'not given (LESIONLABEL_REAL_CT)')} |")
    if options.figure:
        draw_figure(options.figure, pictures[:4], phantom, real)


if __name__ == "__main__":
    main()
