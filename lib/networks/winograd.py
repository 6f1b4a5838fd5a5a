"""Winograd's minimal filtering for convolutions of stride 2: the same sums from a half or a third of the products.

Source: Lavin and Gray 2016, arXiv 1509.09308: F(2 × 2, 3 × 3) and F(4 × 4, 3 × 3). A convolution of stride 2 is one of stride 1
over the even pixels plus one over the odd ones, with at most three taps each along an axis. The algorithm makes the results of a
tile from one product for each of its points (0, 1, -1, … and infinity, as in the interpolation of a polynomial). A point that
meets only missing taps needs none. For kernels of 5 this leaves, in the plane, 49 products of 100 for tiles of 2 × 2 pixels and
121 of 400 for tiles of 4 × 4.

Pictures here are (n, rows, columns, channels). The fine one has twice the side of the coarse one. A tile is a square of the
coarse one; the fine pixels that belong to it overlap with those of its neighbours.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

Matrix = tuple[tuple[float, ...], ...]
#: Fine pixels along an axis that belong to a tile but lie before it.
BEFORE = 2


class _Filtering(NamedTuple):
    """The paper's matrices for three taps: of the pixels (B), the taps (G) and, transposed, the results (A)."""

    pixels: Matrix
    taps: Matrix
    results: Matrix


_TILE_2 = _Filtering(
    ((1, 0, -1, 0), (0, 1, 1, 0), (0, -1, 1, 0), (0, 1, 0, -1)),
    ((1, 0, 0), (1 / 2, 1 / 2, 1 / 2), (1 / 2, -1 / 2, 1 / 2), (0, 0, 1)),
    ((1, 0), (1, 1), (1, -1), (0, -1)),
)
_TILE_4 = _Filtering(
    ((4, 0, -5, 0, 1, 0), (0, -4, -4, 1, 1, 0), (0, 4, -4, -1, 1, 0))
    + ((0, -2, -1, 2, 1, 0), (0, 2, -1, -2, 1, 0), (0, 4, 0, -5, 0, 1)),
    ((1 / 4, 0, 0), (-1 / 6, -1 / 6, -1 / 6), (-1 / 6, 1 / 6, -1 / 6))
    + ((1 / 24, 1 / 12, 1 / 6), (1 / 24, -1 / 12, 1 / 6), (0, 0, 1)),
    ((1, 0, 0, 0), (1, 1, 1, 1), (1, -1, 1, -1), (1, 2, 4, 8), (1, -2, 4, -8), (0, 0, 0, 1)),
)
#: The taps of the even and of the odd pixels: (3, taps) each.
_OF_FIVE = (((1, 0, 0, 0, 0), (0, 0, 1, 0, 0), (0, 0, 0, 0, 1)), ((0, 1, 0, 0, 0), (0, 0, 0, 1, 0), (0, 0, 0, 0, 0)))
_OF_FOUR = (((0, 0, 0, 0), (0, 1, 0, 0), (0, 0, 0, 1)), ((1, 0, 0, 0), (0, 0, 1, 0), (0, 0, 0, 0)))
#: Nearest up-sampling and three taps are a transposed convolution with four: the taps of the three in each of the four.
_FOUR_OF_UP = ((0, 0, 1), (0, 1, 1), (1, 1, 0), (1, 0, 0))


class Scheme:
    """How a convolution with a kind of kernel is made from products, along an axis.

    tile: coarse pixels of a tile. pixels: (products, 2 tile + 3) what each product takes of a tile's fine pixels. results:
    (points, tile) what each point takes of its coarse ones. kernel: (products, taps). of_points: the numbers of the products in
    the plane for each point in the plane. transposed_kernel: whether the kernel names fine channels first.
    """

    def __init__(self, filtering: _Filtering, phases: tuple[Matrix, Matrix], up: bool = False) -> None:
        self.results = filtering.results
        self.tile = len(self.results[0])
        self.transposed_kernel = up
        rows, points, kernel = [], [], []
        for phase, of_phase in enumerate(phases):
            of_point = torch.tensor(filtering.taps, dtype=torch.float64) @ torch.tensor(of_phase, dtype=torch.float64)
            for point in of_point.any(dim=1).nonzero()[:, 0].tolist():
                row = [0.0] * (2 * self.tile + 3)
                for pixel, factor in enumerate(filtering.pixels[point]):
                    if factor:
                        row[2 * pixel + phase] = factor
                rows.append(tuple(row))
                points.append(point)
                kernel.append(of_point[point])
        self.pixels: Matrix = tuple(rows)
        self.kernel = torch.stack(kernel)
        if up:
            self.kernel = self.kernel @ torch.tensor(_FOUR_OF_UP, dtype=torch.float64)
        of_plane = [(down, across) for down in points for across in points]
        every = range(len(self.results))
        self.of_points = [[i for i, at in enumerate(of_plane) if at == (down, across)] for down in every for across in every]

    def of_kernel(self, like: Tensor) -> Tensor:
        """What each product takes of the kernel in the plane, (products ** 2, taps ** 2), in like's type."""
        return torch.kron(self.kernel, self.kernel).to(like.dtype)


FIVE = {filtering.tile: filtering for filtering in (Scheme(_TILE_2, _OF_FIVE), Scheme(_TILE_4, _OF_FIVE))}
FOUR = {filtering.tile: filtering for filtering in (Scheme(_TILE_2, _OF_FOUR), Scheme(_TILE_4, _OF_FOUR))}
UP = {filtering.tile: filtering for filtering in (Scheme(_TILE_2, _OF_FOUR, True), Scheme(_TILE_4, _OF_FOUR, True))}


def split_coarse(picture: Tensor, scheme: Scheme) -> Tensor:
    """What belongs to each point of a coarse picture: (points, points, n, t, t, c) for t × t tiles."""
    n, side, _, channels = picture.shape
    tile, count = scheme.tile, len(scheme.results)
    rows = picture.new_empty(count, n, side // tile, side, channels)
    out = picture.new_empty(count, count, n, side // tile, side // tile, channels)
    for factors, into in zip(scheme.results, rows, strict=True):
        _combine(into, [(factor, picture[:, at::tile]) for at, factor in enumerate(factors)])
    for factors, into in zip(scheme.results, out.transpose(0, 1), strict=True):
        _combine(into, [(factor, rows[:, :, :, at::tile]) for at, factor in enumerate(factors)])
    return out


def join_coarse(split: Tensor, scheme: Scheme, out: Tensor) -> None:
    """The adjoint of split_coarse, of (points, points, n, t, t, c), into out, (n, side, side, c)."""
    count, _, n, tiles, _, channels = split.shape
    tile = scheme.tile
    rows = split.new_empty(count, n, tiles, tile * tiles, channels)
    for at, factors in enumerate(zip(*scheme.results, strict=True)):
        _combine(rows[:, :, :, at::tile], list(zip(factors, split.transpose(0, 1), strict=True)))
    for at, factors in enumerate(zip(*scheme.results, strict=True)):
        _combine(out[:, at::tile], list(zip(factors, rows, strict=True)))


def split_fine(picture: Tensor, scheme: Scheme) -> Tensor:
    """What each product takes of a fine picture: (products, products, n, t, t, c) for t × t tiles."""
    n, side, _, channels = picture.shape
    step, count = 2 * scheme.tile, len(scheme.pixels)
    padded = functional.pad(picture, (0, 0, BEFORE, BEFORE, BEFORE, BEFORE))
    rows = picture.new_empty(count, n, side // step, side + 2 * BEFORE, channels)
    out = picture.new_empty(count, count, n, side // step, side // step, channels)
    for factors, into in zip(scheme.pixels, rows, strict=True):
        _combine(into, [(factor, padded[:, at : at + side : step]) for at, factor in enumerate(factors)])
    for factors, into in zip(scheme.pixels, out.transpose(0, 1), strict=True):
        _combine(into, [(factor, rows[:, :, :, at : at + side : step]) for at, factor in enumerate(factors)])
    return out


def join_fine(split: Tensor, scheme: Scheme, out: Tensor) -> None:
    """The adjoint of split_fine, of (products, products, n, t, t, c), into out, (n, side, side, c)."""
    count, _, n, tiles, _, channels = split.shape
    step = 2 * scheme.tile
    rows = split.new_empty(count, n, tiles, step * tiles, channels)
    _add_up(split.transpose(0, 1), scheme, [rows[:, :, :, start::step] for start in range(step)], 3)
    _add_up(rows, scheme, [out[:, start::step] for start in range(step)], 1)


def _add_up(parts: Tensor, scheme: Scheme, outs: list[Tensor], axis: int) -> None:
    """parts: of the products. outs: the fine pixels of each place in a tile; axis: theirs that counts the tiles."""
    taken = list(zip(*scheme.pixels, strict=True))
    last = outs[0].shape[axis] - 1
    for place, out in enumerate(outs):
        _combine(out, list(zip(taken[place + BEFORE], parts, strict=True)))
        # Some pixels of a tile belong to the tile before it or after it as well.
        if place + BEFORE + len(outs) < len(taken):
            for factor, part in zip(taken[place + BEFORE + len(outs)], parts, strict=True):
                if factor:
                    out.narrow(axis, 1, last).add_(part.narrow(axis, 0, last), alpha=factor)
        if place + BEFORE >= len(outs):
            for factor, part in zip(taken[place + BEFORE - len(outs)], parts, strict=True):
                if factor:
                    out.narrow(axis, 0, last).add_(part.narrow(axis, 1, last), alpha=factor)


def _combine(out: Tensor, terms: list[tuple[float, Tensor]]) -> None:
    """The sum of factors times pictures, into out."""
    (first, picture), *others = sorted((term for term in terms if term[0]), key=lambda term: term[0] != 1)
    if first != 1 or not others:
        torch.mul(picture, first, out=out)
    else:
        factor, other = others.pop()
        torch.add(picture, other, alpha=factor, out=out)
    for factor, other in others:
        out.add_(other, alpha=factor)
