"""What a reader may ask for beside an answer: the heat map, and similar curated lesions. Both show what the model thinks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lesionlabel.imaging.sidecar import read_sidecar
from lesionlabel.infers.answer import Answer, answer
from lesionlabel.infers.asked import is_given, read_request
from lesionlabel.infers.desk import Desk, OpenImage
from lesionlabel.infers.heat_map import class_to_map, draw_heat_map
from lesionlabel.infers.similar import SHOWN, AskedAbout, SimilarLesions
from lesionlabel.lesions.errors import InputError
from lesionlabel.lesions.roi import cut_context, cut_roi
from lesionlabel.registry.classifier import Classifier


class Explainer:
    """Explains answers about stored images. Safe to use from several threads."""

    def __init__(self, desk: Desk, similar: SimilarLesions, studies: Path) -> None:
        self._desk, self._similar, self._studies = desk, similar, studies

    def heat_map(self, path: Path, request: dict[str, Any]) -> tuple[Path, Answer, str]:
        """A new temporary .nrrd file, what was answered, and the class that is shown.

        Raises InputError where no type is given, UnknownClassError, and what Desk.answer raises.
        """
        classifier, _, given = self._answer(path, request)
        label = class_to_map(given, classifier, str(request["class"]) if is_given(request, "class") else None)
        return draw_heat_map(given, classifier, label), given, label

    def similar(self, image_id: str, path: Path, request: dict[str, Any]) -> tuple[dict[str, Any], Answer]:
        """Curated lesions that look alike, as JSON, and what was answered. Raises as heat_map."""
        classifier, image, given = self._answer(path, request)
        roi = cut_roi(cut_context(given.volume, given.contour))
        asked = AskedAbout(read_sidecar(self._studies, image_id).patient, image.simulated, image.voxels, roi)
        found = self._similar.find(asked, classifier, _count(request))
        told = {key: given.json[key] for key in ("display", "unlike", "model", "closed_set", "warnings", "lesion")}
        return {**found, **told}, given

    def _answer(self, path: Path, request: dict[str, Any]) -> tuple[Classifier, OpenImage, Answer]:
        classifier, image = self._desk.versions.champion(), self._desk.open(path)
        asked = read_request(request)
        given = answer(image.volume, asked, classifier, self._desk.segmenter, image.phase, image.simulated, image.patient)
        if given.label is None:
            raise InputError(f"No type is given, so there is nothing to explain. {given.json['why_not']}")
        return classifier, image, given


def _count(request: dict[str, Any]) -> int:
    value = request["count"] if is_given(request, "count") else SHOWN
    try:
        return int(value)
    except (TypeError, ValueError):
        raise InputError(f"count must be a whole number, got {value!r}.") from None
