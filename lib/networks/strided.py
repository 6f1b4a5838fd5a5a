"""The strided convolutions of the GANs: torch's own, or on a CPU in float32, where they are wide, in half of the time.

The same sums as torch's in another order (`winograd`), so results differ by rounding only. In bfloat16 and on a GPU torch's own
are faster.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from lesionlabel.networks.winograd import FIVE, FOUR, UP, Scheme, join_coarse, join_fine, split_coarse, split_fine

#: Fewest channels on either side, and fewest tiles of a batch, for which the detour pays.
LEAST_CHANNELS, LEAST_TILES = 64, 128
#: Tiles that are worked on at once, so that what they need stays in the cache.
TILES_AT_ONCE = 256


def convolve(conv: nn.Conv2d | nn.ConvTranspose2d, x: Tensor) -> Tensor:
    """conv(x) for a kernel of 5 or 4, stride 2 and a picture half or twice the side."""
    transposed = isinstance(conv, nn.ConvTranspose2d)
    schemes = FIVE if conv.kernel_size[0] == 5 else FOUR
    scheme = _scheme(x, conv, x.shape[-1] if transposed else x.shape[-1] // 2, schemes)
    return conv(x) if scheme is None else _run(_ToFine if transposed else _ToCoarse, conv, x, scheme)


def upsample_and_convolve(conv: nn.Conv2d, x: Tensor) -> Tensor:
    """conv, with a kernel of 3 and padding 1, of the picture x with every pixel doubled along both axes."""
    scheme = _scheme(x, conv, x.shape[-1], UP)
    if scheme is None:
        return conv(functional.interpolate(x, scale_factor=2.0, mode="nearest"))
    return _run(_ToFine, conv, x, scheme)


def _scheme(x: Tensor, conv: nn.Conv2d | nn.ConvTranspose2d, side: int, schemes: dict[int, Scheme]) -> Scheme | None:
    """The one of schemes with which the detour pays for a coarse picture of that side, None for none."""
    if x.device.type != "cpu" or x.dtype != torch.float32 or torch.is_autocast_enabled("cpu"):
        return None
    if min(conv.in_channels, conv.out_channels) < LEAST_CHANNELS:
        return None
    for tile in (4, 2):
        if side % tile == 0 and len(x) * (side // tile) ** 2 >= LEAST_TILES:
            return schemes[tile]
    return None


def _run(way: type[_ToFine] | type[_ToCoarse], conv: nn.Conv2d | nn.ConvTranspose2d, x: Tensor, scheme: Scheme) -> Tensor:
    made: Any = way.apply(x.permute(0, 2, 3, 1), conv.weight, scheme)
    assert conv.bias is not None
    return (made + conv.bias).permute(0, 3, 1, 2)


class _ToFine(torch.autograd.Function):
    """A transposed convolution of (n, side, side, coarse channels)."""

    @staticmethod
    def forward(ctx: Any, coarse: Tensor, weight: Tensor, scheme: Scheme) -> Tensor:
        taps = _taps(weight, scheme)
        ctx.save_for_backward(coarse, weight, taps)
        ctx.scheme = scheme
        return _to_fine(coarse, taps, scheme)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        coarse, weight, taps = ctx.saved_tensors
        to_input = _to_coarse(gradient, taps, ctx.scheme) if ctx.needs_input_grad[0] else None
        to_weight = _to_weight(coarse, gradient, weight, ctx.scheme) if ctx.needs_input_grad[1] else None
        return to_input, to_weight, None


class _ToCoarse(torch.autograd.Function):
    """A convolution of (n, side, side, fine channels)."""

    @staticmethod
    def forward(ctx: Any, fine: Tensor, weight: Tensor, scheme: Scheme) -> Tensor:
        taps = _taps(weight, scheme)
        ctx.save_for_backward(fine, weight, taps)
        ctx.scheme = scheme
        return _to_coarse(fine, taps, scheme)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        fine, weight, taps = ctx.saved_tensors
        if torch.is_grad_enabled():
            return *_differentiable_backward(fine, weight, gradient, ctx.needs_input_grad[:2]), None
        to_input = _to_fine(gradient, taps, ctx.scheme) if ctx.needs_input_grad[0] else None
        to_weight = _to_weight(gradient, fine, weight, ctx.scheme) if ctx.needs_input_grad[1] else None
        return to_input, to_weight, None


def _differentiable_backward(
    fine: Tensor, weight: Tensor, gradient: Tensor, wanted: tuple[bool, bool]
) -> tuple[Tensor | None, Tensor | None]:
    """Torch's own gradients of the convolution, for a penalty on a gradient, which asks for the gradient's gradient."""
    picture, gradient = fine.permute(0, 3, 1, 2), gradient.permute(0, 3, 1, 2)
    settings = {"stride": 2, "padding": (weight.shape[-1] - 1) // 2}
    to_input = torch.nn.grad.conv2d_input(picture.shape, weight, gradient, **settings) if wanted[0] else None
    to_weight = torch.nn.grad.conv2d_weight(picture, weight.shape, gradient, **settings) if wanted[1] else None
    return None if to_input is None else to_input.permute(0, 2, 3, 1), to_weight


def _taps(weight: Tensor, scheme: Scheme) -> Tensor:
    """What each product takes of the kernel, (products, coarse channels, fine channels), without copying channels-last ones."""
    first, second, *sides = weight.shape
    taps = torch.matmul(scheme.of_kernel(weight), weight.permute(0, 2, 3, 1).reshape(first, sides[0] * sides[1], second))
    return taps.permute(1, 2, 0) if scheme.transposed_kernel else taps.transpose(0, 1)


def _to_fine(coarse: Tensor, taps: Tensor, scheme: Scheme) -> Tensor:
    n, side, _, _ = coarse.shape
    tiles, at_once, channels = side // scheme.tile, _at_once(side, scheme), taps.shape[2]
    fine = coarse.new_empty(n, 2 * side, 2 * side, channels)
    for start in range(0, n, at_once):
        points = split_coarse(coarse[start : start + at_once], scheme).flatten(0, 1).flatten(1, 3)
        products = coarse.new_empty(len(taps), points.shape[1], channels)
        for point, numbers in zip(points, scheme.of_points, strict=True):
            for number in numbers:
                torch.mm(point, taps[number], out=products[number])
        split = products.view(len(scheme.pixels), len(scheme.pixels), -1, tiles, tiles, channels)
        join_fine(split, scheme, fine[start : start + at_once])
    return fine


def _to_coarse(fine: Tensor, taps: Tensor, scheme: Scheme) -> Tensor:
    n, side, channels = len(fine), fine.shape[1] // 2, taps.shape[1]
    tiles, at_once, count = side // scheme.tile, _at_once(side, scheme), len(scheme.results)
    coarse = fine.new_empty(n, side, side, channels)
    for start in range(0, n, at_once):
        split = split_fine(fine[start : start + at_once], scheme).flatten(0, 1).flatten(1, 3)
        points = fine.new_empty(count**2, split.shape[1], channels)
        for point, (first, *more) in zip(points, scheme.of_points, strict=True):
            torch.mm(split[first], taps[first].T, out=point)
            for number in more:
                point.addmm_(split[number], taps[number].T)
        join_coarse(points.view(count, count, -1, tiles, tiles, channels), scheme, coarse[start : start + at_once])
    return coarse


def _to_weight(coarse: Tensor, fine: Tensor, weight: Tensor, scheme: Scheme) -> Tensor:
    """The weight's gradient, from the pictures on either side of it, in the weight's own layout."""
    first, second, *sides = weight.shape
    taps = weight.new_empty(first, len(scheme.pixels) ** 2, second)
    of_product = taps.permute(1, 2, 0) if scheme.transposed_kernel else taps.transpose(0, 1)
    at_once = _at_once(coarse.shape[1], scheme)
    for start in range(0, len(coarse), at_once):
        points = split_coarse(coarse[start : start + at_once], scheme).flatten(0, 1).flatten(1, 3)
        split = split_fine(fine[start : start + at_once], scheme).flatten(0, 1).flatten(1, 3)
        for point, numbers in zip(points, scheme.of_points, strict=True):
            for number in numbers:
                out = of_product[number]
                torch.addmm(out, point.T, split[number], beta=1 if start else 0, out=out)
    gradient = torch.matmul(scheme.of_kernel(weight).T, taps)
    return gradient.view(first, *sides, second).permute(0, 3, 1, 2)


def _at_once(side: int, scheme: Scheme) -> int:
    """Pictures whose tiles are worked on at once."""
    return max(1, TILES_AT_ONCE // (side // scheme.tile) ** 2)
