"""What a job tells while it runs: its parts with how far each is, and a log that is kept. Files, so that any process can look."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lesionlabel.lesions.errors import NotFoundError
from lesionlabel.lesions.files import write_atomically
from lesionlabel.settings import Settings
from lesionlabel.training.hooks import Progress

#: Seconds between two notes on how far a part is.
NOTE_EVERY_S = 1.0
#: Lines that a part has in the log, but for the first.
TELLS = 10
JOB_ID = re.compile(r"[0-9a-zA-Z][0-9a-zA-Z_-]{0,99}")


@dataclass(frozen=True)
class Part:
    """A part of a job. name: of its file. weight: its share of the work, of whatever unit."""

    name: str
    title: str
    weight: float


@dataclass(frozen=True)
class PartProgress:
    """share: done, 0 to 1. what: being done. started, updated: seconds since 1970, None before it begins."""

    title: str
    weight: float
    share: float = 0.0
    what: str = ""
    started: float | None = None
    updated: float | None = None


class Journal:
    """The folder of one job. Raises NotFoundError for an id that no job can have."""

    def __init__(self, settings: Settings, job: str) -> None:
        if not JOB_ID.fullmatch(job):
            raise NotFoundError(f"No job {job!r}.")
        self.folder: Path = settings.jobs_folder / job
        self.log: Path = self.folder / "log.txt"

    def say(self, text: str) -> None:
        """Add a line to the log."""
        self.folder.mkdir(parents=True, exist_ok=True)
        line = f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S}Z  {' '.join(text.split())}\n"
        # One write: several workers share the file.
        handle = os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            os.write(handle, line.encode())
        finally:
            os.close(handle)

    def lines(self, most: int | None = None) -> list[str]:
        """The log's last lines, all of them if most is None."""
        try:
            found = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        except FileNotFoundError:
            return []
        return found if most is None else found[-most:]

    def plan(self, parts: Sequence[Part]) -> None:
        """Say what the parts of the job are, in their order; those said before stay."""
        known = self._plan()
        names = {part.name for part in known}
        content = [asdict(part) for part in (*known, *(part for part in parts if part.name not in names))]
        write_atomically(self.folder / "plan.json", json.dumps(content).encode())

    def hook(self, part: str) -> Progress:
        """A progress hook that notes how far a part is, and in the log when it begins, ends, and has done another tenth."""
        started, noted, said = time.time(), 0.0, -1
        title = {p.name: p.title for p in self._plan()}.get(part, part)

        def note(share: float, what: str) -> None:
            nonlocal noted, said
            if time.time() - noted < NOTE_EVERY_S and share < 1:
                return
            if int(share * TELLS) > said:
                said = int(share * TELLS)
                self.say(f"{title}: {what or ('done' if share >= 1 else 'begins')}")
            noted = time.time()
            content = {"share": min(max(share, 0.0), 1.0), "what": what, "started": started, "updated": noted}
            write_atomically(self.folder / "parts" / f"{part}.json", json.dumps(content).encode())

        return note

    def parts(self) -> list[PartProgress]:
        """How far each part is."""
        return [PartProgress(part.title, part.weight, **self._noted(part.name)) for part in self._plan()]

    def _plan(self) -> list[Part]:
        try:
            return [Part(**part) for part in json.loads((self.folder / "plan.json").read_bytes())]
        except FileNotFoundError:
            return []

    def _noted(self, part: str) -> dict[str, Any]:
        try:
            return json.loads((self.folder / "parts" / f"{part}.json").read_bytes())
        except FileNotFoundError:
            return {}
