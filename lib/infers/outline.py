"""The lesion's contour, in whichever of the ways a client gave it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy import ndimage

from lesionlabel.datastore.segments import Segments, read_segments
from lesionlabel.infers.asked import DIAMETER_MM, WAYS, Asked, Point
from lesionlabel.lesions.contour import Contour, contour_from_circle, contour_from_diameter, contour_from_mask
from lesionlabel.lesions.curation import SMALLEST_LESION_MM
from lesionlabel.lesions.errors import InputError, OutsideVolumeError
from lesionlabel.lesions.segmenter import Clicks, Segmenter
from lesionlabel.lesions.volume import Volume

How = Literal["segmented from a click", "circle of the given diameter", "two points", "label file", "saved by a reader"]

#: Segments or parts that a message names; a noisy label has thousands.
MOST_NAMED = 8


@dataclass(frozen=True, eq=False)
class Outlined:
    """A lesion's contour in its volume's voxels, and how it came about.

    confidence: the Dice that the segmenter expects of it, None where it cannot say or drew nothing.
    """

    contour: Contour
    how: How
    confidence: float | None = None


def outline(volume: Volume, asked: Asked, segmenter: Segmenter) -> Outlined:
    """Outline the lesion that was asked for.

    Raises OutsideVolumeError for a point outside the volume or in air, InputError where no lesion can be outlined.
    """
    if asked.label_file is not None:
        segments = read_segments(asked.label_file, volume, asked.label_info)
        return Outlined(_the_lesion(segments, asked.segment, volume), "label file")
    if asked.ends is not None:
        return Outlined(_between(volume, *asked.ends), "two points")
    if asked.centre_lps is not None:
        index = volume.geometry.to_voxel(asked.centre_lps)
    elif asked.click is not None:
        index = volume.from_viewer(asked.click) if asked.by_viewer else volume.from_native(asked.click)
    else:
        raise InputError(f"No lesion was given. {WAYS}")
    _, _, k = volume.require_tissue(index)
    if asked.diameter_mm is None:
        found = segmenter.segment(volume, Clicks((tuple(index),)))
        return Outlined(found.contour, "segmented from a click", found.confidence)
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


def _the_lesion(segments: Segments, wanted: str | None, volume: Volume) -> Contour:
    """The outline of the wanted segment, or of the only one, in the slice where it is widest.

    Segments beside it may touch it, as the liver does its tumour: the client said which it means. Parts below 5 mm are slips of
    the brush, as in curation; two larger ones are one lesion or two, which only a reader knows. Raises InputError to ask.
    """
    value = _value(segments, wanted)
    mm = volume.geometry.pixel_mm
    parts = sorted(_parts(segments, value), key=lambda part: -part.diameter_px)
    large = [part for part in parts if part.diameter_px * mm >= SMALLEST_LESION_MM] or parts
    if len(large) == 1:
        return large[0]
    told = []
    for part in large[:MOST_NAMED]:
        i, j, k = np.rint(volume.to_native((*part.centre, part.slice_index))).astype(int)
        told.append(f"{part.diameter_px * mm:.1f} mm at voxel [{i}, {j}, {k}]")
    raise InputError(
        f"The segment {_called(segments, value)} has {len(large)} separate parts: {_listed(told, len(large))}. One lesion or "
        "several? Save each lesion as a segment of its own, or give a point with a diameter instead."
    )


def _parts(segments: Segments, value: int) -> list[Contour]:
    """The outline of each connected part (26 neighbours) of a segment in the slice where it is widest, in the volume's voxels."""
    components = np.zeros(segments.mask.shape, dtype=np.int32)
    ndimage.label(segments.mask == value, structure=np.ones((3, 3, 3)), output=components)
    first_slice, first_row, first_column = segments.start
    found = []
    for number, box in enumerate(ndimage.find_objects(components), start=1):
        planes = components[box] == number
        outlines = [contour_from_mask(plane, k) for k, plane in enumerate(planes) if plane.any()]
        widest = max(outlines, key=lambda outline: outline.diameter_px)
        corner = np.array([box[2].start + first_column, box[1].start + first_row])
        found.append(Contour(widest.slice_index + box[0].start + first_slice, widest.points + corner))
    return found


def _value(segments: Segments, wanted: str | None) -> int:
    """The voxel value of the segment that is wanted by name or value, or of the only one. Raises InputError to ask for it."""
    present = segments.values
    known = _listed([_called(segments, value) for value in present[:MOST_NAMED]], len(present))
    choose = "Name one as segment, by its name or its voxel value."
    if wanted is None:
        if len(present) == 1:
            return present[0]
        raise InputError(f"The label holds {len(present)} segments: {known}. {choose}")
    named = [value for value, name in segments.names.items() if name.casefold() == wanted.casefold()]
    values = named or [value for value in present if str(value) == wanted.strip()]
    found = [value for value in values if value in present]
    if len(found) == 1:
        return found[0]
    if found:
        raise InputError(f"{len(found)} segments of the label are called {wanted!r}: {known}. Name one by its voxel value.")
    if named:
        raise InputError(f"The segment {wanted!r} is empty. The label holds: {known}. {choose}")
    raise InputError(f"The label has no segment called {wanted!r}. It holds: {known}. {choose}")


def _called(segments: Segments, value: int) -> str:
    """A segment by its name, where it has one, and its voxel value."""
    name = segments.names.get(value)
    return f"value {value}, without a name" if name is None else f"{name} (value {value})"


def _listed(first: list[str], number: int) -> str:
    """The first of a number of things."""
    return "; ".join(first) + (f"; and {number - len(first)} more" if number > len(first) else "")
