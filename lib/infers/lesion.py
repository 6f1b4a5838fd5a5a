"""The inference task `lesion`: from clicks to the lesion's outline, for 3D Slicer's SmartEdit and OHIF's point prompts."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from monailabel.interfaces.tasks.infer_v2 import InferTask, InferType

from lesionlabel.infers.clicked import box_in, clicks_in, read_clicked
from lesionlabel.infers.desk import Desk
from lesionlabel.infers.drawing import MASK_EXTENSIONS, draw_outlines
from lesionlabel.infers.outline import Outlined
from lesionlabel.infers.outlining import outline_clicked
from lesionlabel.lesions.contour import Contour
from lesionlabel.lesions.segmenter import Segmented

DESCRIPTION = "Outline of the liver lesion under your clicks, in the clicked slice or as a whole. Not for clinical use."
#: Readers give their own type before they see the model's; a client that asks for it as well is taken to have shown it.
NOT_ASKED = (
    "No type is given: it was not asked for, so that the reader's own comes first. "
    "Set with_type to true, or run lesion_report once the reader has decided."
)


class LesionOutline(InferTask):
    """Outlines what is clicked. A file is made unless result_write_to_file is false: stock clients need one.

    Dimension 2: 3D Slicer then replaces the clicked slice of the segment only, so that other lesions and corrections by brush
    under the same segment stay. What is outlined in other slices with whole is added to the segment.
    """

    def __init__(self, desk: Desk) -> None:
        super().__init__(
            type=InferType.DEEPGROW,
            labels=desk.settings.classes.names,
            dimension=2,
            description=DESCRIPTION,
            config={"whole": False, "with_type": False, "override_phase": False},
        )
        self.desk = desk

    def is_valid(self) -> bool:
        """True: an outline needs no model version."""
        return True

    def __call__(self, request: dict[str, Any]) -> tuple[str | None, dict[str, Any]]:
        """Answer request["image"], a path. Returns the path of a new file with the voxel value 1, or None, and the JSON."""
        start = time.perf_counter()
        clicked = read_clicked(request)
        image = self.desk.open(Path(request["image"]))
        volume = image.volume
        clicks, box = clicks_in(volume, clicked), box_in(volume, clicked)
        found = outline_clicked(volume, clicks, self.desk.segmenter, whole=clicked.whole, box=box)
        image.marks.note(request.get("client_id"), found)
        typing = self.desk.typing() if clicked.with_type else self.desk.untyped("outline only", NOT_ASKED)
        outlined = Outlined(shown_contour(found[0]), "segmented from a click", found[0].confidence)
        answer = self.desk.describe(image, outlined, typing, override_phase=clicked.override_phase)
        file = None
        if request.get("result_write_to_file", True) is not False:
            contours = [(1, contour) for lesion in found for contour in lesion.contours]
            file = str(draw_outlines(volume, contours, str(request.get("result_extension") or MASK_EXTENSIONS[0])))
        return file, {
            **answer.json,
            "label_names": {clicked.segment: 1},
            "lesions_outlined": len(found),
            "slices_outlined": len(found[0].contours),
            "entropy": answer.entropy,
            "latencies": {"total": time.perf_counter() - start},
        }


def shown_contour(found: Segmented) -> Contour:
    """The outline that a lesion is described by: the widest of its slices, as when it is saved."""
    return max(found.contours, key=lambda contour: contour.diameter_px)
