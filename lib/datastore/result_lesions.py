"""From a saved label to its lesions as DICOM results need them: all voxels of each, and what the model said of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.uid import generate_uid
from scipy import ndimage

from lesionlabel.datastore.curate import class_or_other
from lesionlabel.datastore.given_answers import GivenAnswer
from lesionlabel.datastore.segments import Segments, read_segments
from lesionlabel.lesions.classes import ClassList
from lesionlabel.lesions.contour import Contour
from lesionlabel.lesions.errors import InputError, UnknownClassError
from lesionlabel.lesions.lesion import Lesion
from lesionlabel.lesions.matching import same_lesions
from lesionlabel.lesions.volume import Geometry, Volume

#: An answer is about a lesion when this share of the smaller of the two outlines is in both.
SAME_SHARE = 0.5


@dataclass(frozen=True, eq=False)
class ResultLesion:
    """A curated lesion. voxels: (n, 3) of (i, j, k), all of it. volume_mm3: of them. answer: the newest type given on it.

    by_software: whether in some slice its outline is, pixel for pixel, one that our segmenter had answered with.
    """

    lesion: Lesion
    tracking_uid: str
    tracking_id: str
    voxels: NDArray[np.int64]
    volume_mm3: float
    answer: GivenAnswer | None
    by_software: bool = False

    @property
    def slices(self) -> int:
        return len(np.unique(self.voxels[:, 2]))

    def to_json(self) -> dict[str, Any]:
        """What the next version needs to know the lesion again, and what the model said of it."""
        answer = None if self.answer is None else self.answer.to_json()
        return {
            "lesion": self.lesion.to_json(), "tracking_uid": self.tracking_uid, "tracking_id": self.tracking_id, "answer": answer
        }  # fmt: skip


def result_lesions(
    volume: Volume,
    label: Path,
    info: dict[str, Any],
    classes: ClassList,
    answers: Sequence[GivenAnswer],
    before: Sequence[dict[str, Any]],
) -> list[ResultLesion]:
    """The curated lesions in a final label's info, with their voxels from its file.

    classes: of which a segment's name is one. answers: that were given on the image, newest first. before: to_json of the
    lesions in the version before, whose tracking UIDs stay, and their answers where answers hold none any more. Raises
    LabelError where the file cannot be read, InputError where a lesion is not in it.
    """
    lesions = [Lesion.from_json(record) for record in info.get("lesions", [])]
    if not lesions:
        return []
    segments = read_segments(label, volume, info.get("label_info"))
    names = {value: _class_of(segments.names.get(value, info.get("class")), classes) for value in segments.values}
    components = {
        label: _components(segments, [v for v, name in names.items() if name == label]) for label in {le.label for le in lesions}
    }
    spacing = volume.geometry.spacing
    known = [Lesion.from_json(record["lesion"]) for record in before]
    same = {new: old for old, new in same_lesions(known, lesions, spacing)}
    highest = max((int(record["tracking_id"].split()[-1]) for record in before), default=0)
    found = []
    for at, lesion in enumerate(lesions):
        given = list(answers)
        if at in same:
            if before[same[at]].get("answer"):
                given.append(GivenAnswer(**before[same[at]]["answer"]))
            uid, name = before[same[at]]["tracking_uid"], before[same[at]]["tracking_id"]
        else:
            highest += 1
            uid, name = str(generate_uid(prefix=None)), f"Lesion {highest}"
        voxels = _voxels_of(lesion, components[lesion.label], segments.start)
        answer = next((a for a in given if a.typed and _is_about(a, voxels, volume.geometry)), None)
        kept = any(_is_kept(a, voxels, volume.geometry) for a in given if a.segmented)
        found.append(ResultLesion(lesion, uid, name, voxels, float(len(voxels) * np.prod(spacing)), answer, kept))
    return found


def pixels_in(contour: Contour, grid: Geometry) -> NDArray[np.int64]:
    """The voxels (i, j, k) whose centre lies in the contour, (n, 3)."""
    _, rows, columns = grid.shape
    j, i = np.nonzero(contour.mask(rows, columns))
    return np.column_stack([i, j, np.full(i.size, contour.slice_index)]).astype(np.int64)


def _class_of(name: Any, classes: ClassList) -> str | None:
    """As curation takes a segment's name; the name itself where it is no class, or none any more."""
    try:
        return class_or_other(name, classes) if isinstance(name, str) else None
    except UnknownClassError:
        return name


def _components(segments: Segments, values: Sequence[int]) -> NDArray[np.int32]:
    """Numbers of the connected parts (26 neighbours) of the segments with those values, as curation takes them for lesions."""
    numbered = np.zeros(segments.mask.shape, dtype=np.int32)
    last = 0
    for value in values:
        parts = np.zeros(segments.mask.shape, dtype=np.int32)
        ndimage.label(segments.mask == value, structure=np.ones((3, 3, 3)), output=parts)
        numbered[parts > 0] = parts[parts > 0] + last
        last = int(numbered.max())
    return numbered


def _voxels_of(lesion: Lesion, components: NDArray[np.int32], start: tuple[int, int, int]) -> NDArray[np.int64]:
    """All voxels of the part that fills most of the lesion's contour."""
    k = lesion.contour.slice_index - start[0]
    rows, columns = components.shape[1:]
    contour = Contour(lesion.contour.slice_index, lesion.contour.points - np.array([start[2], start[1]]))
    within = components[k][contour.mask(rows, columns)] if 0 <= k < len(components) else np.zeros(0, dtype=np.int32)
    counts = np.bincount(within[within > 0])
    if not counts.size:
        raise InputError("A curated lesion is not in the label's file: it was changed since. Save the label again.")
    where = np.argwhere(components == int(np.argmax(counts))) + np.array(start)
    return where[:, ::-1].astype(np.int64)


def _is_kept(answer: GivenAnswer, voxels: NDArray[np.int64], grid: Geometry) -> bool:
    """Whether in the answer's slice the voxels are its outline, pixel for pixel."""
    try:
        contour = answer.contour(grid)
    except InputError:
        return False
    own = voxels[voxels[:, 2] == contour.slice_index]
    return len(own) > 0 and set(map(tuple, own.tolist())) == set(map(tuple, pixels_in(contour, grid).tolist()))


def _is_about(answer: GivenAnswer, voxels: NDArray[np.int64], grid: Geometry) -> bool:
    try:
        contour = answer.contour(grid)
    except InputError:
        return False
    inside = pixels_in(contour, grid)
    own = voxels[voxels[:, 2] == contour.slice_index]
    if not len(inside) or not len(own):
        return False
    width = grid.shape[2]
    both = np.intersect1d(inside[:, 1] * width + inside[:, 0], own[:, 1] * width + own[:, 0]).size
    return both >= SAME_SHARE * min(len(inside), len(own))
