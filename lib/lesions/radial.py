"""Closed outlines around a centre: rays, what lies on them, and the cheapest closed path across them.

A candidate is a guess about one lesion: how far it may reach, what HU the tissue around it has. All candidates are
followed at once, as the first axis of every array.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.intp]

#: HU between which a lesion's tissue lies, nodules and calcium-free rims included; outside it is fat, air or bone.
LESION_HU = (-35.0, 260.0)
#: Share of a lesion that may differ from its usual HU (nodules, rim), and of its surroundings (vessels, other organs).
OTHER_INSIDE, OTHER_OUTSIDE = 0.25, 0.1
#: Density per HU of such other tissue: even over 300 HU inside, over 500 HU outside.
INSIDE_DENSITY, OUTSIDE_DENSITY = 1 / 300, 1 / 500
#: SD in HU of a lesion's own texture.
LESION_TEXTURE = 10.0
#: The evidence of one sample is clipped to this log ratio.
LOG_RATIO_LIMIT = 3.0
#: Price of a step outwards or inwards between neighbouring rays, per squared sample, and the largest such step.
STEP_PRICE, LARGEST_STEP = 0.05, 4
#: Samples on each side of the outline that the edge compares.
EDGE_SAMPLES = 3
_ROOT_TWO_PI = float(np.sqrt(2 * np.pi))


@dataclass(frozen=True, eq=False)
class Candidates:
    """Guesses about one lesion. centre: (n, 2) as (x, y) in pixels of image; lesion, tissue, noise: (n,) HU; step: (n,) pixels
    between samples on a ray; image: (n,) index of the smoothed image that each is read from."""

    centre: FloatArray
    lesion: FloatArray
    tissue: FloatArray
    noise: FloatArray
    step: FloatArray
    image: IntArray


@dataclass(frozen=True, eq=False)
class Outlines:
    """What was found for each candidate. last: (n, rays) index of the last sample inside; hu: (n, rays, samples);
    points: (n, rays, 2) as (x, y); radius: (n, rays) pixels; centre: (n, 2), the one that the rays start from."""

    last: IntArray
    hu: FloatArray
    points: FloatArray
    radius: FloatArray
    centre: FloatArray

    def inside(self) -> NDArray[np.bool_]:
        """Which samples lie inside, (n, rays, samples)."""
        return np.arange(self.hu.shape[2]) <= self.last[..., None]

    def median_inside(self) -> FloatArray:
        """Median HU inside, each sample weighing as the area that it stands for, (n,)."""
        samples = self.hu.shape[2]
        areas = np.where(self.inside(), np.arange(1.0, samples + 1), 0.0).reshape(len(self.hu), -1)
        values = self.hu.reshape(len(self.hu), -1)
        order = np.argsort(values, axis=1)
        below = np.cumsum(np.take_along_axis(areas, order, axis=1), axis=1)
        middle = np.argmax(below >= below[:, -1:] / 2, axis=1)[:, None]
        return np.take_along_axis(np.take_along_axis(values, order, axis=1), middle, axis=1)[:, 0]

    def centroids(self) -> FloatArray:
        """Centre of area of each outline, (n, 2) as (x, y)."""
        following = np.roll(self.points, -1, axis=1)
        cross = self.points[..., 0] * following[..., 1] - following[..., 0] * self.points[..., 1]
        return ((self.points + following) * cross[..., None]).sum(axis=1) / 3 / cross.sum(axis=1)[:, None]

    def contains(self, point: tuple[float, float], slack_px: float) -> NDArray[np.bool_]:
        """Whether (x, y) lies inside each outline, or at most slack_px outside, (n,)."""
        rays = self.radius.shape[1]
        offset = np.asarray(point) - self.centre
        turn = np.arctan2(offset[:, 1], offset[:, 0]) % (2 * np.pi) / (2 * np.pi) * rays
        low = np.floor(turn).astype(int) % rays
        share, which = turn - np.floor(turn), np.arange(len(low))
        radius = (1 - share) * self.radius[which, low] + share * self.radius[which, (low + 1) % rays]
        return np.hypot(offset[:, 0], offset[:, 1]) <= radius + slack_px


def log_ratio(hu: FloatArray, candidates: Candidates) -> FloatArray:
    """Log of how much likelier each sample is in the lesion than around it, (n, rays, samples), clipped."""
    lesion, tissue, noise = (v[:, None, None] for v in (candidates.lesion, candidates.tissue, candidates.noise))
    low, high = LESION_HU
    possible = 1 / (1 + np.exp(np.clip((low - hu) / 5, -30, 30))) / (1 + np.exp(np.clip((hu - high) / 10, -30, 30)))
    inside = (1 - OTHER_INSIDE) * _normal(hu - lesion, np.hypot(noise, LESION_TEXTURE)) + OTHER_INSIDE * INSIDE_DENSITY * possible
    outside = (1 - OTHER_OUTSIDE) * _normal(hu - tissue, noise) + OTHER_OUTSIDE * OUTSIDE_DENSITY
    return np.clip(np.log(inside + 1e-7) - np.log(outside), -LOG_RATIO_LIMIT, LOG_RATIO_LIMIT)


def find_outlines(images: list[NDArray[np.float32]], candidates: Candidates, rays: int, samples: int) -> Outlines:
    """The outline around each candidate's centre that best parts lesion from tissue, by region and by edge."""
    angle = np.arange(rays) * (2 * np.pi / rays)
    way = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    count = np.arange(1, samples + 1)
    reach = count * candidates.step[:, None]
    at = candidates.centre[:, None, None, :] + way[None, :, None, :] * reach[:, None, :, None]
    hu = np.empty(at.shape[:3])
    for index, image in enumerate(images):
        chosen = candidates.image == index
        if chosen.any():
            hu[chosen] = ndimage.map_coordinates(image, [at[chosen, ..., 1], at[chosen, ..., 0]], order=1, mode="nearest")
    last = cheapest_closed_path(_cost(log_ratio(hu, candidates)), STEP_PRICE, LARGEST_STEP)
    radius = (last + 1.5) * candidates.step[:, None]
    points = candidates.centre[:, None, :] + way[None] * radius[..., None]
    return Outlines(last, hu, points, radius, candidates.centre)


def cheapest_closed_path(cost: FloatArray, price: float, largest_step: int) -> IntArray:
    """One sample a ray, around and back: (n, rays) indices for cost (n, rays, samples).

    Dynamic programming over two rounds, of which the middle one is kept: by then the path has forgotten where it began.
    Neighbouring rays differ by at most largest_step samples, at price per squared sample.
    """
    many, rays, samples = cost.shape
    prices = price * np.arange(-largest_step, largest_step + 1) ** 2
    total = cost[:, 0].copy()
    came = np.empty((2 * rays, many, samples), dtype=np.int8)
    padded = np.full((many, samples + 2 * largest_step), np.inf)
    for ray in range(1, 2 * rays):
        padded[:, largest_step:-largest_step] = total
        ways = np.lib.stride_tricks.sliding_window_view(padded, 2 * largest_step + 1, axis=1) + prices
        best = ways.argmin(axis=2)
        came[ray] = best - largest_step
        total = np.take_along_axis(ways, best[..., None], axis=2)[..., 0] + cost[:, ray % rays]
    path = np.empty((many, rays), dtype=np.intp)
    here, which = total.argmin(axis=1), np.arange(many)
    for ray in range(2 * rays - 1, rays // 2 - 1, -1):
        if ray < rays // 2 + rays:
            path[:, ray % rays] = here
        here = here + came[ray, which, here]
    return path


def _cost(ratio: FloatArray) -> FloatArray:
    """Cost of the outline running behind each sample: evidence of the area inside, and of the edge there."""
    samples = ratio.shape[2]
    count = np.arange(1, samples + 1)
    region = np.cumsum(ratio * count, axis=2) * (4 / samples**2)
    along = np.concatenate([np.zeros((*ratio.shape[:2], 1)), np.cumsum(ratio, axis=2)], axis=2)
    low, high = np.maximum(count - EDGE_SAMPLES, 0), np.minimum(count + EDGE_SAMPLES, samples)
    before = (along[..., count] - along[..., low]) / (count - low)
    behind = (along[..., high] - along[..., count]) / np.maximum(high - count, 1)
    return -region - (before - behind) / (2 * LOG_RATIO_LIMIT)


def _normal(difference: FloatArray, sd: FloatArray) -> FloatArray:
    return np.exp(-0.5 * (difference / sd) ** 2) / (sd * _ROOT_TWO_PI)
