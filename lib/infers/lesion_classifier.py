"""The inference task `lesion_classifier`: the type of a lesion, however it is given. For REST: 3D Slicer lists no classifiers."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from monailabel.interfaces.tasks.infer_v2 import InferTask, InferType

from lesionlabel.infers.asked import read_request
from lesionlabel.infers.desk import Desk
from lesionlabel.infers.drawing import MARKUPS_EXTENSION, draw

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
            file = str(draw(answer, str(request.get("result_extension") or MARKUPS_EXTENSION)))
        names = {} if answer.label is None else {"label_names": {answer.label: 1}}
        return file, {**answer.json, **names, "entropy": answer.entropy, "latencies": {"total": time.perf_counter() - start}}
