"""The inference task `lesion_classifier`, and the same for 3D Slicer's stock module, which lists no classifiers."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from monailabel.interfaces.tasks.infer_v2 import InferTask, InferType

from lesionlabel.infers.asked import read_request
from lesionlabel.infers.desk import Desk
from lesionlabel.infers.drawing import MARKUPS_EXTENSION, draw

#: What 3D Slicer can show of an answer, and the file that does it; the first is the default.
SHOW = {"type": MARKUPS_EXTENSION, "outline": ".nrrd"}
DESCRIPTION = "Type of a focal liver lesion on portal-venous CT, from a point, a diameter or a label. Not for clinical use."


class LesionClassifier(InferTask):
    """Answers where a client points. A file is made unless result_write_to_file is false: stock clients need one."""

    def __init__(self, desk: Desk) -> None:
        classes = desk.settings.classes
        super().__init__(
            type=InferType.CLASSIFICATION,
            labels=classes.names,
            dimension=3,
            description=DESCRIPTION,
            config={"override_phase": False, "diameter_mm": 0.0},
        )
        self.desk = desk

    def is_valid(self) -> bool:
        """True also without a model, so that clients see the task and get the reason when they ask."""
        return True

    def __call__(self, request: dict[str, Any]) -> tuple[str | None, dict[str, Any]]:
        """Answer request["image"], a path. Returns the path of a new file, or None, and the answer's JSON."""
        start = time.perf_counter()
        answer = self.desk.answer(Path(request["image"]), read_request(request))
        file = None
        if request.get("result_write_to_file", True) is not False:
            file = str(draw(answer, self.extension(request)))
        names = {} if answer.label is None else {"label_names": {answer.label: 1}}
        return file, {**answer.json, **names, "entropy": answer.entropy, "latencies": {"total": time.perf_counter() - start}}

    def extension(self, request: dict[str, Any]) -> str:
        """The ending of the answer's file."""
        return str(request.get("result_extension") or MARKUPS_EXTENSION)


class LesionClassifierForSlicer(LesionClassifier):
    """Listed by the stock module under SmartEdit: a click gives the type as a labelled point, or the outline.

    That module always asks for a .nrrd file; what comes back is chosen in its options table instead.
    """

    def __init__(self, desk: Desk) -> None:
        super().__init__(desk)
        self.type = InferType.DEEPGROW
        self._config["show"] = list(SHOW)

    def extension(self, request: dict[str, Any]) -> str:
        show = request.get("show", "type")
        return SHOW.get(show if isinstance(show, str) else "type", MARKUPS_EXTENSION)
