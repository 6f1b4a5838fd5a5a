"""From all the points that a reader has set under one segment to the outlines of the lesions under them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from lesionlabel.infers.asked import Point
from lesionlabel.lesions.contour import Contour, contour_from_mask
from lesionlabel.lesions.errors import InputError, NoLesionError
from lesionlabel.lesions.segmenter import Clicks, Segmented, Segmenter
from lesionlabel.lesions.volume import Volume


def outline_clicked(
    volume: Volume, clicks: Clicks, segmenter: Segmenter, *, whole: bool, box: tuple[Point, Point] | None = None
) -> list[Segmented]:
    """The lesions under the points, that of the newest click first; without whole, those in the newest click's slice.

    3D Slicer sends every point that is set under a segment and replaces what the segment holds in that slice. So points that
    cannot be of one lesion are not forced into one: the lesions that were clicked before stay in the picture. Points are of one
    lesion when one outline holds them all, or the outlines that they give alone overlap. box: (lowest, highest) corner, in
    volume's voxels; outlines are cut to it. Raises what segmenter raises for the newest click.
    """
    newest = clicks.inside[-1]
    if not whole:
        inside = tuple(point for point in clicks.inside if round(point[2]) == round(newest[2]))
        clicks = Clicks(inside, clicks.outside)
    found = _one_or_several(volume, clicks, segmenter, whole)
    return found if box is None else [_cut(volume, found[0], box), *found[1:]]


def overlap(volume: Volume, first: Segmented, second: Segmented) -> bool:
    """Whether the two share a pixel."""
    _, rows, columns = volume.geometry.shape
    others = {contour.slice_index: contour for contour in second.contours}
    return any(
        np.any(contour.mask(rows, columns) & others[contour.slice_index].mask(rows, columns))
        for contour in first.contours
        if contour.slice_index in others
    )


def _one_or_several(volume: Volume, clicks: Clicks, segmenter: Segmenter, whole: bool) -> list[Segmented]:
    try:
        together = segmenter.segment(volume, clicks, whole=whole)
        if all(_holds(volume, together, point) for point in clicks.inside):
            return [together]
    except NoLesionError:
        if len(clicks.inside) == 1:
            raise
    # The newest first: what is wrong with it is what the reader has to be told.
    lesions: list[tuple[Segmented, list[Point]]] = []
    for point in reversed(clicks.inside):
        try:
            alone = segmenter.segment(volume, Clicks((point,), clicks.outside), whole=whole)
        except NoLesionError:
            if not lesions:
                raise
            lesions[0][1].insert(0, point)  # it was a correction, and says nothing alone
            continue
        same = next((n for n, (outline, _) in enumerate(lesions) if overlap(volume, outline, alone)), None)
        if same is None:
            lesions.append((alone, [point]))
        else:
            lesions[same][1].insert(0, point)
    return [
        outline if len(points) == 1 else segmenter.segment(volume, Clicks(tuple(points), clicks.outside), whole=whole)
        for outline, points in lesions
    ]


def _holds(volume: Volume, found: Segmented, point: Point) -> bool:
    _, rows, columns = volume.geometry.shape
    x, y, k = (round(v) for v in point)
    x, y = min(max(x, 0), columns - 1), min(max(y, 0), rows - 1)
    return any(contour.mask(rows, columns)[y, x] for contour in found.contours if contour.slice_index == k)


def _cut(volume: Volume, found: Segmented, box: tuple[Point, Point]) -> Segmented:
    """What lies in the box. Raises InputError where nothing does."""
    _, rows, columns = volume.geometry.shape
    (left, top, first), (right, bottom, last) = box
    y, x = np.mgrid[:rows, :columns]
    within = (x >= left) & (x <= right) & (y >= top) & (y <= bottom)
    kept: list[Contour] = []
    for contour in found.contours:
        if not first <= contour.slice_index <= last:
            continue
        mask = contour.mask(rows, columns)
        if np.any(mask & within):
            kept.append(contour if not np.any(mask & ~within) else contour_from_mask(mask & within, contour.slice_index))
    if not any(contour.slice_index == found.slice_index for contour in kept):
        raise InputError("Nothing of the lesion lies in the box (roi) that was drawn. Draw it around the lesion, or remove it.")
    return replace(found, contours=tuple(kept))
