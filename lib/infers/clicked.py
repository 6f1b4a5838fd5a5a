"""What a reader clicked, read from the loose parameters that interactive clients send: points, a box, and options."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from lesionlabel.infers.asked import Point, is_given, read_point, refuse_misspelt
from lesionlabel.lesions.errors import InputError, OutsideVolumeError
from lesionlabel.lesions.flags import read_flag
from lesionlabel.lesions.segmenter import Clicks
from lesionlabel.lesions.volume import Volume

#: The segment's name where a client gives none.
UNNAMED = "lesion"
HOW_TO_CLICK = "Click inside the lesion: foreground [[i, j, k], …], the newest last."


@dataclass(frozen=True)
class Clicked:
    """Points are voxel indices (i, j, k) as viewers count them (Volume.viewer).

    inside: in the lesion, the newest last, at least one. outside: not in it. box: two corners between which the lesion lies, None
    where none was drawn. whole: in all slices, not only in the clicked one. with_type: the lesion's type is wanted as well.
    override_phase: although the image does not look portal-venous. segment: the name under which the reader marks it.
    """

    inside: tuple[Point, ...]
    outside: tuple[Point, ...]
    box: tuple[Point, Point] | None
    whole: bool
    with_type: bool
    override_phase: bool
    segment: str


def read_clicked(request: dict[str, Any]) -> Clicked:
    """What the request asks. A box without a point counts as a click in its middle. Raises InputError.

    reset_state changes nothing: each answer follows from the points that come with it.
    """
    refuse_misspelt(request)
    inside = _points(request, "foreground")
    outside = _points(request, "background")
    box = _box(request["roi"]) if is_given(request, "roi") else None
    if not inside and box is not None:
        inside = (_point3(np.mean(box, axis=0)),)
    if not inside:
        said = "Only points outside the lesion were given." if outside else "No lesion was clicked."
        raise InputError(f"{said} {HOW_TO_CLICK}")
    return Clicked(
        inside=inside,
        outside=outside,
        box=box,
        whole=read_flag(request.get("whole") or False, "whole"),
        with_type=read_flag(request.get("with_type") or False, "with_type"),
        override_phase=read_flag(request.get("override_phase") or False, "override_phase"),
        segment=str(request["label"]) if is_given(request, "label") else UNNAMED,
    )


def clicks_in(volume: Volume, clicked: Clicked) -> Clicks:
    """The clicks as indices in volume's voxels. Raises OutsideVolumeError where one inside the lesion is outside the volume.

    A point outside the lesion may lie anywhere; those beyond the volume say nothing and are left out.
    """
    inside = tuple(_index(volume, point) for point in clicked.inside)
    for point, given in zip(inside, clicked.inside, strict=True):
        if not volume.geometry.contains(point):
            columns, rows, slices = volume.native.shape[::-1]
            raise OutsideVolumeError(
                f"The click (i, j, k) = ({given[0]:.0f}, {given[1]:.0f}, {given[2]:.0f}) lies outside the volume of "
                f"{columns} × {rows} × {slices} voxels. Click in the image, and remove points that are not in it."
            )
    outside = (_index(volume, point) for point in clicked.outside)
    return Clicks(inside, tuple(point for point in outside if volume.geometry.contains(point)))


def box_in(volume: Volume, clicked: Clicked) -> tuple[Point, Point] | None:
    """The lowest and the highest corner of the box as indices in volume's voxels; None without a box.

    Raises InputError when the newest click lies outside it: one of the two is a leftover.
    """
    if clicked.box is None:
        return None
    corners = np.array([_index(volume, corner) for corner in clicked.box])
    low, high = corners.min(axis=0) - 0.5, corners.max(axis=0) + 0.5
    newest = np.array(_index(volume, clicked.inside[-1]))
    if np.any(newest < low) or np.any(newest > high):
        raise InputError(
            "The click lies outside the box (roi) that was drawn. Remove the box, or click inside it; "
            "in 3D Slicer the button with the bin beside ROI removes it."
        )
    return _point3(low), _point3(high)


def _index(volume: Volume, point: Point) -> Point:
    return _point3(volume.from_viewer(point))


def _point3(values: Any) -> Point:
    x, y, z = (float(v) for v in values)
    return x, y, z


def _points(request: dict[str, Any], name: str) -> tuple[Point, ...]:
    """The points of that name: none, one [i, j, k], or a list of them."""
    if not is_given(request, name):
        return ()
    value = request[name]
    if isinstance(value, list | tuple) and all(isinstance(one, list | tuple) for one in value):
        return tuple(read_point(one, name) for one in value)
    return (read_point(value, name),)


def _box(value: Any) -> tuple[Point, Point]:
    """3D Slicer's [i, i, j, j, k, k], in which either of two may be the larger."""
    try:
        ends = [float(v) for v in value]
    except (TypeError, ValueError):
        ends = []
    if len(ends) != 6 or not all(map(math.isfinite, ends)):
        raise InputError("roi must be six finite numbers, [i0, i1, j0, j1, k0, k1]. Draw the box again or remove it.")
    return (ends[0], ends[2], ends[4]), (ends[1], ends[3], ends[5])
