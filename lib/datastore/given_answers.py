"""The model's answers as clients got them, so that a report can say what the model said, and not what another version would."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from lesionlabel.datastore.outbox import key_of
from lesionlabel.lesions.contour import Contour
from lesionlabel.lesions.errors import InputError, places
from lesionlabel.lesions.files import write_atomically
from lesionlabel.lesions.volume import Geometry

logger = logging.getLogger(__name__)

#: How an answer says that our segmenter drew its outline.
SEGMENTED = "segmented"
#: Answers kept for an image: the newest.
MOST = 200
#: What is kept of an answer.
KEPT = ("prediction", "display", "lesion", "model", "closed_set", "warnings", "reader_notes")
#: Of how far a point may lie from its slice, in voxels: positions are given to a hundredth of a mm.
IN_SLICE = 0.25


@dataclass(frozen=True, eq=False)
class GivenAnswer:
    """An answer with an outline. given_at: UTC, ISO 8601. json: as the client got it, as far as it is kept."""

    given_at: str
    json: dict[str, Any]

    @property
    def typed(self) -> bool:
        """Whether it gave a lesion type."""
        return bool(self.json.get("prediction") and self.json.get("model"))

    @property
    def segmented(self) -> bool:
        """Whether our segmenter drew its outline."""
        return str(self.json["lesion"].get("outlined_by", "")).startswith(SEGMENTED)

    def to_json(self) -> dict[str, Any]:
        return {"given_at": self.given_at, "json": self.json}

    def contour(self, grid: Geometry) -> Contour:
        """The outline that was answered about, in the voxels of grid. Raises InputError where it lies in no slice of grid."""
        points = grid.to_voxel(np.asarray(self.json["lesion"]["contour_lps"], dtype=np.float64))
        k = round(float(points[:, 2].mean()))
        if np.abs(points[:, 2] - k).max() > IN_SLICE or not 0 <= k < grid.shape[0]:
            raise InputError("The answer's outline lies in no slice of the volume.")
        return Contour(k, points[:, :2])


class GivenAnswers:
    """One small file for each image under folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()

    def keep(self, image_id: str, params: dict[str, Any]) -> None:
        """Remember every outline and type that an answer gave. Where the disk takes it not, the client gets the answer still."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        new = [{"given_at": now, "json": {key: answer[key] for key in KEPT if key in answer}} for answer in _outlines_in(params)]
        if not new:
            return
        try:
            with self._lock:
                write_atomically(self._path(image_id), json.dumps([*self._read(image_id), *new][-MOST:]).encode())
        except OSError as error:
            logger.warning("An answer could not be kept for DICOM results: %s", places(error))

    def of(self, image_id: str) -> list[GivenAnswer]:
        """The image's answers, newest first."""
        with self._lock:
            return [GivenAnswer(entry["given_at"], entry["json"]) for entry in reversed(self._read(image_id))]

    def _path(self, image_id: str) -> Path:
        return self._folder / f"{key_of(image_id)}.json"

    def _read(self, image_id: str) -> list[dict[str, Any]]:
        with suppress(FileNotFoundError, ValueError):
            return list(json.loads(self._path(image_id).read_bytes()))
        return []


def _outlines_in(params: dict[str, Any]) -> Sequence[dict[str, Any]]:
    found = params.get("lesions")
    listed = found if isinstance(found, list) else [params]
    return [one for one in listed if isinstance(one, dict) and "contour_lps" in (one.get("lesion") or ())]


def answers_in(params: dict[str, Any]) -> Sequence[dict[str, Any]]:
    """The answers with a type in what a model returned: about one lesion, or a list of several."""
    return [one for one in _outlines_in(params) if one.get("prediction") and one.get("model")]
