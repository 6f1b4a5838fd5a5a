"""The one orientation in which volumes are worked on: columns to the left, rows to the back, slices to the head."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from lesionlabel.lesions.volume import Geometry


def nearest_axes(geometry: Geometry) -> tuple[tuple[int, int, int], tuple[bool, bool, bool]]:
    """The grid axis (0 column, 1 row, 2 slice) that lies nearest to left, back and head, and whether it runs the other way.

    The axis nearest to the head comes first, so that slices stay slices however the grid is turned within them.
    """
    directions = geometry.affine[:3, :3] / np.asarray(geometry.spacing)
    head = int(np.argmax(np.abs(directions[2])))
    others = [axis for axis in range(3) if axis != head]
    pairs = (others, others[::-1])
    left, back = max(pairs, key=lambda pair: abs(directions[0, pair[0]]) + abs(directions[1, pair[1]]))
    best = (left, back, head)
    first, second, third = (bool(directions[world, axis] < 0) for world, axis in enumerate(best))
    return best, (first, second, third)


def to_canonical(voxels: NDArray[np.int16], geometry: Geometry) -> tuple[NDArray[np.int16], Geometry]:
    """Permute and flip voxels (slice, row, column) so that columns run to the left, rows to the back, slices to the head.

    Nothing is interpolated: an oblique grid keeps its angles and only its nearest axes are put in order. Returns a view.
    """
    axes, turned = nearest_axes(geometry)
    affine = geometry.affine.copy()
    sizes = geometry.shape[::-1]
    for world, (axis, turn) in enumerate(zip(axes, turned, strict=True)):
        column = geometry.affine[:3, axis]
        affine[:3, world] = -column if turn else column
        if turn:
            affine[:3, 3] += column * (sizes[axis] - 1)
    moved = voxels.transpose([2 - axes[2], 2 - axes[1], 2 - axes[0]])
    flipped = moved[tuple(slice(None, None, -1 if turn else None) for turn in reversed(turned))]
    slices, rows, columns = flipped.shape
    return flipped, Geometry((slices, rows, columns), affine)


def from_canonical(voxels: NDArray[np.int16], native: Geometry) -> NDArray[np.int16]:
    """Undo to_canonical: the voxels (slice, row, column) in the order of the grid native. Returns a view."""
    axes, turned = nearest_axes(native)
    moved = voxels[tuple(slice(None, None, -1 if turn else None) for turn in reversed(turned))]
    order = [2 - axes[2], 2 - axes[1], 2 - axes[0]]
    return moved.transpose(np.argsort(order).tolist())
