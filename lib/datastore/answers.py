"""Which reader was shown an answer for which image, and how unsure the model was: kept over restarts."""

from __future__ import annotations

import hashlib
import json
import threading
from functools import cached_property
from pathlib import Path
from typing import Any

from lesionlabel.datastore.names import HISTORY, require_id
from lesionlabel.lesions.files import write_atomically

ANYONE = "anyone"


class AnswerLog:
    """One small file per image under folder. Client ids are stored as hashes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = threading.Lock()
        self._known: dict[str, dict[str, Any]] = {}

    @classmethod
    def of_studies(cls, studies: Path) -> AnswerLog:
        """The log of a studies folder."""
        return cls(studies / "labels" / HISTORY / "answers")

    @cached_property
    def unstored(self) -> AnswerLog:
        """The log of images that are no files of the datastore (sessions, uploads), by the digest of their voxels.

        3D Slicer asks about a volume in a session first, and uploads it only when its label is submitted.
        """
        return AnswerLog(self.folder / "unstored")

    def record(self, image_id: str, client_id: Any, version: str, entropy: float) -> None:
        """An answer with a lesion type was sent. entropy: of its probabilities, as a share of the largest possible, 0 to 1."""
        client = _hash(client_id)
        with self._lock:
            known = self._read(image_id)
            highest = max(known["entropy"].get(version, 0.0), round(entropy, 3))
            if client in known["clients"] and known["entropy"].get(version) == highest:
                return
            changed = {"clients": sorted({*known["clients"], client}), "entropy": {version: highest}}
            write_atomically(self._path(image_id), json.dumps(changed).encode())
            self._known[image_id] = changed

    def saw(self, image_id: str, client_id: Any) -> bool | None:
        """Whether that client was shown an answer for the image. None where only others were: it may be the same reader."""
        with self._lock:
            clients = self._read(image_id)["clients"]
        if client_id and _hash(client_id) in clients:
            return True
        return None if clients else False

    def entropy(self, image_id: str, version: str) -> float | None:
        """The highest entropy among that version's answers for the image, 0 to 1; None where it never answered."""
        with self._lock:
            return self._read(image_id)["entropy"].get(version)

    def _path(self, image_id: str) -> Path:
        return self.folder / f"{require_id(image_id)}.json"

    def _read(self, image_id: str) -> dict[str, Any]:
        if image_id not in self._known:
            try:
                self._known[image_id] = json.loads(self._path(image_id).read_text(encoding="utf-8"))
            except FileNotFoundError:
                self._known[image_id] = {"clients": [], "entropy": {}}
            except ValueError:  # damaged: somebody may have seen an answer
                self._known[image_id] = {"clients": [ANYONE], "entropy": {}}
        return self._known[image_id]


def _hash(client_id: Any) -> str:
    return hashlib.sha256(str(client_id).encode()).hexdigest()[:16] if client_id else ANYONE
