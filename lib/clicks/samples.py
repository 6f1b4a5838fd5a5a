"""Training samples of the click segmenter: windows of scenes with a click, the mask that is right, and what was clicked."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from lesionlabel.clicks.anatomy import draw_anatomy
from lesionlabel.clicks.scenes import HALF_MM, PLACES_MM, Scene, draw_scene
from lesionlabel.lesions.window import SIDE, Frame, cut_slab

#: Windows of each scene: around the click at any scale, around the lesion at about its own, and around clicks elsewhere.
ANYWHERE, FITTED = 2, 2
#: Side of a window's pixel in mm at any scale, and of a fitted window in diameters of the lesion.
PIXELS_MM, FITTED_SIDES = (0.45, 2.4), (1.45, 3.4)
#: How far a fitted window is off the lesion's middle, SD in diameters.
OFF_SHARE = 0.12
#: How often the window of a click elsewhere is off, too, and how far, SD in sides of the window.
ELSEWHERE_OFF_SHARE, ELSEWHERE_OFF = 0.5, 0.15
#: Points across each pixel at which the truth is asked, so that the mask says how much of the pixel is lesion.
ACROSS = 2
SEED_ABDOMENS = 32


@dataclass(frozen=True, eq=False)
class Samples:
    """planes: (n, 4, SIDE, SIDE) float16. masks: (n, SIDE, SIDE) uint8, points of a pixel in the lesion, 0 … ACROSS².
    clicks: (n, 2) float32 as (x, y) in the window. kinds: (n,) int64, index in KINDS. pixels_mm: (n,) float32."""

    planes: NDArray[np.float16]
    masks: NDArray[np.uint8]
    clicks: NDArray[np.float32]
    kinds: NDArray[np.int64]
    pixels_mm: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.kinds)

    @property
    def lesions(self) -> int:
        """How many lesions they show."""
        return int((self.kinds == 0).sum()) // (ANYWHERE + FITTED)


def draw_samples(numbers: Iterable[int], seed: int, scenes_each: int) -> Samples:
    """Samples from the simulated abdomens of those numbers; number n is the same for a seed whichever others there are."""
    drawn: list[Samples] = []
    for number in numbers:
        rng = stream_of(seed, number)
        anatomy = draw_anatomy(rng)
        for _ in range(scenes_each):
            # A scene may hold nothing to click on, as where all is air.
            while (samples := _of_scene(rng, draw_scene(rng, anatomy))) is None:
                continue
            drawn.append(samples)
    return join(drawn)


def stream_of(seed: int, number: int) -> np.random.Generator:
    """The random stream of a simulated abdomen: SEED_ABDOMENS of them have one seed, the next ones the next."""
    return np.random.default_rng(np.random.SeedSequence(seed + number // SEED_ABDOMENS, spawn_key=(number % SEED_ABDOMENS,)))


def join(parts: list[Samples]) -> Samples:
    return Samples(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(Samples)))


def _of_scene(rng: np.random.Generator, scene: Scene) -> Samples | None:
    _, rows, columns = scene.volume.geometry.shape
    mm = scene.volume.geometry.pixel_mm
    slab = cut_slab(scene.volume, (columns // 2, rows // 2), scene.slice_index, HALF_MM + 2)
    found = []

    def add(click: tuple[float, float], middle: tuple[float, float], pixel_mm: float, kind: int) -> None:
        # Within the picture, so that no window's edge tells of what was clicked.
        frame = slab.within(Frame(middle, pixel_mm / mm))
        offset = (np.arange(SIDE * ACROSS) - (ACROSS - 1) / 2) / ACROSS
        x, y = np.meshgrid(offset, offset)
        mask = np.zeros((SIDE, SIDE), dtype=np.uint8)
        if kind == 0:
            inside = scene.truth(frame.to_slice(np.stack([x, y], axis=-1)))
            mask = inside.reshape(SIDE, ACROSS, SIDE, ACROSS).sum(axis=(1, 3)).astype(np.uint8)
        found.append((slab.window(frame), mask, frame.to_window(np.asarray(click)), kind, pixel_mm))

    inside = scene.kinds == 0
    if inside.sum() >= 12:
        inner = np.asarray(ndimage.binary_erosion(inside), dtype=bool)
        y, x = np.nonzero(inner if inner.any() else inside)
        low, high = np.array([x.min(), y.min()]), np.array([x.max(), y.max()])
        middle, diameter = (low + high) / 2, float((high - low).max() + 1) * mm
        for number in range(ANYWHERE + FITTED):
            n = int(rng.integers(len(x)))
            click = (x[n] + rng.uniform(-0.5, 0.5), y[n] + rng.uniform(-0.5, 0.5))
            if number < ANYWHERE:
                add(click, click, _draw_pixel(rng), 0)
            else:
                off = middle + rng.normal(0, OFF_SHARE, 2) * diameter / mm
                pixel_mm = float(np.clip(rng.uniform(*FITTED_SIDES) * diameter / SIDE, *PIXELS_MM))
                add(click, (float(off[0]), float(off[1])), pixel_mm, 0)
    near = np.hypot(*np.ogrid[-(rows // 2) : rows - rows // 2, -(columns // 2) : columns - columns // 2]) * mm < PLACES_MM
    for kind in (1, 2, 3):
        y, x = np.nonzero((scene.kinds == kind) & near)
        if len(x):
            n = int(rng.integers(len(x)))
            click, pixel_mm = (float(x[n]), float(y[n])), _draw_pixel(rng)
            off = np.clip(rng.normal(0, ELSEWHERE_OFF, 2), -0.4, 0.4) * SIDE * pixel_mm / mm
            off *= rng.random() < ELSEWHERE_OFF_SHARE
            add(click, (float(click[0] + off[0]), float(click[1] + off[1])), pixel_mm, kind)
    if not found:
        return None
    planes, masks, clicks, kinds, pixels_mm = zip(*found, strict=True)
    return Samples(
        np.stack(planes).astype(np.float16),
        np.stack(masks),
        np.stack(clicks).astype(np.float32),
        np.array(kinds, dtype=np.int64),
        np.array(pixels_mm, dtype=np.float32),
    )


def _draw_pixel(rng: np.random.Generator) -> float:
    return float(np.exp(rng.uniform(*np.log(PIXELS_MM))))
