"""The ROI: `cut_context` and `cut_roi`, the only ones, for training, inference, tools and tests alike.

A context is native-pixel HU around a lesion, wide enough for every rotation, shift and scaling of the augmentation. A ROI
is sampled from it in one bicubic interpolation (Keys' kernel, a = -0.5, widened when shrinking so that it does not alias).
Source: Frid-Adar et al. 2018, section II; the paper gives neither the HU window nor the margin, so both are settings here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from lesionlabel.lesions.contour import Contour
from lesionlabel.lesions.errors import InputError, OutsideVolumeError
from lesionlabel.lesions.volume import Volume

ROI_SIZE = 64
#: HU that become 0 and 1. Fixed, never per image: a per-image range would erase what makes a cyst a cyst.
HU_WINDOW = (-100.0, 240.0)
#: Margin around the lesion on each side, as a share of its diameter: unscaled, and the range that scaling draws from.
MARGIN = 0.25
MARGIN_RANGE = (0.1, 0.4)
#: Largest shift of the augmentation in native pixels, min(SHIFT_PX, SHIFT_SHARE * d).
SHIFT_PX = 4.0
SHIFT_SHARE = 0.1
#: Keys' cubic convolution parameter; -0.5 is the one that reproduces quadratics.
CUBIC_A = -0.5

Flip = Literal["none", "ud", "lr", "both"]


@dataclass(frozen=True, eq=False)
class Context:
    """A lesion's surroundings in one slice.

    hu: (rows, columns) float32 HU, native pixels. centre: (x, y) of the lesion in hu, pixel centres at whole numbers.
    diameter_px: the lesion's longest diameter. spacing_mm: side of a pixel. padded: part of it lay outside the volume and
    repeats the edge. margin_px: None where there is tissue for every placement; for a ready-cut ROI the margin it was cut
    with, so that placements outside it read mirrored pixels.
    """

    hu: NDArray[np.float32]
    centre: tuple[float, float]
    diameter_px: float
    spacing_mm: float
    padded: bool = False
    margin_px: float | None = None

    def __post_init__(self) -> None:
        if self.hu.ndim != 2 or min(self.hu.shape) < 4:
            raise InputError(f"A context is a 2-D image of at least 4 × 4 pixels, got shape {self.hu.shape}.")
        if not np.all(np.isfinite(self.hu)):
            raise InputError("A context holds NaN or infinite values; HU must be finite.")
        if not (np.isfinite(self.diameter_px) and self.diameter_px > 0):
            raise InputError(f"A lesion's diameter must be a positive number of pixels, got {self.diameter_px}.")

    @property
    def unscaled_margin(self) -> float:
        """The margin of the unscaled ROI as a share of the diameter."""
        return MARGIN if self.margin_px is None else self.margin_px / self.diameter_px


@dataclass(frozen=True)
class Placement:
    """How a ROI lies in its context.

    angle_deg: rotation of the ROI's frame, counter-clockwise positive as seen with rows downwards reversed (image x to y).
    shift_px: (x, y) in native pixels, along the context's axes. margin: share of the diameter added on each side, None
    for the context's own. flip: mirrored up-down, left-right, both, or not.
    """

    angle_deg: float = 0.0
    shift_px: tuple[float, float] = (0.0, 0.0)
    margin: float | None = None
    flip: Flip = "none"


UNCHANGED = Placement()


def context_half_width(diameter_px: float) -> int:
    """Pixels on each side of the lesion's centre that every placement of the augmentation stays within."""
    widest = 1 + 2 * MARGIN_RANGE[1]
    support = 2 * max(1.0, widest * diameter_px / ROI_SIZE)
    return math.ceil(math.sqrt(2) * widest * diameter_px / 2 + max(SHIFT_PX, support))


def require_inside(volume: Volume, contour: Contour) -> None:
    """Raise OutsideVolumeError when the contour's slice or centre is not in the volume."""
    x, y = contour.centre
    if not volume.geometry.contains((x, y, contour.slice_index)):
        slices, rows, columns = volume.geometry.shape
        raise OutsideVolumeError(
            f"The lesion's centre (i, j, k) = ({x:.1f}, {y:.1f}, {contour.slice_index}) lies outside the volume of "
            f"{columns} × {rows} × {slices} voxels."
        )


def cut_context(volume: Volume, contour: Contour) -> Context:
    """The tissue around a contour, in native pixels and HU. Outside the volume the edge value repeats, and that is flagged.

    Raises OutsideVolumeError when the contour's slice or centre is not in the volume.
    """
    require_inside(volume, contour)
    _, rows, columns = volume.geometry.shape
    x, y = contour.centre
    half = context_half_width(contour.diameter_px)
    left, top = round(x) - half, round(y) - half
    across = np.arange(left, left + 2 * half + 1)
    down = np.arange(top, top + 2 * half + 1)
    padded = bool(left < 0 or top < 0 or across[-1] >= columns or down[-1] >= rows)
    picked = volume.voxels[contour.slice_index][np.ix_(np.clip(down, 0, rows - 1), np.clip(across, 0, columns - 1))]
    return Context(
        hu=picked.astype(np.float32),
        centre=(x - left, y - top),
        diameter_px=contour.diameter_px,
        spacing_mm=volume.geometry.pixel_mm,
        padded=padded,
    )


def cubic_weight(distance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Keys' cubic convolution kernel (1981) with a = -0.5 at the given distances in pixels."""
    t = np.abs(distance)
    near = ((CUBIC_A + 2) * t - (CUBIC_A + 3)) * t * t + 1
    far = CUBIC_A * (((t - 5) * t + 8) * t - 4)
    return np.where(t < 1, near, np.where(t < 2, far, 0.0))


def taps(positions: NDArray[np.float64], step: float, size: int, mirror: bool) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """The pixels that bicubic sampling at positions reads, and their weights.

    positions: (...,) continuous pixel coordinates. step: distance of neighbouring samples in pixels; above 1 the kernel is
    widened by it. size: pixels along the axis. mirror: read mirrored pixels outside instead of the edge's.
    Returns indices and weights, both (..., taps); weights sum to 1.
    """
    widen = max(1.0, step)
    count = 2 * math.ceil(2 * widen) + 1
    index = np.floor(positions).astype(np.intp)[..., None] + np.arange(count) - count // 2
    weights = cubic_weight((index - positions[..., None]) / widen)
    weights /= weights.sum(axis=-1, keepdims=True)
    if mirror:
        period = 2 * size
        index = np.mod(index, period)
        index = np.where(index >= size, period - 1 - index, index)
    return np.clip(index, 0, size - 1), weights


def cut_roi(context: Context, placement: Placement = UNCHANGED) -> NDArray[np.float32]:
    """The ROI at a placement: (64, 64) float32 in [0, 1], HU_WINDOW mapped linearly and clipped.

    Upright ROIs equal Pillow's bicubic resize of the same square to rounding.
    """
    margin = context.unscaled_margin if placement.margin is None else placement.margin
    step = context.diameter_px * (1 + 2 * margin) / ROI_SIZE
    along = (np.arange(ROI_SIZE) - (ROI_SIZE - 1) / 2) * step
    u = -along if placement.flip in ("lr", "both") else along
    v = -along if placement.flip in ("ud", "both") else along
    rows, columns = context.hu.shape
    mirror = context.margin_px is not None
    centre_x, centre_y = context.centre[0] + placement.shift_px[0], context.centre[1] + placement.shift_px[1]
    if placement.angle_deg == 0:  # rows and columns separate: the same sum in a fraction of the time
        x_index, x_weight = taps(centre_x + u, step, columns, mirror)
        y_index, y_weight = taps(centre_y + v, step, rows, mirror)
        across = np.einsum("rct,ct->rc", context.hu[:, x_index], x_weight)
        hu = np.einsum("rtc,rt->rc", across[y_index], y_weight)
    else:
        angle = math.radians(placement.angle_deg)
        x = centre_x + math.cos(angle) * u[None, :] - math.sin(angle) * v[:, None]
        y = centre_y + math.sin(angle) * u[None, :] + math.cos(angle) * v[:, None]
        x_index, x_weight = taps(x, step, columns, mirror)
        y_index, y_weight = taps(y, step, rows, mirror)
        hu = np.zeros((ROI_SIZE, ROI_SIZE))
        for t in range(y_index.shape[-1]):
            hu += y_weight[..., t] * (context.hu[y_index[..., t, None], x_index] * x_weight).sum(axis=-1)
    low, high = HU_WINDOW
    return np.clip((hu - low) / (high - low), 0.0, 1.0).astype(np.float32)
