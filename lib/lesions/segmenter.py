"""From one click to a lesion's outline in that slice: the interface, and a first, simple segmenter behind it.

`RadialSegmenter` is ours: it guesses the HU of the tissue around the lesion and how far the lesion reaches, follows every guess
with closed paths around the click (`radial.py`), re-centres, and keeps the outline that best has tissue outside and none inside.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from lesionlabel.lesions.contour import Contour
from lesionlabel.lesions.errors import NoLesionError
from lesionlabel.lesions.radial import Candidates, FloatArray, Outlines, find_outlines
from lesionlabel.lesions.tubes import runs_like_a_vessel
from lesionlabel.lesions.volume import Volume

#: How far from the click the image is looked at, in mm.
WINDOW_MM = 100.0
#: How far a lesion may reach from its centre, in mm: one guess each.
REACHES_MM = (8.0, 16.0, 32.0, 50.0, 75.0)
RAYS, SAMPLES, PASSES = 64, 48, 3
#: Slices within this distance of the clicked one are averaged with it, in mm.
SLAB_MM = 2.2
#: Least smoothing in the slice, SD in mm.
SMOOTHING_MM = 1.0
#: SD in HU of the tissue's own texture, beside the noise.
TISSUE_TEXTURE = 6.0
#: HU that the tissue around a lesion may have, smoothing in mm before its HU are counted, and how many guesses are followed.
TISSUE_HU = (30.0, 185.0)
COUNTING_SMOOTHING_MM = 1.4
TISSUE_GUESSES = 3
#: Least score at which an outline is a lesion: the share of tissue around it less that inside it.
LEAST_SCORE = 0.2
#: What it costs an outline that the tissue around it is not the commonest near the click.
RARER_TISSUE = 0.2
#: A structure brighter than its surroundings by this may be a vessel, in HU.
BRIGHTER_BY = 25.0
_ADVICE = "Click inside the lesion, or give its diameter with two points."


@dataclass(frozen=True)
class Clicks:
    """Where a reader clicked: indices (i, j, k) in volume.voxels. inside: in the lesion, the newest last; outside: not in it."""

    inside: tuple[tuple[float, float, float], ...]
    outside: tuple[tuple[float, float, float], ...] = ()


@dataclass(frozen=True, eq=False)
class Segmented:
    """A lesion as a segmenter found it.

    contours: one a slice, by slice; the clicked one alone unless the whole lesion was asked for. slice_index: the clicked one.
    confidence: the Dice that the segmenter expects of the clicked slice's outline, 0 to 1; None where it cannot say.
    """

    contours: tuple[Contour, ...]
    slice_index: int
    confidence: float | None

    @property
    def contour(self) -> Contour:
        """In the clicked slice."""
        return next(contour for contour in self.contours if contour.slice_index == self.slice_index)


class Segmenter(Protocol):
    """Anything that outlines the lesion under a click."""

    def segment(self, volume: Volume, clicks: Clicks, *, whole: bool = False) -> Segmented:
        """The outline of the lesion in the slice of the newest click inside it; with whole, in all its slices.

        Raises OutsideVolumeError outside the volume, NoLesionError where the click is on something else.
        """
        ...


@dataclass(frozen=True, eq=False)
class _Window:
    """The slab around the click: hu (rows, columns), its corner (x, y) in the slice, the click (x, y) in it, pixel side in mm."""

    hu: NDArray[np.float32]
    corner: tuple[int, int]
    click: tuple[int, int]
    pixel_mm: float


class RadialSegmenter:
    """Star-shaped outlines by dynamic programming, from a click anywhere in the lesion. No training, no state."""

    def segment(self, volume: Volume, clicks: Clicks, *, whole: bool = False) -> Segmented:
        """The outline in the slice of the newest click. Takes no further clicks and knows one slice only.

        Raises OutsideVolumeError outside the volume or in air, NoLesionError where no lesion is found: in tissue like that
        around it, or on a structure that runs on like a vessel.
        """
        i, j, k = volume.require_tissue(clicks.inside[-1])
        window = _cut_window(volume, i, j, k)
        tissues = _tissue_guesses(window)
        if not len(tissues):
            raise NoLesionError(
                "outside the liver", f"No soft tissue was found around the point (i, j, k) = ({i}, {j}, {k}). {_ADVICE}"
            )
        candidates, outlines = _follow(window, tissues)
        scores = _scores(candidates, outlines) - RARER_TISSUE * (candidates.tissue != tissues[0])
        scores = np.where(outlines.contains(window.click, slack_px=1.0 / window.pixel_mm), scores, -1.0)
        best = int(scores.argmax())
        if scores[best] < LEAST_SCORE:
            raise NoLesionError(
                "liver",
                f"No lesion was found at the point (i, j, k) = ({i}, {j}, {k}): it does not stand out from the tissue around it "
                f"(about {candidates.tissue[best]:.0f} HU). {_ADVICE}",
            )
        # A lesion that the volume cuts ends at its outer faces.
        _, rows, columns = volume.geometry.shape
        contour = Contour(k, np.clip(outlines.points[best] + window.corner, -0.5, (columns - 0.5, rows - 0.5)))
        brighter = float(outlines.median_inside()[best] - candidates.tissue[best])
        if brighter > BRIGHTER_BY and runs_like_a_vessel(volume, contour, float(candidates.tissue[best])):
            raise NoLesionError(
                "vessel",
                f"The bright structure at the point (i, j, k) = ({i}, {j}, {k}) runs on through the slices like a vessel. "
                "If it is a lesion, give its diameter with two points.",
            )
        return Segmented((contour,), k, None)


def _cut_window(volume: Volume, i: int, j: int, k: int) -> _Window:
    pixel_mm = volume.geometry.pixel_mm
    _, rows, columns = volume.geometry.shape
    half, around = math.ceil(WINDOW_MM / pixel_mm), int(SLAB_MM / volume.geometry.spacing[2])
    left, top = max(0, i - half), max(0, j - half)
    slab = volume.voxels[max(0, k - around) : k + around + 1, top : min(rows, j + half + 1), left : min(columns, i + half + 1)]
    hu = np.clip(slab.mean(axis=0, dtype=np.float32), -200, 400)
    return _Window(hu, (left, top), (i - left, j - top), pixel_mm)


def _distance_mm(window: _Window) -> FloatArray:
    rows, columns = window.hu.shape
    x, y = window.click
    return np.hypot(np.arange(rows)[:, None] - y, np.arange(columns)[None, :] - x) * window.pixel_mm


def _tissue_guesses(window: _Window) -> FloatArray:
    """The HU that soft tissue near the click has most often, at most TISSUE_GUESSES of them, the commonest first."""
    smooth = ndimage.gaussian_filter(window.hu, COUNTING_SMOOTHING_MM / window.pixel_mm, truncate=3)
    edges = np.arange(TISSUE_HU[0], TISSUE_HU[1] + 1, 2.0)
    counts, _ = np.histogram(smooth, edges, weights=np.exp(-_distance_mm(window) / 40))
    counts = ndimage.gaussian_filter1d(counts, 2.5)
    peaks = np.nonzero((counts[1:-1] >= counts[:-2]) & (counts[1:-1] > counts[2:]))[0] + 1
    peaks = peaks[np.argsort(-counts[peaks])][:TISSUE_GUESSES]
    return edges[peaks[counts[peaks] > 0.15 * counts[peaks[:1]]]] + 1.0


def _noise(window: _Window) -> float:
    """SD in HU of the pixel noise within 30 mm of the click, from second differences, which edges hardly touch."""
    x, y = window.click
    half = math.ceil(30 / window.pixel_mm)
    near = window.hu[max(0, y - half) : y + half, max(0, x - half) : x + half]
    twice = near[1:, 1:] - near[:-1, 1:] - near[1:, :-1] + near[:-1, :-1]
    return min(40.0, float(np.median(np.abs(twice))) / 0.6745 / 2) if twice.size else 0.0


def _follow(window: _Window, tissues: FloatArray) -> tuple[Candidates, Outlines]:
    """Every guess, re-centred on what it found and followed again."""
    steps = np.asarray(REACHES_MM) / SAMPLES / window.pixel_mm
    widths = np.maximum(SMOOTHING_MM / window.pixel_mm, steps)
    images = [np.asarray(ndimage.gaussian_filter(window.hu, width, truncate=3), dtype=np.float32) for width in widths]
    # What a Gaussian leaves of nearly white noise, with an allowance for its correlation.
    left_over = np.minimum(1.0, 1.25 / (2 * math.sqrt(math.pi) * widths))
    noises = np.hypot(_noise(window) * left_over, TISSUE_TEXTURE)
    near = np.exp(-0.5 * (_distance_mm(window) / 1.3) ** 2)
    at_click = float((window.hu * near).sum() / near.sum())
    tissue, reach = (a.ravel() for a in np.meshgrid(tissues, np.arange(len(REACHES_MM)), indexing="ij"))
    candidates = Candidates(
        centre=np.tile(np.asarray(window.click, dtype=np.float64), (len(reach), 1)),
        lesion=np.full(len(reach), at_click),
        tissue=tissue,
        noise=noises[reach],
        step=steps[reach],
        image=reach,
    )
    outlines = find_outlines(images, candidates, RAYS, SAMPLES)
    for _ in range(PASSES - 1):
        candidates = replace(candidates, centre=outlines.centroids(), lesion=outlines.median_inside())
        outlines = find_outlines(images, candidates, RAYS, SAMPLES)
    return candidates, outlines


def _scores(candidates: Candidates, outlines: Outlines) -> FloatArray:
    """How much each outline has the tissue outside and none inside, from -1 to 1.

    Outside is a band of a quarter of the radius. An outline at the end of its rays has no outside.
    """
    samples = outlines.hu.shape[2]
    sd = candidates.noise[:, None, None] * 1.3
    like = 0.9 * np.exp(-0.5 * ((outlines.hu - candidates.tissue[:, None, None]) / sd) ** 2) / (sd * math.sqrt(2 * math.pi))
    share = like / (like + 0.1 / 60)
    area = np.where(outlines.inside(), np.arange(1, samples + 1), 0)
    within = (share * area).sum(axis=(1, 2)) / area.sum(axis=(1, 2))
    last = outlines.last[..., None]
    band = np.clip((last + 1) // 4, 2, 12)
    index = np.arange(samples)
    outside = (index >= last + 2) & (index < last + 2 + band) & (last < samples - 3)
    around = (share * outside).sum(axis=2) / np.maximum(outside.sum(axis=2), 1)
    return around.mean(axis=1) - within
