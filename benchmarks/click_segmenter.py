"""How well clicks outline a lesion: Dice, diameter and time on simulated lesions, and on a real CT where one is given.

Also: what corrective clicks add, how far the expected Dice holds, and whole lesions in 3-D.

Run from the repository: python benchmarks/click_segmenter.py [--lesions N] [--seed S]. The real CT is the unzipped
3Dircadb1.17 folder that LESIONLABEL_REAL_CT names; what its figures are worth says docs/segmenter.md.
"""

from __future__ import annotations

import argparse
import math
import os
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pydicom
import torch
from numpy.typing import NDArray
from scipy import ndimage

from lesionlabel.lesions.contour import Contour, contour_from_circle, contour_from_mask
from lesionlabel.lesions.errors import InputError, NoLesionError
from lesionlabel.lesions.segmenter import Clicks, Segmented, Segmenter
from lesionlabel.lesions.volume import Geometry, Volume
from lesionlabel.phantom.background import draw_background, paint_background
from lesionlabel.phantom.lesions import DRAWN_CLASSES, draw_lesion, paint_lesion
from lesionlabel.phantom.parameters import VARIANTS
from lesionlabel.phantom.patient import ScanDensities, draw_densities
from lesionlabel.phantom.presets import PRESETS, Preset
from lesionlabel.phantom.texture import draw_noise_level, noise_stack
from lesionlabel.registry.segmenter_bundle import load_segmenter
from lesionlabel.registry.versions import starter_folder

BANDS_MM = ((10.0, 20.0), (20.0, 40.0), (40.0, 70.0), (70.0, 102.0))
CLICKS_PER_LESION = 2
CLICKS_PER_TUMOUR = 20
CORRECTIONS = 3
#: Lesions of each band, and clicks of each tumour of the real CT, that are also outlined in 3-D.
WHOLE_PER_BAND, WHOLE_PER_TUMOUR = 6, 5
#: Side of the simulated patch of liver, and slices on each side of the lesion's middle that are painted.
PATCH_MM, SLICES_EACH_SIDE = 200.0, {"sharp": 6, "soft": 2}


@dataclass(frozen=True)
class Click:
    """What one click gave. A refusal is Dice 0, ratio (found / true diameter) and expected Dice NaN.

    corrected: Dice after one, two … corrective clicks, each where the outline before was most wrong.
    """

    dice: float
    ratio: float
    expected: float
    seconds: float
    corrected: tuple[float, ...]


@dataclass
class Tally:
    """Clicks, and the lesion of each."""

    clicks: list[Click] = field(default_factory=list)
    lesion: list[int] = field(default_factory=list)

    def add(self, lesion: int, click: Click) -> None:
        self.clicks.append(click)
        self.lesion.append(lesion)


@dataclass(frozen=True)
class Patch:
    """A simulated slab of liver. In slice middle, (rows, columns): healthy liver away from anything, and veins.

    whole: the lesion in all slices, (slices, rows, columns).
    """

    volume: Volume
    whole: NDArray[np.bool_]
    healthy: NDArray[np.bool_]
    vessels: NDArray[np.bool_]
    middle: int

    @property
    def truth(self) -> NDArray[np.bool_]:
        """The lesion in slice middle."""
        return self.whole[self.middle]


def simulate(rng: np.random.Generator, label: str, diameter_mm: float, preset: Preset, each: int) -> Patch:
    """One lesion in a slab of the phantom's liver, each slices to both sides, with its true outline (no reader's jitter)."""
    densities: ScanDensities = draw_densities(rng, preset)
    lesion = draw_lesion(rng, label, diameter_mm, densities, VARIANTS["calibrated"])
    background = draw_background(rng, densities, diameter_mm, PATCH_MM / 2)
    half = int(PATCH_MM / 2 / preset.pixel_mm)
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
    whole = np.zeros(voxels.shape, dtype=bool)
    for index, height in enumerate(heights):
        points = lesion.shape.outline(float(height)) / preset.pixel_mm + half + offset[:2]
        if len(points):
            whole[index] = Contour(index, points).mask(along.size, along.size)
    truth = whole[each]
    # Healthy: liver, 4 mm away from the lesion, vessels and other organs.
    away = np.asarray(ndimage.distance_transform_edt((np.abs(bare - densities.liver) < 15) & ~truth)) * preset.pixel_mm
    vessels = (np.abs(bare - densities.veins) < 12) & ~np.asarray(ndimage.binary_dilation(truth, iterations=6), dtype=bool)
    return Patch(Volume(voxels, geometry, geometry), whole, away > 4, vessels, each)


def inner_points(mask: NDArray[np.bool_], count: int, rng: np.random.Generator) -> list[tuple[int, int]]:
    """Random pixels (column, row) of mask less its outermost pixel."""
    rows, columns = np.nonzero(ndimage.binary_erosion(mask))
    chosen = rng.integers(len(rows), size=count) if len(rows) else []
    return [(int(columns[n]), int(rows[n])) for n in chosen]


def ask(segmenter: Segmenter, volume: Volume, clicks: Clicks) -> Segmented | None:
    try:
        return segmenter.segment(volume, clicks)
    except InputError:
        return None


def click(segmenter: Segmenter, volume: Volume, truth: NDArray[np.bool_], point: tuple[int, int, int]) -> Click:
    """One click and its corrections against truth (rows, columns) in the click's slice."""
    clicks = Clicks((point,))
    began = time.perf_counter()
    found = ask(segmenter, volume, clicks)
    seconds = time.perf_counter() - began
    corrected, now = [], found
    for _ in range(CORRECTIONS):
        clicks = corrective(clicks, now, truth, point[2])
        now = ask(segmenter, volume, clicks)
        corrected.append(0.0 if now is None else dice_of(now.contour, truth))
    if found is None or found.confidence is None:
        return Click(0.0, math.nan, math.nan, seconds, tuple(corrected))
    ratio = found.contour.diameter_px / contour_from_mask(truth, point[2]).diameter_px
    return Click(dice_of(found.contour, truth), ratio, found.confidence, seconds, tuple(corrected))


def corrective(clicks: Clicks, found: Segmented | None, truth: NDArray[np.bool_], k: int) -> Clicks:
    """One more click, where it is deepest in what was missed or taken in by mistake; after a refusal deep in the lesion."""
    taken = np.zeros_like(truth) if found is None else found.contour.mask(*truth.shape)
    depths = [
        np.asarray(ndimage.distance_transform_edt(np.pad(part, 1)))[1:-1, 1:-1] for part in (truth & ~taken, taken & ~truth)
    ]
    missed = depths[0].max() >= depths[1].max()
    row, column = np.unravel_index(int(np.argmax(depths[0 if missed else 1])), truth.shape)
    point = (float(column), float(row), float(k))
    if missed:
        return Clicks((*clicks.inside, point), clicks.outside)
    return Clicks(clicks.inside, (*clicks.outside, point))


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
    dice, ratio = np.array([c.dice for c in tally.clicks]), np.array([c.ratio for c in tally.clicks])
    low, high = median_interval(dice.tolist(), tally.lesion, seed)
    corrected = np.median([c.corrected for c in tally.clicks], axis=0)
    expected = np.array([c.expected for c in tally.clicks])
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
        f"{np.mean(expected[~refused]):.2f} / {np.mean(dice[~refused]):.2f}" if not refused.all() else "–",
        ", ".join(f"{value:.2f}" for value in corrected),
        f"{1000 * np.median([c.seconds for c in tally.clicks]):.0f}",
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
    "mean Dice, expected / true",
    f"median Dice after 1 to {CORRECTIONS} corrective clicks",
    "ms a click",
)
HEADER = "| " + " | ".join(COLUMNS) + " |\n|" + " --- |" * len(COLUMNS)


def on_the_phantom(segmenter: Segmenter, lesions: int, seed: int) -> None:
    for preset in PRESETS.values():
        print(f"\nSimulated lesions, preset {preset.name}, seed {seed}\n\n{HEADER}")
        by_class: dict[str, tuple[Tally, list[float]]] = {label: (Tally(), []) for label in DRAWN_CLASSES}
        wrong: dict[str, Counter[str]] = {"healthy liver": Counter(), "a vessel": Counter()}
        for band, (low, high) in enumerate(BANDS_MM):
            tally, circles = Tally(), []
            for number in range(lesions):
                label = DRAWN_CLASSES[number % len(DRAWN_CLASSES)]
                rng = np.random.default_rng([seed, band, number])
                patch = simulate(rng, label, rng.uniform(low, high), preset, SLICES_EACH_SIDE[preset.name])
                points = inner_points(patch.truth, CLICKS_PER_LESION, rng)
                for i, j in points:
                    result = click(segmenter, patch.volume, patch.truth, (i, j, patch.middle))
                    for each in (tally, by_class[label][0]):
                        each.add(band * lesions + number, result)
                for each in (circles, by_class[label][1]):
                    each.append(circle_of(patch.truth))
                for where, mask in (("healthy liver", patch.healthy), ("a vessel", patch.vessels)):
                    for i, j in inner_points(mask, 1, rng):
                        wrong[where][what_was_said(segmenter, patch.volume, (i, j, patch.middle))] += 1
            print_row(f"{low:.0f}–{high:.0f} mm", tally, circles, seed)
        for label, (tally, circles) in by_class.items():
            if tally.clicks:
                print_row(label, tally, circles, seed)
        for where, said in wrong.items():
            print(f"\n{said.total()} clicks on {where} were answered as: {', '.join(f'{n} {w}' for w, n in said.most_common())}.")


def dice_of_whole(segmenter: Segmenter, volume: Volume, point: tuple[int, int, int], truth: NDArray[np.bool_]) -> float:
    """Dice of all slices, (slices, rows, columns); 0 for a refusal."""
    try:
        found = segmenter.segment(volume, Clicks((point,)), whole=True)
    except InputError:
        return 0.0
    mask = np.zeros_like(truth)
    for contour in found.contours:
        mask[contour.slice_index] = contour.mask(*truth.shape[1:])
    return float(2 * (mask & truth).sum() / (mask.sum() + truth.sum()))


def whole_on_the_phantom(segmenter: Segmenter, lesions: int, seed: int) -> None:
    print(f"\nSimulated lesions in 3-D, one click each, preset sharp, seed {seed}\n")
    print("| set | lesions | median Dice | 10th percentile | seconds a lesion |\n|" + " --- |" * 5)
    for band, (low, high) in enumerate(BANDS_MM):
        dice, seconds = [], []
        for number in range(lesions):
            rng = np.random.default_rng([seed, 9, band, number])
            diameter = rng.uniform(low, high)
            each = int(0.7 * diameter / PRESETS["sharp"].slice_mm) + 6
            patch = simulate(rng, DRAWN_CLASSES[number % len(DRAWN_CLASSES)], diameter, PRESETS["sharp"], each)
            for i, j in inner_points(patch.truth, 1, rng):
                began = time.perf_counter()
                dice.append(dice_of_whole(segmenter, patch.volume, (i, j, patch.middle), patch.whole))
                seconds.append(time.perf_counter() - began)
        print(f"| {low:.0f}–{high:.0f} mm | {len(dice)} | {np.median(dice):.2f} | {np.quantile(dice, 0.1):.2f} |"
              f" {np.median(seconds):.1f} |")  # fmt: skip


def what_was_said(segmenter: Segmenter, volume: Volume, point: tuple[int, int, int]) -> str:
    try:
        segmenter.segment(volume, Clicks((point,)))
    except NoLesionError as error:
        return error.what
    except InputError:
        return "air"
    return "lesion"


def on_the_real_ct(segmenter: Segmenter, folder: Path, seed: int) -> None:
    print(
        f"\nReal CT: two tumours of one patient, {CLICKS_PER_TUMOUR} random inner clicks each; intervals over clicks\n\n{HEADER}"
    )
    volume, in_3d = read_series(folder / "PATIENT_DICOM"), []
    for number in (1, 2):
        mask = read_mask(folder / "MASKS_DICOM" / f"livertumor{number}")
        rng, tally, circles, whole = np.random.default_rng([seed, number]), Tally(), [], []
        slices, rows, columns = np.nonzero(np.stack([ndimage.binary_erosion(part) for part in mask]))
        for n in rng.integers(len(slices), size=CLICKS_PER_TUMOUR):
            k = int(slices[n])
            parts = np.zeros(mask[k].shape, dtype=np.int32)
            ndimage.label(mask[k], output=parts)
            truth = parts == parts[rows[n], columns[n]]
            tally.add(len(circles), click(segmenter, volume, truth, (int(columns[n]), int(rows[n]), k)))
            circles.append(circle_of(truth))
            if len(whole) < WHOLE_PER_TUMOUR:
                whole.append(dice_of_whole(segmenter, volume, (int(columns[n]), int(rows[n]), k), mask))
        print_row(f"tumour {number}", tally, circles, seed, lesions=1)
        in_3d.append(f"tumour {number} {', '.join(f'{dice:.2f}' for dice in whole)}")
    print(f"\nDice of the whole tumour in 3-D, from the first {WHOLE_PER_TUMOUR} of these clicks each: {'; '.join(in_3d)}.")


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
    torch.set_num_threads(2)
    segmenter = load_segmenter(starter_folder("lesion_segmenter"))
    on_the_phantom(segmenter, chosen.lesions, chosen.seed)
    whole_on_the_phantom(segmenter, WHOLE_PER_BAND, chosen.seed)
    real = os.environ.get("LESIONLABEL_REAL_CT")
    if real and not chosen.no_real:
        on_the_real_ct(segmenter, Path(real), chosen.seed)
    else:
        print("\nThe real CT was not looked at: set LESIONLABEL_REAL_CT to the unzipped 3Dircadb1.17 folder.")


if __name__ == "__main__":
    main()
