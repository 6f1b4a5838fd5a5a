"""The inner loop of the augmentation: bicubic sampling on rotated grids, compiled, the same sum as `lesions.roi.cut_roi`.

Compiled by Numba on first use (a few seconds). It holds no lock while it runs, so that threads share the frames.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numba.core import config
from numpy.typing import NDArray

from lesionlabel.lesions.roi import ROI_SIZE

#: Rows and columns of the tiles in which pixels are summed; four is what an unwidened kernel needs.
TILE = 4
#: Single precision and unsigned indices throughout: with others the compiler neither vectorises nor trusts the bounds.
F32, U32, U64 = np.float32, np.uint32, np.uint64
FAST = {"nogil": True, "fastmath": True, "error_model": "numpy", "boundscheck": False}
# Off by default in Numba; with it the four sums of a tile become one instruction, and the whole is nearly twice as fast.
config.SLP_VECTORIZE = 1  # pyright: ignore[reportAttributeAccessIssue]


@njit(**FAST)
def _fill_weights(start, widen, count, weights, total):
    """Keys' kernel (a = -0.5) at count pixels, weights (count, ROI_SIZE), and their sum; start: from support to pixel 0."""
    shrink = F32(1 / widen)
    for j in range(ROI_SIZE):
        total[j] = F32(0)
    for tap in range(count):
        for j in range(ROI_SIZE):
            distance = abs((F32(tap) + start[j]) * shrink - F32(2))
            # The kernel's two cubics as powers of the distance to where each ends: no branches.
            far = max(F32(2) - distance, F32(0))
            near = max(F32(1) - distance, F32(0))
            weight = F32(0.5) * far * far * (far - F32(1)) + near * near * (F32(1) - F32(2) * near)
            weights[tap, j] = weight
            total[j] += weight


@njit(**FAST)
def sample_frames(
    image: NDArray[np.float32],
    left: int,
    top: int,
    x: NDArray[np.float64],
    y: NDArray[np.float64],
    along_x: NDArray[np.float64],
    along_y: NDArray[np.float64],
    widen: NDArray[np.float64],
    out: NDArray[np.float32],
) -> None:
    """Sample image on every frame into out (n, ROI_SIZE, ROI_SIZE), clipped to [0, 1].

    image: (rows, columns) float32, already mapped to [0, 1]; left, top: the column and row of the context that its first
    pixel is; it must hold every pixel that a frame touches and TILE more to the right and below. The others as in Frames.
    """
    row_length = U64(image.shape[1])
    pixels = image.ravel()
    most = (math.ceil(4 * widen.max()) + TILE - 1) // TILE * TILE
    x_weights, y_weights = np.empty((most, ROI_SIZE), F32), np.empty((most, ROI_SIZE), F32)
    x_total, y_total = np.empty(ROI_SIZE, F32), np.empty(ROI_SIZE, F32)
    x_start, y_start = np.empty(ROI_SIZE, F32), np.empty(ROI_SIZE, F32)
    first = np.empty(ROI_SIZE, U64)
    sums, columns = np.empty(ROI_SIZE, F32), np.empty((ROI_SIZE, TILE), F32)
    one, two, three = U64(1), U64(2), U64(3)
    middle = (ROI_SIZE - 1) / 2
    for n in range(len(x)):
        tiles = (math.ceil(4 * widen[n]) + TILE - 1) // TILE
        for i in range(ROI_SIZE):
            down = i - middle
            row_x = x[n] - along_y[n] * down - along_x[n] * middle - 2 * widen[n]
            row_y = y[n] + along_x[n] * down - along_y[n] * middle - 2 * widen[n]
            for j in range(ROI_SIZE):
                support_x, support_y = row_x + along_x[n] * j, row_y + along_y[n] * j
                column, row = math.floor(support_x), math.floor(support_y)
                x_start[j], y_start[j] = F32(1 - (support_x - column)), F32(1 - (support_y - row))
                first[j] = U64(U32(row + 1 - top)) * row_length + U64(U32(column + 1 - left))
                sums[j] = F32(0)
            _fill_weights(x_start, widen[n], tiles * TILE, x_weights, x_total)
            _fill_weights(y_start, widen[n], tiles * TILE, y_weights, y_total)
            for across in range(tiles):
                for j in range(ROI_SIZE):
                    s0 = s1 = s2 = s3 = F32(0)
                    a = first[j] + U64(TILE) * U64(across)
                    for tile in range(tiles):
                        w0, w1 = y_weights[TILE * tile, j], y_weights[TILE * tile + 1, j]
                        w2, w3 = y_weights[TILE * tile + 2, j], y_weights[TILE * tile + 3, j]
                        b = a + row_length
                        c = b + row_length
                        d = c + row_length
                        s0 += w0 * pixels[a] + w1 * pixels[b] + w2 * pixels[c] + w3 * pixels[d]
                        s1 += w0 * pixels[a + one] + w1 * pixels[b + one] + w2 * pixels[c + one] + w3 * pixels[d + one]
                        s2 += w0 * pixels[a + two] + w1 * pixels[b + two] + w2 * pixels[c + two] + w3 * pixels[d + two]
                        s3 += w0 * pixels[a + three] + w1 * pixels[b + three] + w2 * pixels[c + three] + w3 * pixels[d + three]
                        a = d + row_length
                    columns[j, 0], columns[j, 1], columns[j, 2], columns[j, 3] = s0, s1, s2, s3
                for j in range(ROI_SIZE):
                    for tap in range(TILE):
                        sums[j] += columns[j, tap] * x_weights[across * TILE + tap, j]
            for j in range(ROI_SIZE):
                out[n, i, j] = min(max(sums[j] / (x_total[j] * y_total[j]), F32(0)), F32(1))
