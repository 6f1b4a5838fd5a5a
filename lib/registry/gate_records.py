"""What the gate has decided, kept for ever: one decision a candidate and champion, one look a snapshot.

A look at lesions tells something about them, and the best of many equal candidates looks better by luck. So each look at the same
lesions halves what may be called shown, until half of them are new.
"""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

from lesionlabel.lesions.cohort import Cohort
from lesionlabel.lesions.errors import InputError, IntegrityError
from lesionlabel.lesions.files import append_line
from lesionlabel.registry.gate import Decision, Evidence
from lesionlabel.settings import Settings

#: Share of the lesions tested that must be new for the looks to count from 1 again.
NEW = 0.5


class GateRecords:
    """The decisions of one home folder, in one file to which lines are only added."""

    def __init__(self, settings: Settings) -> None:
        self._path: Path = settings.home / "gate.jsonl"

    def find(self, candidate: str, champion: str) -> Decision | None:
        """What was decided of the two, if they were compared. Raises IntegrityError when it cannot be read."""
        for entry in reversed(self._entries()):
            if (entry["decision"]["candidate"], entry["decision"]["champion"]) == (candidate, champion):
                try:
                    return Decision.from_json(entry["decision"])
                except (KeyError, TypeError, ValueError) as error:
                    raise IntegrityError(f"{self._path} is damaged ({error!r}) where {candidate} was compared.") from error
        return None

    def next_look(self, snapshot: str, evidence: Evidence, tested: Cohort) -> int:
        """Which look the next one at these lesions is, from 1.

        Raises InputError when there was a look at this snapshot: the best of several candidates on the same lesions looks better
        than it is. Candidates are chosen by cross-validation.
        """
        look, ids = 1, {lesion.lesion_id for lesion in tested}
        seen: set[str] = set()
        for entry in self._entries():
            decision = entry["decision"]
            if decision["evidence"] != evidence:
                continue
            if decision["snapshot"] == snapshot:
                raise InputError(
                    f"{decision['candidate']} was compared on these lesions already ({decision['time']}). One candidate a "
                    "snapshot: the best of several looks better than it is. Curate more lesions and train again."
                )
            seen = set(entry["tested"]) | (set() if decision["look"] == 1 else seen)
            look = decision["look"] + 1
        if ids and len(ids - seen) >= NEW * len(ids):
            return 1
        return look

    def add(self, decision: Decision, tested: Cohort) -> None:
        """Keep a decision with the lesions that it rests on, before anybody is told. Raises OSError."""
        entry = {"decision": decision.to_json(), "tested": sorted(lesion.lesion_id for lesion in tested)}
        append_line(self._path, json.dumps(entry, ensure_ascii=False).encode())

    def _entries(self) -> list[dict[str, Any]]:
        try:
            lines = self._path.read_bytes().split(b"\n")
        except FileNotFoundError:
            return []
        entries = []
        for line in lines:
            with suppress(ValueError):  # a line that a power cut left half written, of which nobody was told
                entries.append(json.loads(line))
        return entries
