"""How well one click outlines a lesion: Dice, diameter and time on simulated lesions, and on a real CT where one is given.

Run from the repository: python benchmarks/click_segmenter.py [--lesions N] [--seed S]. The real CT is the unzipped
3Dircadb1.17 folder that LESIONLABEL_REAL_CT names; nothing was chosen on it.
"""

from __future__ import annotations

import argparse
import os
import time
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pydicom
from numpy.typing import NDArray
from scipy import ndimage

from lesionlabel.lesions.contour import Contour, contour_from_circle, contour_from_mask
from lesionlabel.lesions.errors import InputError
from lesionlabel.lesions.segmenter import Clicks, RadialSegmenter
from lesionlabel.lesions.volume import Geometry, Volume
from lesionlabel.phantom.background import draw_background, paint_background
from lesionlabel.phantom.lesions import DRAWN_CLASSES, draw_lesion, paint_lesion
from lesionlabel.phantom.parameters import VARIANTS
from lesionlabel.phantom.patient import ScanDensities, draw_densities
from lesionlabel.phantom.presets import PRESETS, Preset
from lesionlabel.phantom.texture import draw_noise_level, noise_stack

BANDS_MM = ((10.0, 20.0), (20.0, 40.0), (40.0, 70.0), (70.0, 102.0))
CLICKS_PER_LESION = 2
CLICKS_PER_TUMOUR = 20
#: Side of the simulated patch of liver, and slices on each side of the lesion's middle that are painted.
PATCH_MM, SLICES_EACH_SIDE = 200.0, {"sharp": 6, "soft": 2}


@dataclass
class Tally:
    """Results of clicks: dice and diameter ratio (click / truth), 0 and NaN where the click was refused; lesion of each."""

    dice: list[float] = field(default_factory=list)
    ratio: list[float] = field(default_factory=list)
    lesion: list[int] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)

    def add(self, lesion: int, dice: float, ratio: float, seconds: float) -> None:
        self.dice.append(dice)
        self.ratio.append(ratio)
        self.lesion.append(lesion)
        self.seconds.append(seconds)


@dataclass(frozen=True)
class Patch:
    """A simulated slab of liver. In slice middle, (rows, columns): the lesion, healthy liver away from anything, and veins."""

    volume: Volume
    truth: NDArray[np.bool_]
    healthy: NDArray[np.bool_]
    vessels: NDArray[np.bool_]
    middle: int


def simulate(rng: np.random.Generator, label: str, diameter_mm: float, preset: Preset) -> Patch:
    """One lesion in a slab of the phantom's liver, with its true outline (no reader's jitter)."""
    densities: ScanDensities = draw_densities(rng, preset)
    lesion = draw_lesion(rng, label, diameter_mm, densities, VARIANTS["calibrated"])
    background = draw_background(rng, densities, diameter_mm, PATCH_MM / 2)
    each, half = SLICES_EACH_SIDE[preset.name], int(PATCH_MM / 2 / preset.pixel_mm)
    offset = rng.uniform(-0.5, 0.5, size=3)
    along = np.arange(-half, half + 1)
    x, y = np.meshgrid((along - offset[0]) * preset.pixel_mm, (along - offset[1]) * preset.pixel_mm)
    level, painted = draw_noise_level(rng, densities.noise_sd), []
    noise = list(noise_stack(rng, 2 * each + 1, along.size, preset))
    heights = (np.arange(-each, each + 1) + offset[2]) * preset.slice_mm
    bare = paint_background(x, y, float(heights[each]), background)
    for index, height in enumerate(heights):
        hu = np.zeros_like(x)
        for share in (np.arange(preset.sub_slices) + 0.5) / preset.sub_slices - 0.5:
            z = float(height) + float(share) * preset.slice_mm
            hu += paint_lesion(paint_background(x, y, z, background), x, y, z, lesion, densities.edge_mm)
        painted.append(hu / preset.sub_slices + noise[index] * level(x, y, float(height)))
    voxels = np.rint(np.clip(np.stack(painted), -1024, 3071)).astype(np.int16)
    affine = np.diag([preset.pixel_mm, preset.pixel_mm, preset.slice_mm, 1.0])
    geometry = Geometry((voxels.shape[0], voxels.shape[1], voxels.shape[2]), affine)
    points = lesion.shape.outline(float(heights[each])) / preset.pixel_mm + half + offset[:2]
    truth = Contour(each, points).mask(along.size, along.size)
    # Healthy: liver, 4 mm away from the lesion, vessels and other organs.
    away = np.asarray(ndimage.distance_transform_edt((np.abs(bare - densities.liver) < 15) & ~truth)) * preset.pixel_mm
    vessels = (np.abs(bare - densities.veins) < 12) & ~np.asarray(ndimage.binary_dilation(truth, iterations=6), dtype=bool)
    return Patch(Volume(voxels, geometry, geometry), truth, away > 4, vessels, each)


def inner_points(mask: NDArray[np.bool_], count: int, rng: np.random.Generator) -> list[tuple[int, int]]:
    """Random pixels (column, row) of mask less its outermost pixel."""
    rows, columns = np.nonzero(ndimage.binary_erosion(mask))
    chosen = rng.integers(len(rows), size=count) if len(rows) else []
    return [(int(columns[n]), int(rows[n])) for n in chosen]


def click(volume: Volume, truth: NDArray[np.bool_], point: tuple[int, int, int]) -> tuple[float, float, float]:
    """Dice and diameter ratio against truth (rows, columns) in the click's slice, and seconds. A refusal is Dice 0, ratio NaN."""
    began = time.perf_counter()
    try:
        contour = RadialSegmenter().segment(volume, Clicks((point,))).contour
    except InputError:
        return 0.0, float("nan"), time.perf_counter() - began
    seconds = time.perf_counter() - began
    return dice_of(contour, truth), contour.diameter_px / contour_from_mask(truth, point[2]).diameter_px, seconds


def dice_of(contour: Contour, truth: NDArray[np.bool_]) -> float:
    found = contour.mask(*truth.shape)
    return float(2 * (found & truth).sum() / (found.sum() + truth.sum()))


def circle_of(truth: NDArray[np.bool_]) -> float:
    """Dice of the circle over the true longest diameter: what an exact two-point diameter gives."""
    contour = contour_from_mask(truth, 0)
    return dice_of(contour_from_circle(contour.longest_axis.mean(axis=0), contour.diameter_px, 0), truth)


def median_interval(values: list[float], lesions: list[int], seed: int) -> tuple[float, float]:
    """95 % bootstrap interval of the median, lesions drawn with replacement."""
    groups = defaultdict(list)
    for value, lesion in zip(values, lesions, strict=True):
        groups[lesion].append(value)
    members, rng = list(groups.values()), np.random.default_rng(seed)
    medians = [
        np.median(np.concatenate([members[n] for n in rng.integers(len(members), size=len(members))])) for _ in range(1000)
    ]
    return float(np.quantile(medians, 0.025)), float(np.quantile(medians, 0.975))


def print_row(name: str, tally: Tally, circles: list[float], seed: int, lesions: int | None = None) -> None:
    """One line of the table. lesions: where the groups of tally are clicks rather than lesions, how many lesions those are of."""
    dice, ratio = np.asarray(tally.dice), np.asarray(tally.ratio)
    low, high = median_interval(tally.dice, tally.lesion, seed)
    refused = np.asarray(np.isnan(ratio), dtype=bool)
    off = np.abs(ratio[~refused] - 1)
    within = float((off <= 0.2).sum() / len(ratio))
    cells = [
        name,
        lesions or len(set(tally.lesion)),
        len(dice),
        f"{np.median(dice):.2f} [{low:.2f}, {high:.2f}]",
        f"{np.quantile(dice, 0.1):.2f}",
        int(refused.sum()),
        f"{np.median(ratio[~refused]):.2f}" if not refused.all() else "–",
        f"{100 * within:.0f} %",
        f"{np.median(circles):.2f}",
        f"{1000 * np.median(tally.seconds):.0f}",
    ]
    print("| " + " | ".join(map(str, cells)) + " |")


COLUMNS = (
    "set",
    "lesions",
    "clicks",
    "median Dice [95 %]",
    "10th percentile",
    "refused",
    "median diameter, click / true",
    "diameter within 20 %",
    "Dice of the exact two-point circle",
    "ms a click",
)
HEADER = "| " + " | ".join(COLUMNS) + " |\n|" + " --- |" * len(COLUMNS)


def on_the_phantom(lesions: int, seed: int) -> None:
    for preset in PRESETS.values():
        print(f"\nSimulated lesions, preset {preset.name}, seed {seed}\n\n{HEADER}")
        by_class: dict[str, tuple[Tally, list[float]]] = {label: (Tally(), []) for label in DRAWN_CLASSES}
        wrong = {"healthy liver": [0, 0], "a vessel": [0, 0]}
        for band, (low, high) in enumerate(BANDS_MM):
            tally, circles = Tally(), []
            for number in range(lesions):
                label = DRAWN_CLASSES[number % len(DRAWN_CLASSES)]
                rng = np.random.default_rng([seed, band, number])
                patch = simulate(rng, label, rng.uniform(low, high), preset)
                points = inner_points(patch.truth, CLICKS_PER_LESION, rng)
                for i, j in points:
                    result = click(patch.volume, patch.truth, (i, j, patch.middle))
                    for each in (tally, by_class[label][0]):
                        each.add(band * lesions + number, *result)
                for each in (circles, by_class[label][1]):
                    each.append(circle_of(patch.truth))
                for where, mask in (("healthy liver", patch.healthy), ("a vessel", patch.vessels)):
                    for i, j in inner_points(mask, 1, rng):
                        wrong[where][1] += 1
                        wrong[where][0] += found_something(patch.volume, (i, j, patch.middle))
            print_row(f"{low:.0f}–{high:.0f} mm", tally, circles, seed)
        for label, (tally, circles) in by_class.items():
            if tally.dice:
                print_row(label, tally, circles, seed)
        for where, (found, clicks) in wrong.items():
            print(f"\nClicks on {where} answered with a contour: {found} of {clicks}.")


def found_something(volume: Volume, point: tuple[int, int, int]) -> bool:
    try:
        RadialSegmenter().segment(volume, Clicks((point,)))
    except InputError:
        return False
    return True


def on_the_real_ct(folder: Path, seed: int) -> None:
    print(
        f"\nReal CT: two tumours of one patient, {CLICKS_PER_TUMOUR} random inner clicks each; intervals over clicks\n\n{HEADER}"
    )
    volume = read_series(folder / "PATIENT_DICOM")
    for number in (1, 2):
        mask = read_mask(folder / "MASKS_DICOM" / f"livertumor{number}")
        rng, tally, circles = np.random.default_rng([seed, number]), Tally(), []
        slices, rows, columns = np.nonzero(np.stack([ndimage.binary_erosion(part) for part in mask]))
        for n in rng.integers(len(slices), size=CLICKS_PER_TUMOUR):
            k = int(slices[n])
            parts = np.zeros(mask[k].shape, dtype=np.int32)
            ndimage.label(mask[k], output=parts)
            truth = parts == parts[rows[n], columns[n]]
            tally.add(len(circles), *click(volume, truth, (int(columns[n]), int(rows[n]), k)))
            circles.append(circle_of(truth))
        print_row(f"tumour {number}", tally, circles, seed, lesions=1)


def _slices(folder: Path) -> list[pydicom.Dataset]:
    return sorted((pydicom.dcmread(path) for path in folder.iterdir()), key=lambda d: float(d.ImagePositionPatient[2]))


def read_series(folder: Path) -> Volume:
    slices = _slices(folder)
    voxels = np.stack([s.pixel_array * float(s.RescaleSlope) + float(s.RescaleIntercept) for s in slices]).astype(np.int16)
    row_mm, column_mm = (float(v) for v in slices[0].PixelSpacing)
    step = float(slices[1].ImagePositionPatient[2]) - float(slices[0].ImagePositionPatient[2])
    geometry = Geometry((voxels.shape[0], voxels.shape[1], voxels.shape[2]), np.diag([column_mm, row_mm, step, 1.0]))
    return Volume(voxels, geometry, geometry)


def read_mask(folder: Path) -> NDArray[np.bool_]:
    return np.stack([s.pixel_array > 0 for s in _slices(folder)])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lesions", type=int, default=30, help="simulated lesions in each size band")
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--no-real", action="store_true", help="leave the real CT out even where LESIONLABEL_REAL_CT names it")
    chosen = parser.parse_args()
    on_the_phantom(chosen.lesions, chosen.seed)
    real = os.environ.get("LESIONLABEL_REAL_CT")
    if real and not chosen.no_real:
        on_the_real_ct(Path(real), chosen.seed)
    else:
        print("\nThe real CT was not looked at: set LESIONLABEL_REAL_CT to the unzipped 3Dircadb1.17 folder.")


if __name__ == "__main__":
    main()
