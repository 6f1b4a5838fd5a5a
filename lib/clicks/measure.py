"""How well a segmenter does on simulated scenes: Dice by size, and what it says of clicks where no lesion is."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy import ndimage

from lesionlabel.clicks.anatomy import draw_anatomy
from lesionlabel.clicks.samples import stream_of
from lesionlabel.clicks.scenes import Scene, draw_scene
from lesionlabel.lesions.contour import contour_from_mask
from lesionlabel.lesions.errors import InputError, NoLesionError
from lesionlabel.lesions.segmenter import Clicks, Segmenter
from lesionlabel.networks.click_unet import KINDS

#: Longest diameter in the slice in mm.
BANDS_MM = ((10.0, 20.0), (20.0, 40.0), (40.0, 70.0), (70.0, 102.0))


#: What is said where there is no tissue.
AIR = "air"


@dataclass
class Measured:
    """dice, confidence: of the clicks on lesions of each band; a refused click has Dice 0 and no confidence.

    said: (what is there, what was said) -> clicks, KINDS each, and "air" for what is no tissue.
    """

    dice: dict[tuple[float, float], list[float]] = field(default_factory=lambda: {band: [] for band in BANDS_MM})
    confidence: list[tuple[float, float]] = field(default_factory=list)
    said: Counter[tuple[str, str]] = field(default_factory=Counter)

    def to_json(self) -> dict[str, Any]:
        bands = {
            f"{low:.0f}-{high:.0f} mm": {"clicks": len(values), "median_dice": round(float(np.median(values)), 3)}
            for (low, high), values in self.dice.items()
            if values
        }
        said = [{"there": there, "said": said, "clicks": n} for (there, said), n in sorted(self.said.items())]
        return {"dice": bands, "said": said}

    def to_text(self) -> str:
        """Markdown tables."""
        lines = ["| diameter in the slice | clicks | median Dice | 10th percentile |", "| --- | --- | --- | --- |"]
        for (low, high), values in self.dice.items():
            if values:
                lines.append(
                    f"| {low:.0f}–{high:.0f} mm | {len(values)} | {np.median(values):.2f} | {np.quantile(values, 0.1):.2f} |"
                )
        words = (*KINDS, AIR)
        lines += ["", "| clicked \\ said | " + " | ".join(words) + " |", "|" + " --- |" * (len(words) + 1)]
        for there in KINDS:
            lines.append(f"| {there} | " + " | ".join(str(self.said[there, said]) for said in words) + " |")
        return "\n".join(lines)


def measure_on_scenes(segmenter: Segmenter, anatomies: int, scenes_each: int, seed: int) -> Measured:
    """One click on the lesion and one each on vessel, liver and elsewhere, in each scene."""
    result = Measured()
    for number in range(anatomies):
        rng = stream_of(seed, number)
        anatomy = draw_anatomy(rng)
        for _ in range(scenes_each):
            _measure(segmenter, draw_scene(rng, anatomy), rng, result)
    return result


def _measure(segmenter: Segmenter, scene: Scene, rng: np.random.Generator, result: Measured) -> None:
    lesion = scene.kinds == 0
    inner = np.asarray(ndimage.binary_erosion(lesion), dtype=bool)
    for kind, name in enumerate(KINDS):
        y, x = np.nonzero(inner if kind == 0 else scene.kinds == kind)
        if not len(x):
            continue
        n = int(rng.integers(len(x)))
        dice, confidence, said = 0.0, None, "lesion"
        try:
            found = segmenter.segment(scene.volume, Clicks(((float(x[n]), float(y[n]), float(scene.slice_index)),)))
            mask = found.contour.mask(*lesion.shape)
            dice = float(2 * (mask & lesion).sum() / (mask.sum() + lesion.sum()))
            confidence = found.confidence
        except NoLesionError as error:
            said = error.what
        except InputError:
            said = AIR
        result.said[name, said] += 1
        if kind == 0:
            diameter = contour_from_mask(lesion, 0).diameter_px * scene.volume.geometry.pixel_mm
            for low, high in BANDS_MM:
                if low <= diameter < high:
                    result.dice[low, high].append(dice)
            if confidence is not None:
                result.confidence.append((confidence, dice))
