"""What can be measured in a CT of the liver, simulated or real: noise, its correlation, vessels, sharpness of edges."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.optimize import curve_fit
from scipy.special import ndtr

from lesionlabel.lesions.errors import InputError

Voxels = NDArray[np.float32]
Mask = NDArray[np.bool_]

#: Side of a patch in pixels, and the share of it that must be parenchyma.
PATCH, FULL = 17, 0.97
#: Length in mm and steps of a profile across an edge.
PROFILE_MM, PROFILE_STEPS = 7.0, 57


@dataclass(frozen=True, eq=False)
class Texture:
    """mean: HU of the parenchyma. patch_sd: SD in each 17×17 patch. in_plane: autocorrelation at lags 1-3 pixels; along_z: at
    one slice; averaged_sd: mean patch SD of the mean of 2 and of 3 neighbouring slices. All within patches."""

    mean: float
    patch_sd: NDArray[np.float64]
    in_plane: tuple[float, float, float]
    along_z: float
    averaged_sd: tuple[float, float]


def _smooth(hu: Voxels) -> Voxels:
    """Means of 3 × 5 × 5 voxels."""
    for axis, size in enumerate((3, 5, 5)):
        hu = np.asarray(ndimage.uniform_filter1d(hu, size, axis=axis), dtype=np.float32)
    return hu


def _shrunk(mask: Mask, pixels: int) -> Mask:
    return ~_grown(~mask, 1, pixels)


def _grown(mask: Mask, slices: int, pixels: int) -> Mask:
    """The mask grown by a box, one axis after the other."""
    grown = mask.astype(np.uint8)
    for axis, size in enumerate((slices, pixels, pixels)):
        grown = np.asarray(ndimage.maximum_filter1d(grown, size, axis=axis, mode="nearest"))
    return grown.astype(bool)


def parenchyma(hu: Voxels, liver: Mask, lesions: Mask | None = None) -> Mask:
    """Liver away from its edge, its larger vessels and lesions. All (slices, rows, columns)."""
    inside = _shrunk(liver, 9)
    if lesions is not None:
        inside &= ~_grown(lesions, 3, 15)
    smooth = _smooth(hu)
    middle = float(np.median(smooth[inside]))
    odd = inside & (np.abs(smooth - middle) > 24)
    return inside & ~_grown(odd, 1, 5)


def _patches(hu: Voxels, mask: Mask) -> NDArray[np.float64]:
    """Patches that are all but full of parenchyma, (n, PATCH, PATCH), from a regular raster, and the same places above them."""
    found = []
    for k in range(hu.shape[0] - 2):
        share = ndimage.uniform_filter(mask[k : k + 3].all(axis=0).astype(np.float32), PATCH)
        half = PATCH // 2
        rows, columns = np.nonzero(share[half :: PATCH - 4, half :: PATCH - 4] >= FULL)
        for r, c in zip(rows * (PATCH - 4), columns * (PATCH - 4), strict=True):
            if r + PATCH <= hu.shape[1] and c + PATCH <= hu.shape[2]:
                found.append(hu[k : k + 3, r : r + PATCH, c : c + PATCH])
    return np.asarray(found, dtype=np.float64)


def texture(hu: Voxels, mask: Mask) -> Texture:
    """Noise statistics of the parenchyma. Raises InputError when it holds fewer than 30 patches in three slices on end."""
    patches = _patches(hu, mask)
    if len(patches) < 30:
        raise InputError(f"Only {len(patches)} patches of liver without vessels and lesions were found; 30 are needed.")
    flat = patches - patches.mean(axis=(2, 3), keepdims=True)
    first = flat[:, 0]
    variance = float((first**2).mean())
    lags = []
    for lag in (1, 2, 3):
        across = (first[:, :, lag:] * first[:, :, :-lag]).mean()
        down = (first[:, lag:] * first[:, :-lag]).mean()
        lags.append(float((across + down) / 2 / variance))
    return Texture(
        mean=float(hu[mask].mean()),
        patch_sd=patches[:, 0].std(axis=(1, 2)),
        in_plane=(lags[0], lags[1], lags[2]),
        along_z=float((flat[:, 0] * flat[:, 1]).mean() / variance),
        averaged_sd=(
            float(patches[:, :2].mean(axis=1).std(axis=(1, 2)).mean()),
            float(patches.mean(axis=1).std(axis=(1, 2)).mean()),
        ),
    )


def vessel_densities(hu: Voxels, liver: Mask, lesions: Mask | None = None) -> NDArray[np.float64]:
    """HU in the middle of the larger vessels of the liver: means of 3 × 5 × 5 voxels. Empty when none is wide enough."""
    inside = _shrunk(liver, 9)
    if lesions is not None:
        inside &= ~_grown(lesions, 3, 25)
    smooth = _smooth(hu)
    wide = inside & (smooth > float(np.median(smooth[inside])) + 35)
    core = _shrunk(wide, 3)
    return smooth[core].astype(np.float64)


def _edge(x: NDArray[np.float64], inner: float, outer: float, at: float, sigma: float) -> Any:
    return outer + (inner - outer) * ndtr((at - x) / sigma)


def edge_sigmas(hu: Voxels, liver: Mask, pixel_mm: float, beyond: tuple[float, float], most: int = 400) -> NDArray[np.float64]:
    """σ in mm of error functions fitted across the liver's border where what lies beyond has HU within that range.

    Profiles run along the in-plane normal; five neighbouring ones are averaged.
    """
    rng = np.random.default_rng(0)
    steps = np.linspace(-PROFILE_MM, PROFILE_MM, PROFILE_STEPS)
    sigmas: list[float] = []
    for k in range(0, hu.shape[0], 2):
        smooth = ndimage.gaussian_filter(liver[k].astype(np.float32), 2.5)
        dy, dx = np.gradient(smooth)
        border = np.argwhere(liver[k] & ~_shrunk(liver[k : k + 1], 3)[0])
        for r, c in border[rng.permutation(len(border))[:60]]:
            normal = -np.array([dy[r, c], dx[r, c]])
            length = float(np.linalg.norm(normal))
            if length < 0.05:
                continue
            normal /= length
            aside = np.array([-normal[1], normal[0]])
            places = (
                np.array([r, c])[:, None, None]
                + normal[:, None, None] * (steps / pixel_mm)
                + aside[:, None, None] * np.arange(-2, 3)[None, :, None]
            )
            profile = ndimage.map_coordinates(hu[k], places, order=1, mode="nearest").mean(axis=0)
            inner, outer = float(profile[:16].mean()), float(profile[-16:].mean())
            if not (60 < inner < 150 and beyond[0] < outer < beyond[1] and profile[-16:].std() < 0.12 * (inner - outer)):
                continue
            try:
                fitted, _ = curve_fit(_edge, steps, profile, (inner, outer, 0.0, 1.0), maxfev=400)
            except RuntimeError:  # no fit: not one clean edge
                continue
            residual = float((profile - _edge(steps, *fitted)).std())
            if 0.2 < fitted[3] < 4 and abs(fitted[2]) < 4 and residual < 0.08 * (inner - outer):
                sigmas.append(float(fitted[3]))
        if len(sigmas) >= most:
            break
    return np.asarray(sigmas)
