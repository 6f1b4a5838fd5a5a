"""Training scenes for the click segmenter: a piece of a simulated CT as a scanner gives it, with the truth about it.

Noise is drawn over ranges around what one real CT and thick soft slices show (evidence: SD, in-plane correlation); pixel size,
slice thickness, contrast and tilt of the patient in the plane are drawn, too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch.nn import functional

from lesionlabel.clicks.anatomy import BOX_MM, INSIDE_MM, PIXEL_MM, SLICE_MM, VESSEL_HU, Anatomy
from lesionlabel.clicks.lesions import DrawnLesion, draw_any_lesion
from lesionlabel.lesions.volume import Geometry, Volume
from lesionlabel.phantom.texture import draw_noise_level, draw_waves

Floats = NDArray[np.floating[Any]]

#: Half a scene's side and height in mm.
HALF_MM, HALF_HEIGHT_MM = 118.0, 10.5
#: Lesions, and clicks elsewhere, lie so near to a scene's middle in mm; and a scene's middle so far inside the box, where the
#: lesion's place allows it.
PLACES_MM, INSET_MM = 75.0, 100.0
PIXELS_MM = (0.55, 0.95)
#: Slice distances in mm, and how often.
SLICES_MM, SLICES_SHARE = ((0.9, 1.7), (1.7, 3.2), (3.2, 6.0)), (0.45, 0.3, 0.25)
#: SD in HU of the noise at 1 mm slices' share, by which thick slices have less; weights of its in-plane filter.
NOISE_SD, CORRELATION = (7.0, 34.0), (0.0, 0.6)
#: How a scan differs as a whole: HU added, HU multiplied.
SHIFT_HU, GAIN = 14.0, (0.88, 1.14)
#: How often other lesions lie beside, most of them, and how often one of them touches the first.
BESIDE_SHARE, MOST_BESIDE, TOUCHING_SHARE = 0.4, 3, 0.15
#: SD in HU, and wavelengths in mm, of what changes slowly over a scan: perfusion, hardened beams.
FIELD_HU, FIELD_MM = (0.0, 6.0), (50.0, 250.0)
#: Within this many HU of its mean the liver's inside is liver; so much darker without a lesion it is another organ or fat.
LIKE_LIVER_HU, OTHER_ORGAN_HU = 22.0, 45.0
#: How deep below the liver's surface a lesion's middle lies at least, in its radii: range.
DEPTH_SHARE = (0.2, 1.0)


@dataclass(frozen=True, eq=False)
class Scene:
    """A volume with a lesion in its middle slice.

    lesion, place: the lesion and its middle (x, y) in mm from the slice's middle, in the middle slice's plane at height 0, with
    height the z of the slice above the lesion's middle. kinds: (rows, columns) of the middle slice: 0 lesion, 1 vessel, 2 liver,
    3 outside the liver, 255 none of them (edges, and other lesions).
    """

    volume: Volume
    slice_index: int
    lesion: DrawnLesion
    place: tuple[float, float]
    height: float
    kinds: NDArray[np.uint8]

    def truth(self, points: NDArray[np.float64]) -> NDArray[np.bool_]:
        """Whether points (..., 2) as (x, y) in the middle slice's pixels lie in the lesion."""
        _, rows, columns = self.volume.geometry.shape
        mm = self.volume.geometry.pixel_mm
        x = (points[..., 0] - (columns - 1) / 2) * mm - self.place[0]
        y = (points[..., 1] - (rows - 1) / 2) * mm - self.place[1]
        return self.lesion.contains(x, y, self.height)


def draw_scene(rng: np.random.Generator, anatomy: Anatomy) -> Scene:
    """A lesion somewhere in that liver, in a piece of a CT."""
    lesion = draw_any_lesion(rng, anatomy.densities)
    pixel_mm = rng.uniform(*PIXELS_MM)
    slice_mm = rng.uniform(*SLICES_MM[rng.choice(3, p=SLICES_SHARE)])
    middle = _place(rng, anatomy, lesion)
    radius = lesion.diameter_mm / 2
    height = float(rng.uniform(-0.75, 0.75) * radius) if rng.random() < 0.6 else float(rng.uniform(-0.3, 0.3) * radius)
    each = max(1, int(HALF_HEIGHT_MM / slice_mm))
    heights = np.arange(-each, each + 1) * slice_mm
    subs = (np.arange(count := 1 if slice_mm < 2 else 3) + 0.5) / count - 0.5
    levels = (heights[:, None] + subs[None, :] * slice_mm).ravel()

    # Where the lesion's middle lies in the slice; the scene's own grid is turned against the patient, and at times mirrored.
    angle, mirrored = rng.uniform(-0.5, 0.5), rng.random() < 0.5
    place = _place_in_scene(rng, middle, radius, angle, mirrored)
    size = int(2 * HALF_MM / pixel_mm) | 1
    along = ((np.arange(size) - size // 2) * pixel_mm).astype(np.float32)
    x, y = np.meshgrid(along, along)
    px, py = (x - place[0]) * (-1 if mirrored else 1), y - place[1]
    world_x = middle[0] + np.cos(angle) * px - np.sin(angle) * py
    world_y = middle[1] + np.sin(angle) * px + np.cos(angle) * py
    planes = _sample(anatomy, world_x, world_y, middle[2] + height + levels)
    depth = _sample_depth(anatomy, world_x, world_y, middle[2] + height)

    blur = anatomy.densities.edge_mm
    others = _draw_others(rng, anatomy, lesion, place)
    clean_middle = planes[len(planes) // 2].copy()
    for plane, level in zip(planes, levels.tolist(), strict=True):
        for one, at in [*others, (lesion, (*place, 0.0))]:
            _paint(plane, x, y, height + level, one, at, blur)
    slices = planes.reshape(len(heights), len(subs), size, size).mean(axis=1)
    slices = (slices - anatomy.densities.liver) * rng.uniform(*GAIN) + anatomy.densities.liver + rng.normal(0, SHIFT_HU)
    field = draw_waves(rng, 5, *FIELD_MM)(x[::8, ::8], y[::8, ::8], 0.0) * rng.uniform(*FIELD_HU)
    slices += ndimage.zoom(field, 8, order=1, grid_mode=True, mode="nearest")[:size, :size]
    sd = float(np.exp(rng.uniform(*np.log(NOISE_SD)))) / np.sqrt(max(slice_mm, 1.0)) ** 0.7
    slices += _noise(rng, slices.shape, sd, x, y)
    voxels = np.rint(np.clip(slices, -1024, 3071)).astype(np.int16)
    geometry = Geometry((len(heights), size, size), np.diag([pixel_mm, pixel_mm, slice_mm, 1.0]))
    volume = Volume(voxels, geometry, geometry)
    scene = Scene(volume, each, lesion, place, height, np.empty(0, np.uint8))
    return Scene(volume, each, lesion, place, height, _kinds(scene, clean_middle, depth, x, y, others, anatomy))


def _place(rng: np.random.Generator, anatomy: Anatomy, lesion: DrawnLesion) -> NDArray[np.float64]:
    """A point in the liver, as deep as the lesion's size and chance ask for, where there is one."""
    radius = lesion.diameter_mm / 2
    coarse = anatomy.depth[2:-2:3, ::4, ::4].astype(np.float32)
    wanted = min(rng.uniform(*DEPTH_SHARE) * radius, 0.8 * float(coarse.max()))
    slices, rows, columns = np.nonzero(coarse >= wanted)
    n = int(rng.integers(len(slices)))
    corner = np.array([low for low, _high in BOX_MM])
    steps = np.array([columns[n] * 4 * PIXEL_MM, rows[n] * 4 * PIXEL_MM, (2 + slices[n] * 3) * SLICE_MM])
    return corner + steps + rng.uniform(-1, 1, 3)


def _place_in_scene(
    rng: np.random.Generator, middle: NDArray[np.float64], radius: float, angle: float, mirrored: bool
) -> tuple[float, float]:
    """Where in the scene the lesion's middle lies: anywhere, as clicks elsewhere do, but with most of it in the picture."""
    reach = min(PLACES_MM, HALF_MM - radius)
    off = reach * np.sqrt(rng.random()) * np.exp(1j * rng.uniform(0, 2 * np.pi))
    (left, right), (top, bottom), _ = BOX_MM
    x = np.clip(middle[0] - off.real, left + INSET_MM, right - INSET_MM)
    y = np.clip(middle[1] - off.imag, top + INSET_MM, bottom - INSET_MM)
    # From the scene's middle to the lesion's, in the turned patient's plane, then in the scene's.
    off = complex(middle[0] - x, middle[1] - y) * np.exp(-1j * angle)
    off *= min(1.0, reach / max(abs(off), 1e-6))
    return float(-off.real if mirrored else off.real), float(off.imag)


def _draw_others(
    rng: np.random.Generator, anatomy: Anatomy, lesion: DrawnLesion, place: tuple[float, float]
) -> list[tuple[DrawnLesion, tuple[float, float, float]]]:
    """At times other lesions, clear of the first or touching it."""
    if rng.random() >= BESIDE_SHARE:
        return []
    others = []
    for _ in range(int(rng.integers(1, MOST_BESIDE + 1))):
        other = draw_any_lesion(rng, anatomy.densities)
        touching = rng.random() < TOUCHING_SHARE
        gap = (0.5 if touching else 0.62) * (other.diameter_mm + lesion.diameter_mm) + (0 if touching else rng.uniform(2, 40))
        if not touching and len(lesion.bodies) + len(other.bodies) > 2:
            gap *= 1.4
        angle = rng.uniform(0, 2 * np.pi)
        x, y = place[0] + gap * np.cos(angle), place[1] + gap * np.sin(angle)
        others.append((other, (float(x), float(y), float(rng.uniform(-5, 5)))))
    return others


def _paint(
    plane: Floats, x: Floats, y: Floats, z: float, one: DrawnLesion, at: tuple[float, float, float], blur_mm: float
) -> None:
    reach = one.reach_mm
    if abs(z - at[2]) > reach:
        return
    columns, rows = x[0], y[:, 0]
    left, right = np.searchsorted(columns, [at[0] - reach, at[0] + reach])
    top, bottom = np.searchsorted(rows, [at[1] - reach, at[1] + reach])
    part = (slice(top, bottom), slice(left, right))
    if left < right and top < bottom:
        plane[part] = one.paint(plane[part], x[part] - at[0], y[part] - at[1], z - at[2], blur_mm)


def _sample(anatomy: Anatomy, x: Floats, y: Floats, heights: NDArray[np.float64]) -> NDArray[np.float32]:
    """HU at points of several planes, trilinear; (planes, rows, columns)."""
    place = np.clip((heights - BOX_MM[2][0]) / SLICE_MM, 0, len(anatomy.hu) - 1.001)
    low = place.astype(int)
    share = (place - low).astype(np.float32)[:, None, None]
    levels = anatomy.hu[low] * (1 - share) + anatomy.hu[low + 1] * share
    return _in_plane(levels.astype(np.float32), x, y)


def _sample_depth(anatomy: Anatomy, x: Floats, y: Floats, height: float) -> NDArray[np.float32]:
    k = int(np.clip(np.rint((height - BOX_MM[2][0]) / SLICE_MM), 0, len(anatomy.depth) - 1))
    return _in_plane(anatomy.depth[k : k + 1].astype(np.float32), x, y)[0]


def _in_plane(levels: NDArray[np.float32], x: Floats, y: Floats) -> NDArray[np.float32]:
    rows, columns = levels.shape[1:]
    u = 2 * ((x - BOX_MM[0][0]) / PIXEL_MM) / (columns - 1) - 1
    v = 2 * ((y - BOX_MM[1][0]) / PIXEL_MM) / (rows - 1) - 1
    grid = torch.from_numpy(np.stack([u, v], axis=-1).astype(np.float32))[None]
    sampled = functional.grid_sample(torch.from_numpy(levels)[None], grid, padding_mode="border", align_corners=True)
    return sampled[0].numpy().copy()


def _noise(rng: np.random.Generator, shape: tuple[int, ...], sd: float, x: Floats, y: Floats) -> NDArray[np.float32]:
    noise = rng.standard_normal(shape, dtype=np.float32)
    side = rng.uniform(*CORRELATION)
    kernel = np.array([side, 1.0, side])
    for axis in (1, 2):
        noise = ndimage.correlate1d(noise, kernel / np.sqrt((kernel**2).sum()), axis=axis, mode="nearest")
    return noise * draw_noise_level(rng, sd).on_grid(x, y, 0.0).astype(np.float32)


def _kinds(
    scene: Scene,
    clean: Floats,
    depth: Floats,
    x: Floats,
    y: Floats,
    others: list[tuple[DrawnLesion, tuple[float, float, float]]],
    anatomy: Anatomy,
) -> NDArray[np.uint8]:
    inside = scene.lesion.contains(x - scene.place[0], y - scene.place[1], scene.height)
    other = np.zeros_like(inside)
    for one, (ox, oy, oz) in others:
        other |= one.contains(x - ox, y - oy, scene.height - oz)
    mm = scene.volume.geometry.pixel_mm
    near = np.asarray(ndimage.binary_dilation(inside | other, iterations=max(1, round(4 / mm))), dtype=bool)
    kinds = np.full(x.shape, 255, dtype=np.uint8)
    vessel = (depth > 1) & (clean > anatomy.densities.liver + VESSEL_HU)
    beside_vessel = np.asarray(ndimage.binary_dilation(vessel, iterations=max(1, round(2 / mm))), dtype=bool)
    like_liver = np.abs(clean - anatomy.densities.liver) < LIKE_LIVER_HU
    kinds[(depth > INSIDE_MM) & like_liver & ~beside_vessel & ~near] = 2
    kinds[((depth < -INSIDE_MM) | (clean < anatomy.densities.liver - OTHER_ORGAN_HU)) & (clean > -200) & ~near] = 3
    kinds[np.asarray(ndimage.binary_erosion(vessel), dtype=bool) & ~near] = 1
    kinds[other] = 255
    kinds[inside] = 0
    return kinds
