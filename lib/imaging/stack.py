"""Slices in order: whether they make one evenly spaced, untilted stack, and its geometry (PS3.3 C.7.6.2)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lesionlabel.imaging.dicom import SliceHeader
from lesionlabel.imaging.nifti import MIN_SLICES, check_size, check_spacing
from lesionlabel.lesions.errors import InputError
from lesionlabel.lesions.volume import Geometry

FloatArray = NDArray[np.float64]

#: Largest angle between the stack and the slices' normal; real tilts are several degrees, rounding stays far below.
MAX_TILT_DEG = 0.5
#: How far a slice may lie from its place in an even stack: this share of the spacing, or MIN_OFFSET_MM if that is more.
MAX_OFFSET = 0.05
MIN_OFFSET_MM = 0.1
#: Closer than this two slices lie at the same place.
SAME_PLACE_MM = 0.01
#: A gap of more than this many spacings misses a slice.
GAP = 1.5
SIDEWAYS_MM = 0.5
UNIT_TOLERANCE = 1e-3
#: Of the angle between slices and an axial plane up to which they count as axial, 45°.
AXIAL_COSINE = math.sqrt(0.5)
NAMED = 5


@dataclass(frozen=True, eq=False)
class Stack:
    """Slices of one series in order along their normal, and the grid that they make."""

    slices: tuple[SliceHeader, ...]
    geometry: Geometry


def make_stack(headers: Sequence[SliceHeader]) -> Stack:
    """Order slices of one series, matrix and orientation by position. The order of files and instance numbers are not used.

    Raises InputError, naming the positions, when slices are too few, missing, doubled or unevenly spaced, when the gantry was
    tilted, or when the slices are not axial.
    """
    first = headers[0]
    if len(headers) < MIN_SLICES:
        raise InputError(f"It has {len(headers)} usable slice(s); at least {MIN_SLICES} are needed.")
    check_size(len(headers), first.rows, first.columns)
    across, down, normal = _directions(first)
    positions = np.array([header.position for header in headers])
    along = positions @ normal
    order = np.argsort(along, kind="stable")
    slices = tuple(headers[i] for i in order)
    positions, along = positions[order], along[order]
    _check_straight(positions, along, normal)
    spacing = _even_spacing(along)
    affine = np.eye(4)
    affine[:3, 0] = across * first.column_mm
    affine[:3, 1] = down * first.row_mm
    affine[:3, 2] = normal * spacing
    affine[:3, 3] = positions[0]
    geometry = Geometry((len(slices), first.rows, first.columns), affine)
    check_spacing(geometry)
    return Stack(slices, geometry)


def _directions(header: SliceHeader) -> tuple[FloatArray, FloatArray, FloatArray]:
    across, down = np.array(header.orientation[:3]), np.array(header.orientation[3:])
    lengths = np.linalg.norm(across), np.linalg.norm(down)
    if max(abs(lengths[0] - 1), abs(lengths[1] - 1), abs(across @ down)) > UNIT_TOLERANCE:
        raise InputError(f"Its Image Orientation {header.orientation} is not two unit vectors at a right angle.")
    across /= lengths[0]
    down = down - (down @ across) * across
    down /= np.linalg.norm(down)
    normal = np.cross(across, down)
    if abs(normal[2]) < AXIAL_COSINE:
        raise InputError(
            "Its slices are coronal, sagittal or turned by more than 45°; ROIs are cut on axial slices. Import the axial series."
        )
    return across, down, normal


def _check_straight(positions: FloatArray, along: FloatArray, normal: FloatArray) -> None:
    way = positions[-1] - positions[0]
    length = float(np.linalg.norm(way))
    if length < SAME_PLACE_MM:
        raise InputError(f"All {len(positions)} slices lie at the same position ({_mm(along[:1])}).")
    tilt = math.degrees(math.acos(min(1.0, abs(float(way @ normal)) / length)))
    if tilt > MAX_TILT_DEG:
        raise InputError(
            f"The gantry was tilted by {tilt:.1f}°: the slices' normal and the direction of the stack differ (allowed "
            f"{MAX_TILT_DEG}°). Resample the series to an upright grid first."
        )
    offset = positions - positions[0]
    sideways = np.linalg.norm(offset - np.outer(offset @ normal, normal), axis=1)
    line = np.linspace(0, sideways[-1], len(sideways))
    off = np.flatnonzero(np.abs(sideways - line) > SIDEWAYS_MM)
    if off.size:
        raise InputError(f"{off.size} slice(s) are shifted sideways against the others, at {_mm(along[off])}.")


def _even_spacing(along: FloatArray) -> float:
    """The mean distance of slices in mm. Raises InputError unless all lie where an even stack has them."""
    gaps = np.diff(along)
    distinct = gaps[gaps > SAME_PLACE_MM]
    doubled = np.flatnonzero(gaps <= SAME_PLACE_MM)
    if doubled.size:
        raise InputError(
            f"{doubled.size} position(s) hold more than one slice, at {_mm(along[doubled])}: two phases or reconstructions in "
            "one series? Send each as a series of its own."
        )
    usual = float(np.median(distinct))
    missing = np.flatnonzero(gaps > GAP * usual)
    if missing.size:
        places = ", ".join(f"{along[i]:.2f} and {along[i + 1]:.2f} mm" for i in missing[:NAMED])
        more = f" and {missing.size - NAMED} more" if missing.size > NAMED else ""
        raise InputError(f"Slices are missing between {places}{more} (usual distance {usual:.2f} mm). Send the whole series.")
    spacing = float(along[-1] - along[0]) / (len(along) - 1)
    offsets = np.abs(along - (along[0] + spacing * np.arange(len(along))))
    uneven = np.flatnonzero(offsets > max(MAX_OFFSET * spacing, MIN_OFFSET_MM))
    if uneven.size:
        raise InputError(
            f"Slices are unevenly spaced: distances run from {gaps.min():.2f} to {gaps.max():.2f} mm, off their place at "
            f"{_mm(along[uneven])}. Send a series of one spacing."
        )
    return spacing


def _mm(values: FloatArray) -> str:
    named = ", ".join(f"{value:.2f}" for value in values[:NAMED])
    return f"{named} mm" + (f" and {len(values) - NAMED} more" if len(values) > NAMED else "")
