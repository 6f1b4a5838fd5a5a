"""What a human reader does with a lesion: picks one of its largest slices and draws its outline, a little off."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lesionlabel.phantom.shape import Shape, outline_diameter

#: Largest deviation of a drawn contour from the true outline, as a share of the diameter.
JITTER = (0.02, 0.08)
#: A reader picks among this many slices, and none on which the lesion is cut by more than LEAST_SHARE of its diameter.
SLICES = 3
LEAST_SHARE = 0.75


def pick_slice(rng: np.random.Generator, shape: Shape, heights: NDArray[np.float64]) -> int:
    """The index in heights (mm above the lesion's centre, one per slice) of one of the largest slices, drawn evenly."""
    reach = np.flatnonzero(np.abs(heights) <= np.max(np.diff(np.sort(heights)), initial=0.0) * (SLICES + 1) / 2 + 1e-9)
    diameters = np.array([outline_diameter(shape.outline(float(heights[i]))) for i in reach])
    best = reach[np.argsort(-diameters, kind="stable")[:SLICES]]
    sizes = np.sort(diameters)[::-1][:SLICES]
    return int(rng.choice(best[sizes >= LEAST_SHARE * sizes[0]]))


def draw_contour(rng: np.random.Generator, outline: NDArray[np.float64], least_mm: float, most_mm: float) -> NDArray[np.float64]:
    """The outline (n, 2) as a reader draws it: off by 2-8 % of the diameter at most, smoothly.

    Contours whose longest diameter leaves [least_mm, most_mm] are scaled back to it.
    """
    diameter = outline_diameter(outline)
    angles = np.linspace(0, 2 * np.pi, len(outline), endpoint=False)
    deviation = np.zeros_like(angles)
    for order in range(1, 6):
        deviation += rng.normal() / order * np.cos(order * angles + rng.uniform(0, 2 * np.pi))
    deviation += rng.normal() * 0.5
    deviation *= rng.uniform(*JITTER) * diameter / np.abs(deviation).max()
    middle = outline.mean(axis=0)
    arms = outline - middle
    lengths = np.linalg.norm(arms, axis=1, keepdims=True)
    drawn = arms * (1 + deviation[:, None] / np.maximum(lengths, 1e-6))
    size = outline_diameter(drawn)
    return middle + drawn * (float(np.clip(size, least_mm, most_mm)) / size)
