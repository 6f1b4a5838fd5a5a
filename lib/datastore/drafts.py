"""Submits whose DICOM results are still to be made: on disk before the label is saved, so that a crash loses nothing."""

from __future__ import annotations

import json
import secrets
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lesionlabel.datastore.outbox import FIRST_PAUSE_S, LONGEST_PAUSE_S, key_of
from lesionlabel.lesions.files import sync, write_atomically


@dataclass(frozen=True)
class Draft:
    """A submit. at: UTC, ISO 8601 to the second. saved: whether its label is known to be saved.

    tries, problem, next_try: how making its results went so far.
    """

    file: Path
    image_id: str
    at: str
    saved: bool = False
    tries: int = 0
    problem: str = ""
    next_try: float = 0.0

    @property
    def began(self) -> float:
        """Seconds since the epoch."""
        return datetime.fromisoformat(self.at).timestamp()

    def to_json(self) -> dict[str, Any]:
        """For whoever looks after it: no identifier of the image."""
        return {
            "name": f"draft-{self.file.stem}",
            "state": "to be made",
            "version": None,
            "created": self.at,
            "documents": [],
            "tries": self.tries,
            "problem": self.problem,
            "next_try": datetime.fromtimestamp(self.next_try, UTC).isoformat(timespec="seconds") if self.tries else None,
        }


class Drafts:
    """One small file for each under folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def add(self, image_id: str) -> Draft:
        now = datetime.now(UTC).isoformat(timespec="seconds")
        draft = Draft(self._folder / f"{key_of(image_id)}-{secrets.token_hex(4)}.json", image_id, now)
        self._write(draft)
        sync(self._folder)
        return draft

    def list(self) -> list[Draft]:
        """All, oldest first. One that cannot be read is left alone: it was cut short before its label was saved."""
        found = []
        for file in self._folder.glob("[!.]*.json"):
            with suppress(FileNotFoundError, ValueError, TypeError):
                found.append(Draft(file, **json.loads(file.read_bytes())))
        return sorted(found, key=lambda draft: (draft.at, draft.file.name))

    def saved(self, draft: Draft) -> None:
        """Its label is saved."""
        self._write(replace(draft, saved=True))

    def note(self, draft: Draft, problem: str, now: float) -> None:
        """Making its results failed: when to try again."""
        pause = min(FIRST_PAUSE_S * 2 ** min(draft.tries, 20), LONGEST_PAUSE_S)
        self._write(replace(draft, tries=draft.tries + 1, problem=problem, next_try=now + pause))

    def drop(self, draft: Draft) -> None:
        draft.file.unlink(missing_ok=True)

    def _write(self, draft: Draft) -> None:
        said = {name: value for name, value in vars(draft).items() if name != "file"}
        write_atomically(draft.file, json.dumps(said).encode())
