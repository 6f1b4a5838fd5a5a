"""The lesion's contour, in whichever of the ways a client gave it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import ndimage

from lesionlabel.datastore.segments import Segments, read_segments
from lesionlabel.infers.asked import DIAMETER_MM, WAYS, Asked, Point
from lesionlabel.lesions.contour import Contour, contour_from_circle, contour_from_diameter, contour_from_mask
from lesionlabel.lesions.errors import InputError, OutsideVolumeError
from lesionlabel.lesions.segmenter import Segmenter
from lesionlabel.lesions.volume import Volume

How = Literal["segmented from a click", "circle of the given diameter", "two points", "label file"]


@dataclass(frozen=True, eq=False)
class Outlined:
    """A lesion's contour in its volume's voxels, and how it came about."""

    contour: Contour
    how: How


def outline(volume: Volume, asked: Asked, segmenter: Segmenter) -> Outlined:
    """Outline the lesion that was asked for.

    Raises OutsideVolumeError for a point outside the volume or in air, InputError where no lesion can be outlined.
    """
    if asked.label_file is not None:
        segments = read_segments(asked.label_file, volume, asked.label_info)
        return Outlined(_largest_component(segments, asked.segment), "label file")
    if asked.ends is not None:
        return Outlined(_between(volume, *asked.ends), "two points")
    if asked.centre_lps is not None:
        index = volume.geometry.to_voxel(asked.centre_lps)
    elif asked.click is not None:
        index = volume.from_native(asked.click)
    else:
        raise InputError(f"No lesion was given. {WAYS}")
    _, _, k = volume.require_tissue(index)
    if asked.diameter_mm is None:
        return Outlined(segmenter.segment(volume, index), "segmented from a click")
    circle = contour_from_circle(index[:2], asked.diameter_mm / volume.geometry.pixel_mm, k)
    return Outlined(circle, "circle of the given diameter")


def _between(volume: Volume, first: Point, second: Point) -> Contour:
    a, b = volume.from_native(first), volume.from_native(second)
    for end in (a, b):
        if not volume.geometry.contains(end):
            slices, rows, columns = volume.geometry.shape
            raise OutsideVolumeError(
                f"A point of the diameter lies outside the volume of {columns} × {rows} × {slices} voxels. "
                "Give voxel indices (i, j, k) of the image."
            )
    if round(a[2]) != round(b[2]):
        raise InputError(
            f"The two points lie in different axial slices ({round(a[2])} and {round(b[2])}). Measure the diameter in one slice."
        )
    low, high = DIAMETER_MM
    length = float(np.linalg.norm(a[:2] - b[:2])) * volume.geometry.pixel_mm
    if not low <= length <= high:
        raise InputError(f"The two points are {length:.1f} mm apart; a lesion's diameter is {low:.0f} to {high:.0f} mm.")
    _, _, k = volume.require_tissue((a + b) / 2)
    return contour_from_diameter(a[:2], b[:2], k)


def _largest_component(segments: Segments, wanted: str | None) -> Contour:
    """The outline, where it is widest, of the component with the most voxels among the wanted segments."""
    mask = segments.mask != 0
    if wanted is not None:
        values = [v for v, name in segments.names.items() if name.casefold() == wanted.casefold()]
        if not values:
            known = ", ".join(sorted(set(segments.names.values()))) or "none are named"
            raise InputError(f"The label has no segment called {wanted!r}. Its segments: {known}.")
        mask = np.isin(segments.mask, values)
    components = np.zeros(mask.shape, dtype=np.int32)
    ndimage.label(mask, structure=np.ones((3, 3, 3)), output=components)
    sizes = np.bincount(components.ravel())[1:]
    if not sizes.size:
        raise InputError(f"The segment {wanted!r} is empty.")
    part = components == 1 + int(np.argmax(sizes))
    first_slice, first_row, first_column = segments.start
    outlines = [contour_from_mask(plane, k) for k, plane in enumerate(part) if plane.any()]
    widest = max(outlines, key=lambda contour: contour.diameter_px)
    return Contour(widest.slice_index + first_slice, widest.points + np.array([first_column, first_row]))
