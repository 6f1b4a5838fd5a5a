"""The lesions of an image that are known: those of its saved label, and those that a reader has marked since."""

from __future__ import annotations

from itertools import chain
from typing import Any

from lesionlabel.datastore.curated import CuratedDatastore
from lesionlabel.datastore.index import FINAL
from lesionlabel.infers.desk import OpenImage
from lesionlabel.infers.marked import Mark
from lesionlabel.infers.outline import Outlined
from lesionlabel.infers.outlining import overlap
from lesionlabel.lesions.contour import Contour
from lesionlabel.lesions.lesion import Lesion
from lesionlabel.lesions.segmenter import Segmented
from lesionlabel.lesions.volume import Volume

#: A label's time is in whole seconds.
TIME_RESOLUTION_S = 1.0


def known_lesions(image: OpenImage, image_id: str | None, client_id: Any, datastore: CuratedDatastore | None) -> list[Outlined]:
    """The saved lesions first, then the marked ones, by slice; none twice.

    What a client saves takes the place of what it had marked before: a lesion that it took out again is not in the report.
    """
    saved, client, at = _saved(image_id, datastore)
    marks = image.marks.of(client_id)
    if client is not None and client == client_id:
        marks = [mark for mark in marks if mark.at >= at + TIME_RESOLUTION_S]
    drawn = [Segmented((lesion.contour,), lesion.contour.slice_index, None) for lesion in saved]
    marks = [mark for mark in marks if not any(_one_lesion(image.volume, mark.outlined, other) for other in drawn)]
    found = [Outlined(lesion.contour, "saved by a reader") for lesion in saved]
    found += [_widest(group) for group in _joined(image.volume, marks)]
    return sorted(found, key=lambda outlined: outlined.contour.slice_index)


def _saved(image_id: str | None, datastore: CuratedDatastore | None) -> tuple[list[Lesion], Any, float]:
    """The curated lesions of the image's final label, which client saved it, and when (seconds since 1970)."""
    if image_id is None or datastore is None or FINAL not in datastore.get_labels_by_image_id(image_id):
        return [], None, 0.0
    info = datastore.get_label_info(image_id, FINAL)
    return [Lesion.from_json(record) for record in info.get("lesions", [])], info.get("client_id"), float(info.get("ts", 0))


def _joined(volume: Volume, marks: list[Mark]) -> list[list[Mark]]:
    """Marks by lesion: outlines of neighbouring slices that lie over each other are one, as when they are saved."""
    groups: list[list[Mark]] = []
    for mark in marks:
        touched = [group for group in groups if any(_one_lesion(volume, mark.outlined, other.outlined) for other in group)]
        groups = [group for group in groups if group not in touched] + [[*chain.from_iterable(touched), mark]]
    return groups


def _one_lesion(volume: Volume, first: Segmented, second: Segmented) -> bool:
    """Whether the outlines share a pixel of one slice, or lie over each other in neighbouring ones."""
    for step in (0, 1, -1):
        moved = tuple(Contour(contour.slice_index + step, contour.points) for contour in first.contours)
        if overlap(volume, Segmented(moved, first.slice_index + step, None), second):
            return True
    return False


def _widest(group: list[Mark]) -> Outlined:
    contours = [(contour, mark.outlined.confidence) for mark in group for contour in mark.outlined.contours]
    contour, confidence = max(contours, key=lambda one: one[0].diameter_px)
    return Outlined(contour, "segmented from a click", confidence)
