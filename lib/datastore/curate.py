"""From a label as a reader saved it to curated lesions: which components, of which class, by whom, and what to ask."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from lesionlabel.datastore.answers import AnswerLog
from lesionlabel.datastore.markups import is_markups, require_markups
from lesionlabel.datastore.segments import LabelError, Segments, read_segments
from lesionlabel.imaging.same_voxels import voxels_digest
from lesionlabel.lesions.classes import ClassList
from lesionlabel.lesions.contour import Contour
from lesionlabel.lesions.curation import findings_from_mask
from lesionlabel.lesions.errors import InputError, UnknownClassError
from lesionlabel.lesions.lesion import Lesion, Proof, parse_proof
from lesionlabel.lesions.readings import OTHER, OTHER_NAMES
from lesionlabel.lesions.volume import Volume

logger = logging.getLogger(__name__)

UNKNOWN_READER = "unknown"
OpenVolume = Callable[[Path], Volume]


@dataclass(frozen=True)
class Curator:
    """Makes what CuratedDatastore stores beside a final label. open_volume: path -> Volume. answers: who saw an answer."""

    open_volume: OpenVolume
    classes: ClassList
    answers: AnswerLog

    def __call__(self, image_id: str, image: Path, label: Path, info: dict[str, Any]) -> dict[str, Any]:
        """lesions, questions, not_curated, reader, proof, saw_model and curation_problem of a label.

        Raises LabelError for a file that is no segmentation on the image's grid, nor markups. A reader's work is stored
        otherwise: what cannot be curated is reported, not raised.
        """
        reader = reader_of(info)
        now = datetime.now(UTC)
        result: dict[str, Any] = {
            "reader": reader,
            "curated_at": now.isoformat(timespec="seconds"),
            "saw_model": True if info.get("saw_model") is True else None,
            "proof": str(Proof.SINGLE_READER),
            "lesions": [],
            "questions": [],
            "not_curated": [],
            "curation_problem": None,
        }
        try:
            result["proof"] = str(parse_proof(str(info["proof"]))) if info.get("proof") else result["proof"]
            volume = self.open_volume(image)
            # A client is believed that the reader saw the answer. That the reader did not, only the log can say.
            if result["saw_model"] is None:
                result["saw_model"] = saw_model(self.answers, image_id, volume, info.get("client_id"))
            if is_markups(label):
                require_markups(label)
                raise InputError("Markups hold no segments.")
            segments = _name_by_class(read_segments(label, volume, info.get("label_info")), info.get("class"))
            names, strange = _known_classes(segments, self.classes)
            result["not_curated"] = strange
            findings, questions = findings_from_mask(segments.mask, names, volume.geometry)
        except LabelError:
            raise
        except Exception as error:
            # Whatever is in a file: raising would lose what the reader saved. Only our own words hold no path.
            why = str(error) if isinstance(error, InputError) else "The image or the label could not be read."
            result["curation_problem"] = f"The label is stored, but no lesion was taken from it. {why}"
            logger.warning("A saved label could not be curated (%s).", type(error).__name__)
            return result
        first_slice, first_row, first_column = segments.start
        stamp = now.strftime("%Y%m%dT%H%M%S%f")
        for number, finding in enumerate(findings, start=1):
            outline = finding.contour
            contour = Contour(outline.slice_index + first_slice, outline.points + np.array([first_column, first_row]))
            lesion = Lesion(
                lesion_id=f"{image_id}-{stamp}-{number}",
                image=image_id,
                contour=contour,
                diameter_mm=finding.diameter_mm,
                label=finding.label,
                proof=Proof(result["proof"]),
                reader=reader,
                curated_at=result["curated_at"],
                saw_model=result["saw_model"],
            )
            measured = {
                "volume_mm3": round(finding.volume_mm3, 1),
                "spacing_mm": [round(mm, 5) for mm in volume.geometry.spacing],
            }
            result["lesions"].append({**lesion.to_json(), **measured})
        for question in questions:
            slice_index = question.slice_index + first_slice
            result["questions"].append({"label": question.label, "slice": slice_index, "reason": question.reason})
        return result


def saw_model(answers: AnswerLog, image_id: str, volume: Volume, client_id: Any) -> bool | None:
    """Whether that client was shown an answer for the image, or for the same voxels before they were stored; as AnswerLog.saw."""
    saw = (answers.saw(image_id, client_id), answers.unstored.saw(voxels_digest(volume), client_id))
    return True if True in saw else None if None in saw else False


def reader_of(info: dict[str, Any]) -> str:
    """Who saved it: the signed-in user where there is one, else the client's own word."""
    for key in ("user", "reader", "client_id"):
        if isinstance(info.get(key), str) and info[key].strip():
            return info[key].strip()[:128]
    return UNKNOWN_READER


def _name_by_class(segments: Segments, one_class: Any) -> Segments:
    """params {"class": …} names every segment that has no name."""
    if not isinstance(one_class, str) or not one_class.strip():
        return segments
    return Segments(segments.mask, segments.start, {v: segments.names.get(v, one_class) for v in segments.values})


def class_or_other(name: str, classes: ClassList) -> str:
    """The class of that name, or OTHER for the reader's choice of none of them. Raises UnknownClassError for any other name."""
    try:
        return classes.names[classes.index(name)]
    except UnknownClassError:
        if " ".join(name.split()).casefold() in OTHER_NAMES:
            return OTHER
        raise


def _known_classes(segments: Segments, classes: ClassList) -> tuple[dict[int, str], list[dict[str, Any]]]:
    """Value -> class name for the segments named by class, and the others with the reason they are only stored."""
    known: dict[int, str] = {}
    strange = []
    for value in segments.values:
        name = segments.names.get(value)
        try:
            if name is None:
                raise UnknownClassError(f"The segment with value {value} has no name. Send label_info [{{name, idx}}].")
            known[value] = class_or_other(name, classes)
        except UnknownClassError as error:
            strange.append({"value": value, "name": name, "reason": f"Kept as stored, not used for training: {error}"})
    return known, strange
