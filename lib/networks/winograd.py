"""Winograd's minimal filtering for convolutions of stride 2: the same sums from a half or a third of the products.

Source: Lavin and Gray 2016, arXiv 1509.09308, here F(2 × 2, 3 × 3) and F(4 × 4, 3 × 3). A convolution of stride 2 is one of
stride 1 over the even pixels plus one over the odd ones, with at most three taps each along an axis. The algorithm makes the
results of a tile from one product for each of its points, as a polynomial is found again from its values. A point that meets
missing taps only needs none. For kernels of 5 that leaves, in the plane, 49 products of 100 for tiles of 2 × 2 and 121 of 400
for tiles of 4 × 4.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

#: Fine pixels along an axis that belong to a tile but lie before it.
BEFORE = 2
#: Points besides infinity by the side of the tile. Those of 4 have small rounding errors, and powers that are exact in binary.
POINTS = {2: (0, 1, -1), 4: (0, 3 / 4, -3 / 4, 3 / 2, -3 / 2)}

Matrix = NDArray[np.float64]


class Scheme:
    """How convolutions with one kind of kernel are made from products, along an axis.

    The coarse picture has half the side of the fine one. A tile is some pixels of the coarse one in a row; the fine pixels that
    belong to it overlap with those of its neighbours.

    tile: coarse pixels of a tile. fine: (products, 2 tile + 3) what each product takes of a tile's fine pixels, the first of
    which lie BEFORE it. coarse: (points, tile) what each point takes of its coarse ones. kernel: (products, taps) what each
    product takes of the kernel. point: the point of each product. fine_first: whether the kernel's first axis is that of the
    fine picture's channels.
    """

    def __init__(self, tile: int, even: ArrayLike, odd: ArrayLike, seen: ArrayLike, fine_first: bool = False) -> None:
        """even, odd: (3, taps) the taps of the even and the odd pixels; seen: (taps, taps of the kernel)."""
        pixels, taps, self.coarse = _filtering(tile)
        rows, kernel = [], []
        self.point: list[int] = []
        for phase, of_phase in enumerate((even, odd)):
            of_points = taps @ np.asarray(of_phase)
            for point in np.flatnonzero(of_points.any(axis=1)):
                row = np.zeros(2 * tile + 3)
                row[phase::2] = pixels[point][: len(row[phase::2])]
                rows.append(row)
                kernel.append(of_points[point])
                self.point.append(int(point))
        self.tile, self.fine_first = tile, fine_first
        self.fine, self.kernel = np.array(rows), np.array(kernel) @ np.asarray(seen)

    @cached_property
    def of_points(self) -> list[list[int]]:
        """The numbers of the products in the plane, for each point in the plane."""
        points = len(self.coarse)
        of_products = [points * down + across for down in self.point for across in self.point]
        return [[number for number, its in enumerate(of_products) if its == point] for point in range(points**2)]

    def of_kernel(self, like: Tensor) -> Tensor:
        """What each product takes of the kernel in the plane, (products ** 2, taps ** 2), in like's type."""
        return torch.from_numpy(np.kron(self.kernel, self.kernel)).to(like.dtype)


def _filtering(tile: int) -> tuple[Matrix, Matrix, Matrix]:
    """F(tile, 3): what each point, infinity last, takes of the pixels, the taps and, transposed, the results (B, G, A)."""
    points = POINTS[tile]
    pixels = np.zeros((tile + 2, tile + 2))
    taps, results = np.zeros((tile + 2, 3)), np.zeros((tile + 2, tile))
    for row, point in enumerate(points):
        others = [other for other in points if other != point]
        pixels[row, :-1] = np.poly(others)[::-1]
        taps[row] = np.power(float(point), range(3)) / np.prod([point - other for other in others])
        results[row] = np.power(float(point), range(tile))
    pixels[-1] = np.poly(points)[::-1]
    taps[-1, -1] = results[-1, -1] = 1
    return pixels, taps, results


_EVEN_OF_FIVE, _ODD_OF_FIVE = np.eye(5)[[0, 2, 4]], np.eye(5)[[1, 3, 3]] * [[1], [1], [0]]
_EVEN_OF_FOUR, _ODD_OF_FOUR = np.eye(4)[[1, 1, 3]] * [[0], [1], [1]], np.eye(4)[[0, 2, 2]] * [[1], [1], [0]]
#: Nearest up-sampling and a kernel of three are a transposed convolution with a kernel of four, whose taps are these sums.
_FOUR_FROM_UP = ((0, 0, 1), (0, 1, 1), (1, 1, 0), (1, 0, 0))

#: By the side of the tile: kernels of 5 with stride 2, and of 3 after nearest up-sampling.
FIVE = {tile: Scheme(tile, _EVEN_OF_FIVE, _ODD_OF_FIVE, np.eye(5)) for tile in POINTS}
UP = {tile: Scheme(tile, _EVEN_OF_FOUR, _ODD_OF_FOUR, _FOUR_FROM_UP, fine_first=True) for tile in POINTS}
