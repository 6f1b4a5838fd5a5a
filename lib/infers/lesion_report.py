"""The inference task `lesion_report`: every known lesion of an image with its type, as labelled points for 3D Slicer.

3D Slicer's stock module sends no click with it, so that it is about what the reader has marked or saved. It is advertised as a
segmentation, not as a detection: that module takes the first segmentation or detection model as chosen, and with a detection
model chosen, Submit Label uploads box annotations in place of the segments that the reader drew.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from monailabel.interfaces.tasks.infer_v2 import InferTask, InferType

from lesionlabel.datastore.curated import CuratedDatastore
from lesionlabel.infers.answer import Answer
from lesionlabel.infers.asked import refuse_misspelt
from lesionlabel.infers.desk import Desk
from lesionlabel.infers.drawing import MASK_EXTENSIONS, draw_outlines, draw_points
from lesionlabel.infers.known import known_lesions
from lesionlabel.infers.notes import NOT_CLINICAL, closed_set
from lesionlabel.lesions.errors import InputError
from lesionlabel.lesions.flags import read_flag

DESCRIPTION = "Types of the lesions that you marked with lesion, or that are saved, as labelled points. Not for clinical use."
NOTHING_KNOWN = (
    "No lesion of this image is known to report on. Mark one first: in 3D Slicer click it under SmartEdit with the model lesion, "
    "or save the lesions as segments that are named by type. Then run lesion_report again."
)


class LesionReport(InferTask):
    """Answers about what is known. A file is made unless result_write_to_file is false.

    The file holds points, whatever ending the client names: 3D Slicer's module always names .nrrd, and opens what comes. A client
    that asks for output=image gets voxels, each lesion with the number of its type, from 1, in the order of the labels.
    """

    def __init__(self, desk: Desk, datastore: CuratedDatastore | None) -> None:
        super().__init__(
            type=InferType.SEGMENTATION,
            labels=desk.settings.classes.names,
            dimension=3,
            description=DESCRIPTION,
            config={"override_phase": False},
        )
        self.desk, self.datastore = desk, datastore

    def is_valid(self) -> bool:
        """True also without a model, so that clients see the task and get the reason when they ask."""
        return True

    def __call__(self, request: dict[str, Any]) -> tuple[str | None, dict[str, Any]]:
        """Answer about request["image"], a path, whose id is request["image_id"] where it is stored. Raises InputError."""
        start = time.perf_counter()
        refuse_misspelt(request)
        override = read_flag(request.get("override_phase") or False, "override_phase")
        image = self.desk.open(Path(request["image"]))
        known = known_lesions(image, request.get("image_id"), request.get("client_id"), self.datastore)
        if not known:
            raise InputError(NOTHING_KNOWN)
        typing = self.desk.typing()
        answers = [self.desk.describe(image, outlined, typing, override_phase=override) for outlined in known]
        file = None
        if request.get("result_write_to_file", True) is not False:
            file = str(self._draw(answers, as_image=request.get("output") == "image"))
        entropies = [answer.entropy for answer in answers if answer.entropy is not None]
        names = tuple(self.desk.settings.classes.names)
        return file, {
            "lesions": [{**answer.json, "label": answer.text} for answer in answers],
            "answered": bool(entropies),
            "model": answers[0].json["model"],
            "entropy": max(entropies, default=None),
            "label_names": {name: number for number, name in enumerate(names, start=1)},
            "closed_set": closed_set(names),
            "reader_notes": [closed_set(names), NOT_CLINICAL, *answers[0].json["warnings"]],
            "latencies": {"total": time.perf_counter() - start},
        }

    def _draw(self, answers: list[Answer], as_image: bool) -> Path:
        if not as_image:
            return draw_points(answers)
        names = self.desk.settings.classes.names
        typed = [(1 + names.index(a.label), a.contour) for a in answers if a.label is not None]
        return draw_outlines(answers[0].volume, typed, MASK_EXTENSIONS[0])
