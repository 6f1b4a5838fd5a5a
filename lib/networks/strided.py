"""The strided convolutions of the GANs: torch's own, or, where they are wide, on a CPU in float32, in half of the time.

The same sums as torch's in another order (`winograd`), so that results differ by rounding only. In bfloat16 and on a GPU torch's
own are faster.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from lesionlabel.networks.winograd import FIVE, UP, Scheme
from lesionlabel.networks.winograd_tiles import join_coarse, join_fine, split_coarse, split_fine

#: Fewest channels on either side, and fewest tiles of a batch, for which the detour pays.
LEAST_CHANNELS, LEAST_TILES = 64, 128
#: Tiles that are worked on at once, so that what they need stays in the cache.
TILES_AT_ONCE = 256


def convolve(conv: nn.Module, x: Tensor) -> Tensor:
    """conv(x) for a kernel of 5 and a stride of 2 that halves or doubles the picture's side. It has no second derivative."""
    assert isinstance(conv, nn.Conv2d | nn.ConvTranspose2d)
    transposed = isinstance(conv, nn.ConvTranspose2d)
    scheme = _scheme(conv, x, x.shape[-1] if transposed else x.shape[-1] // 2, FIVE)
    return conv(x) if scheme is None else _run(_ToFine if transposed else _ToCoarse, conv, x, scheme)


def upsample_and_convolve(conv: nn.Module, x: Tensor) -> Tensor:
    """conv, with a kernel of 3 and padding 1, of the picture x with every pixel doubled along both axes.

    Where a tap meets the same pixel as the next, both are added up first: a transposed convolution with a kernel of 4, which has
    16 products where the doubled picture has 36.
    """
    assert isinstance(conv, nn.Conv2d)
    scheme = _scheme(conv, x, x.shape[-1], UP)
    if scheme is not None:
        return _run(_ToFine, conv, x, scheme)
    weight = conv.weight.transpose(0, 1)
    for axis in (2, 3):
        first, second, third = weight.unbind(axis)
        weight = torch.stack([third, second + third, first + second, first], axis)
    return functional.conv_transpose2d(x, weight, conv.bias, stride=2, padding=1)


def _scheme(conv: nn.Conv2d | nn.ConvTranspose2d, x: Tensor, side: int, schemes: dict[int, Scheme]) -> Scheme | None:
    """The one of schemes with which the detour pays for a coarse picture of that side, None for none."""
    if x.device.type != "cpu" or x.dtype != torch.float32 or torch.is_autocast_enabled("cpu"):
        return None
    if min(conv.in_channels, conv.out_channels) < LEAST_CHANNELS:
        return None
    fitting = (s for s in schemes.values() if side % s.tile == 0 and len(x) * (side // s.tile) ** 2 >= LEAST_TILES)
    return max(fitting, key=lambda s: s.tile, default=None)


def _run(way: type[_ToFine] | type[_ToCoarse], conv: nn.Conv2d | nn.ConvTranspose2d, x: Tensor, scheme: Scheme) -> Tensor:
    made: Any = way.apply(x.permute(0, 2, 3, 1), conv.weight, scheme)
    return (made if conv.bias is None else made + conv.bias).permute(0, 3, 1, 2)


class _ToFine(torch.autograd.Function):
    """A transposed convolution of pictures (n, side, side, coarse channels)."""

    @staticmethod
    def forward(ctx: Any, coarse: Tensor, weight: Tensor, scheme: Scheme) -> Tensor:
        taps = _taps(weight, scheme)
        ctx.save_for_backward(coarse, weight, taps)
        ctx.scheme = scheme
        n, side, _, _ = coarse.shape
        fine = coarse.new_empty(n, 2 * side, 2 * side, taps.shape[2])
        for part in _parts(coarse, scheme):
            _join_products(_points(coarse[part], scheme), taps, scheme, fine[part])
        return fine

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        (gradient,), (coarse, weight, taps), scheme = gradients, ctx.saved_tensors, ctx.scheme
        of_coarse = coarse.new_empty(coarse.shape) if ctx.needs_input_grad[0] else None
        of_taps = torch.zeros_like(taps) if ctx.needs_input_grad[1] else None
        for part in _parts(coarse, scheme):
            pixels = _pixels(gradient[part], scheme)
            if of_coarse is not None:
                _join_points(pixels, taps, scheme, of_coarse[part])
            if of_taps is not None:
                _add_taps(_points(coarse[part], scheme), pixels, scheme, of_taps)
        return of_coarse, None if of_taps is None else _weight(of_taps, weight, scheme), None


class _ToCoarse(torch.autograd.Function):
    """A convolution of pictures (n, side, side, fine channels)."""

    @staticmethod
    def forward(ctx: Any, fine: Tensor, weight: Tensor, scheme: Scheme) -> Tensor:
        taps = _taps(weight, scheme)
        ctx.save_for_backward(fine, weight, taps)
        ctx.scheme = scheme
        n, side, _, _ = fine.shape
        coarse = fine.new_empty(n, side // 2, side // 2, taps.shape[1])
        for part in _parts(coarse, scheme):
            _join_points(_pixels(fine[part], scheme), taps, scheme, coarse[part])
        return coarse

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        (gradient,), (fine, weight, taps), scheme = gradients, ctx.saved_tensors, ctx.scheme
        of_fine = fine.new_empty(fine.shape) if ctx.needs_input_grad[0] else None
        of_taps = torch.zeros_like(taps) if ctx.needs_input_grad[1] else None
        for part in _parts(gradient, scheme):
            points = _points(gradient[part], scheme)
            if of_fine is not None:
                _join_products(points, taps, scheme, of_fine[part])
            if of_taps is not None:
                _add_taps(points, _pixels(fine[part], scheme), scheme, of_taps)
        return of_fine, None if of_taps is None else _weight(of_taps, weight, scheme), None


def _taps(weight: Tensor, scheme: Scheme) -> Tensor:
    """What each product takes of the kernel, (products, coarse channels, fine channels), without copying channels-last ones."""
    first, second, *sides = weight.shape
    taps = torch.matmul(scheme.of_kernel(weight), weight.permute(0, 2, 3, 1).reshape(first, sides[0] * sides[1], second))
    return taps.permute(1, 2, 0) if scheme.fine_first else taps.transpose(0, 1)


def _weight(of_taps: Tensor, weight: Tensor, scheme: Scheme) -> Tensor:
    """The adjoint of _taps: the gradient of the weight, channels last."""
    first, second, *sides = weight.shape
    of_taps = of_taps.permute(2, 0, 1) if scheme.fine_first else of_taps.transpose(0, 1)
    return torch.matmul(scheme.of_kernel(weight).T, of_taps).view(first, *sides, second).permute(0, 3, 1, 2)


def _parts(coarse: Tensor, scheme: Scheme) -> Iterator[slice]:
    """Pictures whose tiles are worked on at once."""
    n, side, _, _ = coarse.shape
    step = max(1, TILES_AT_ONCE // (side // scheme.tile) ** 2)
    return (slice(start, start + step) for start in range(0, n, step))


def _points(coarse: Tensor, scheme: Scheme) -> Tensor:
    """What belongs to each point: (points, tiles, coarse channels)."""
    return split_coarse(coarse, scheme).flatten(0, 1).flatten(1, 3)


def _pixels(fine: Tensor, scheme: Scheme) -> Tensor:
    """What each product takes of a fine picture: (products, tiles, fine channels)."""
    return split_fine(fine, scheme).flatten(0, 1).flatten(1, 3)


def _join_products(points: Tensor, taps: Tensor, scheme: Scheme, fine: Tensor) -> None:
    """Multiply what belongs to the points with the taps, into the fine picture."""
    products = points.new_empty(len(taps), points.shape[1], taps.shape[2])
    for point, numbers in zip(points, scheme.of_points, strict=True):
        for number in numbers:
            torch.mm(point, taps[number], out=products[number])
    n, tiles, count = len(fine), fine.shape[1] // (2 * scheme.tile), len(scheme.fine)
    join_fine(products.view(count, count, n, tiles, tiles, -1), scheme, fine)


def _join_points(pixels: Tensor, taps: Tensor, scheme: Scheme, coarse: Tensor) -> None:
    """Multiply what the products take of the fine picture with the taps, into the coarse picture."""
    n, tiles, count = len(coarse), coarse.shape[1] // scheme.tile, len(scheme.coarse)
    points = pixels.new_empty(count**2, pixels.shape[1], taps.shape[1])
    for point, (first, *others) in zip(points, scheme.of_points, strict=True):
        torch.mm(pixels[first], taps[first].T, out=point)
        for number in others:
            point.addmm_(pixels[number], taps[number].T)
    join_coarse(points.view(count, count, n, tiles, tiles, -1), scheme, coarse)


def _add_taps(points: Tensor, pixels: Tensor, scheme: Scheme, of_taps: Tensor) -> None:
    """Add to the gradient of the taps what the products of these pictures give."""
    for point, numbers in zip(points, scheme.of_points, strict=True):
        for number in numbers:
            of_taps[number].addmm_(point.T, pixels[number])
