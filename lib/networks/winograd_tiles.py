"""From pictures to what `winograd` multiplies, and back: sums over the pixels of tiles, channels last.

Pictures are (n, rows, columns, channels); the fine one has twice the side of the coarse one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor
from torch.nn import functional

from lesionlabel.networks.winograd import BEFORE, Scheme


def split_coarse(picture: Tensor, scheme: Scheme) -> Tensor:
    """What belongs to each point of a coarse picture: (points, points, n, t, t, c) for t × t tiles."""
    n, side, _, channels = picture.shape
    tile, count = scheme.tile, len(scheme.coarse)
    rows = picture.new_empty(count, n, side // tile, side, channels)
    both = picture.new_empty(count, count, n, side // tile, side // tile, channels)
    for factors, out in zip(scheme.coarse, rows, strict=True):
        _sum(factors, [picture[:, at::tile] for at in range(tile)], out)
    for factors, out in zip(scheme.coarse, both.transpose(0, 1), strict=True):
        _sum(factors, [rows[:, :, :, at::tile] for at in range(tile)], out)
    return both


def join_coarse(split: Tensor, scheme: Scheme, out: Tensor) -> None:
    """The adjoint of split_coarse, of (points, points, n, t, t, c), into out, (n, side, side, c)."""
    count, _, n, tiles, _, channels = split.shape
    tile = scheme.tile
    rows = split.new_empty(count, n, tiles, tile * tiles, channels)
    for at, factors in enumerate(scheme.coarse.T):
        _sum(factors, split.transpose(0, 1), rows[:, :, :, at::tile])
    for at, factors in enumerate(scheme.coarse.T):
        _sum(factors, rows, out[:, at::tile])


def split_fine(picture: Tensor, scheme: Scheme) -> Tensor:
    """What each product takes of a fine picture: (products, products, n, t, t, c) for t × t tiles."""
    n, side, _, channels = picture.shape
    step, (count, wide) = 2 * scheme.tile, scheme.fine.shape
    padded = functional.pad(picture, (0, 0, BEFORE, BEFORE, BEFORE, BEFORE))
    rows = picture.new_empty(count, n, side // step, side + 2 * BEFORE, channels)
    both = picture.new_empty(count, count, n, side // step, side // step, channels)
    for factors, out in zip(scheme.fine, rows, strict=True):
        _sum(factors, [padded[:, at : at + side : step] for at in range(wide)], out)
    for factors, out in zip(scheme.fine, both.transpose(0, 1), strict=True):
        _sum(factors, [rows[:, :, :, at : at + side : step] for at in range(wide)], out)
    return both


def join_fine(split: Tensor, scheme: Scheme, out: Tensor) -> None:
    """The adjoint of split_fine, of (products, products, n, t, t, c), into out, (n, side, side, c)."""
    count, _, n, tiles, _, channels = split.shape
    step = 2 * scheme.tile
    rows = split.new_empty(count, n, tiles, step * tiles, channels)
    _join_along(split.transpose(0, 1), scheme, [rows[:, :, :, place::step] for place in range(step)], 3)
    _join_along(rows, scheme, [out[:, place::step] for place in range(step)], 1)


def _join_along(parts: Tensor, scheme: Scheme, outs: list[Tensor], axis: int) -> None:
    """parts: of the products. outs: the fine pixels of each place in a tile; axis: theirs that counts the tiles."""
    pixels = scheme.fine.T
    others = outs[0].shape[axis] - 1
    for place, out in enumerate(outs):
        own, after, before = place + BEFORE, place + BEFORE - len(outs), place + BEFORE + len(outs)
        _sum(pixels[own], parts, out)
        # Some of a tile's pixels belong to the tile before it or after it as well.
        if before < len(pixels):
            _add(pixels[before], parts.narrow(axis + 1, 0, others), out.narrow(axis, 1, others))
        if after >= 0:
            _add(pixels[after], parts.narrow(axis + 1, 1, others), out.narrow(axis, 0, others))


def _sum(factors: Iterable[float], pictures: Sequence[Tensor] | Tensor, out: Tensor) -> None:
    """The sum of factors times pictures, into out."""
    terms = [(float(factor), picture) for factor, picture in zip(factors, pictures, strict=True) if factor]
    (first, picture), *others = sorted(terms, key=lambda term: term[0] != 1)
    if first == 1 and others:
        factor, other = others.pop()
        torch.add(picture, other, alpha=factor, out=out)
    else:
        torch.mul(picture, first, out=out)
    for factor, other in others:
        out.add_(other, alpha=factor)


def _add(factors: Iterable[float], pictures: Tensor, out: Tensor) -> None:
    for factor, picture in zip(factors, pictures, strict=True):
        if factor:
            out.add_(picture, alpha=float(factor))
