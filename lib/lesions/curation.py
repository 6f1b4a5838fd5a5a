"""From a saved segmentation to lesions: each connected component of a class's segment is one finding, or a question."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from lesionlabel.lesions.contour import Contour, contour_from_mask
from lesionlabel.lesions.volume import Geometry

#: Parts below this diameter are asked about, not taken as lesions.
SMALLEST_LESION_MM = 5.0


@dataclass(frozen=True, eq=False)
class Finding:
    """One connected component: its class, its outline in the slice where it is widest, and its size in that slice and whole."""

    label: str
    contour: Contour
    diameter_mm: float
    volume_mm3: float


@dataclass(frozen=True)
class Question:
    """A component that a reader has to decide on, with the reason in words."""

    label: str
    slice_index: int
    reason: str


def findings_from_mask(
    mask: NDArray[np.integer], names: dict[int, str], geometry: Geometry
) -> tuple[list[Finding], list[Question]]:
    """Split a segmentation into findings and questions.

    mask: (slices, rows, columns) of segment values on geometry's grid. names: value -> class name; other values are left out.
    A component (26-connected) under 5 mm, or touching a component of another class, is a question, not a finding.
    """
    findings: list[Finding] = []
    questions: list[Question] = []
    whole = np.ones((3, 3, 3), dtype=bool)
    for value, name in sorted(names.items()):
        components = np.zeros(mask.shape, dtype=np.int32)
        ndimage.label(mask == value, structure=whole, output=components)
        for number, box in enumerate(ndimage.find_objects(components), start=1):
            part = components[box] == number
            contour = _widest_contour(part, box)
            diameter_mm = contour.diameter_px * geometry.pixel_mm
            if diameter_mm < SMALLEST_LESION_MM:
                reason = f"a part of {diameter_mm:.1f} mm, under {SMALLEST_LESION_MM:.0f} mm: a lesion, or a slip of the brush?"
                questions.append(Question(name, contour.slice_index, reason))
                continue
            touched = _touching(mask, names, value, part, box)
            if touched:
                reason = f"it touches a segment of {', '.join(touched)}: one lesion or several?"
                questions.append(Question(name, contour.slice_index, reason))
                continue
            volume = float(part.sum()) * float(np.prod(geometry.spacing))
            findings.append(Finding(name, contour, diameter_mm, volume))
    return findings, questions


def _widest_contour(part: NDArray[np.bool_], box: tuple[slice, slice, slice]) -> Contour:
    """The outline in the slice of the longest diameter, in the whole volume's indices."""
    offset = np.array([box[2].start, box[1].start], dtype=np.float64)
    occupied = [k for k in range(part.shape[0]) if part[k].any()]
    outlines = [contour_from_mask(part[k], box[0].start + k) for k in occupied]
    widest = max(outlines, key=lambda outline: outline.diameter_px)
    return Contour(widest.slice_index, widest.points + offset)


def _touching(
    mask: NDArray[np.integer], names: dict[int, str], value: int, part: NDArray[np.bool_], box: tuple[slice, slice, slice]
) -> list[str]:
    """Names of the other classes within one voxel of part."""
    low = [max(s.start - 1, 0) for s in box]
    high = [min(s.stop + 1, n) for s, n in zip(box, mask.shape, strict=True)]
    around = tuple(slice(a, b) for a, b in zip(low, high, strict=True))
    grown = np.zeros([b - a for a, b in zip(low, high, strict=True)], dtype=bool)
    inner = tuple(slice(s.start - a, s.stop - a) for s, a in zip(box, low, strict=True))
    grown[inner] = part
    reach = np.asarray(ndimage.binary_dilation(grown, structure=np.ones((3, 3, 3), dtype=bool)), dtype=bool)
    near = np.unique(mask[around][reach])
    return [names[int(v)] for v in near if int(v) != value and int(v) in names]
