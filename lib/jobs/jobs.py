"""Jobs as users see them: start one, look at it, cancel it. Any process may; the work is done by workers."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from lesionlabel.jobs.journal import Journal, PartProgress
from lesionlabel.lesions.cohort import Cohort, take_snapshot
from lesionlabel.lesions.errors import InputError, NotFoundError
from lesionlabel.settings import Settings

if TYPE_CHECKING:
    from dbos import DBOSClient, WorkflowStatus

Kind = Literal["retrain", "train_generator", "compare"]
KINDS: tuple[Kind, ...] = ("retrain", "train_generator", "compare")
#: Jobs that a list shows.
SHOWN = 100
#: Seconds for which what was read of the newest jobs holds.
MOMENT_S = 0.5
#: Seconds without a sign of life after which a worker is no longer shown.
STALE_S = 60.0
#: Held by a job that does not wait in line, until it is over.
ALONE = "alone"


class BusyError(InputError):
    """Another job waits or runs. Wait for it, cancel it, or ask to wait in line."""


class State(StrEnum):
    """WAITING: for a worker, or for the job before it. CANCELLED: by a person."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def is_over(self) -> bool:
        return self not in (State.WAITING, State.RUNNING)


STATES = {
    "ENQUEUED": State.WAITING,
    "DELAYED": State.WAITING,
    "PENDING": State.RUNNING,
    "SUCCESS": State.DONE,
    "ERROR": State.FAILED,
    "MAX_RECOVERY_ATTEMPTS_EXCEEDED": State.FAILED,
    "CANCELLED": State.CANCELLED,
}


@dataclass(frozen=True)
class Job:
    """One background run. asked: what it was started with. Times in seconds since 1970.

    share: done, 0 to 1. seconds_left: None where it cannot be told. why: it failed. result: what it made.
    """

    id: str
    kind: str
    asked: dict[str, Any]
    state: State
    created: float
    started: float | None
    ended: float | None
    share: float
    what: str
    seconds_left: float | None
    parts: tuple[PartProgress, ...]
    why: str | None
    result: dict[str, Any] | None

    def to_json(self) -> dict[str, Any]:
        """For clients: where lesions lie on the server is not told."""
        return {
            "id": self.id,
            "kind": self.kind,
            "trainer": self.asked.get("trainer"),
            "params": self.asked.get("params", {}),
            "state": self.state,
            **{name: _iso(getattr(self, name)) for name in ("created", "started", "ended")},
            "percent": round(100 * self.share, 1),
            "what": self.what,
            "seconds_left": None if self.seconds_left is None else round(self.seconds_left),
            "parts": [
                {"title": part.title, "percent": round(100 * part.share, 1), "what": part.what, "started": _iso(part.started)}
                for part in self.parts
            ],
            "why": self.why,
            "result": self.result,
        }


class Jobs:
    """The jobs of one home folder. Safe to use from several threads. The database is opened, and loaded, at first use."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._opening = threading.Lock()
        self._recent: tuple[float, tuple[Job, ...]] = (-1.0, ())

    @cached_property
    def client(self) -> DBOSClient:
        from lesionlabel.jobs.database import open_client

        with self._opening:
            return self.__dict__.get("client") or open_client(self.settings)

    def start(self, kind: Kind, asked: dict[str, Any], *, wait_in_line: bool = False) -> Job:
        """Put a job in line. Unless it may wait there, no other may be there. Raises BusyError."""
        from dbos import error

        from lesionlabel.jobs.database import APPLICATION, JOBS_QUEUE, SHAPE

        busy = [job for job in self.active() if not wait_in_line]
        if busy:
            raise BusyError(
                f"{busy[0].kind} {busy[0].id} is {busy[0].state}. Wait for it, cancel it, or queue this one behind it."
            )
        options: Any = {"workflow_name": kind, "queue_name": JOBS_QUEUE, "app_version": SHAPE, "application_name": APPLICATION}
        if not wait_in_line:
            # Of two that ask in the same moment one is told.
            options["deduplication_id"] = ALONE
        try:
            handle = self.client.enqueue(options, asked)
        except error.DBOSQueueDeduplicatedError:
            raise BusyError(BusyError.__doc__ or "") from None
        Journal(self.settings, handle.get_workflow_id()).say(f"{kind} asked for: {_in_words(asked)}")
        return self.get(handle.get_workflow_id())

    def get(self, job: str) -> Job:
        """The job of that id. Raises NotFoundError."""
        Journal(self.settings, job)
        found = self.client.list_workflows(workflow_ids=[job])
        if not found or found[0].name not in KINDS:
            raise NotFoundError(f"No job {job!r}. 'lesionlabel jobs list' and GET /api/v1/jobs name them.")
        return self._job(found[0], True)

    def list(self, states: Sequence[str] | None = None) -> tuple[Job, ...]:
        """The newest jobs, newest first; the parts only of those that are not over."""
        wanted = None if states is None else [*states]
        rows = self.client.list_workflows(name=[*KINDS], status=wanted, limit=SHOWN, sort_desc=True)
        return tuple(self._job(row, not STATES[row.status].is_over) for row in rows)

    def recent(self) -> tuple[Job, ...]:
        """As list, at most a moment old: for what is asked for often."""
        read, found = self._recent
        if time.monotonic() - read > MOMENT_S:
            # Noted before: where the database is away, not everyone who asks has to wait for it.
            self._recent = (time.monotonic(), found)
            found = self.list()
            self._recent = (time.monotonic(), found)
        return found

    def active(self) -> tuple[Job, ...]:
        """Those that wait or run, the running one first."""
        found = self.list([name for name, state in STATES.items() if not state.is_over])
        return tuple(sorted(found, key=lambda job: (job.state is State.WAITING, job.created)))

    def cancel(self, job: str, by: str = "") -> Job:
        """Stop a job within seconds. What it has finished stays for the next one; no other is touched. Raises NotFoundError."""
        found = self.get(job)
        if not found.state.is_over:
            self.client.cancel_workflow(job, cancel_children=True)
            Journal(self.settings, job).say(f"Cancelled{f' by {by}' if by else ''}.")
        return self.get(job)

    def workers(self) -> tuple[str, ...]:
        """The workers that live, as far as can be seen from here."""
        beats = sorted(self.settings.workers_folder.glob("[!.]*.json"))
        return tuple(beat.stem for beat in beats if time.time() - beat.stat().st_mtime < STALE_S)

    def cancelled(self, job: str) -> bool:
        """Whether the job is over, so that its parts have nothing to work for any more."""
        rows = self.client.list_workflows(workflow_ids=[job], load_input=False, load_output=False)
        return not rows or STATES[rows[0].status].is_over

    def is_with_another(self, workflow: str, worker: str) -> bool:
        """Whether another worker than this one does the workflow now."""
        rows = self.client.list_workflows(workflow_ids=[workflow], load_input=False, load_output=False)
        return bool(rows) and rows[0].status == "PENDING" and rows[0].executor_id != worker

    def _what(self, state: State, last: PartProgress | None) -> str:
        if state.is_over:
            return ""
        if not self.workers():
            return "no worker lives: start 'lesionlabel serve' or 'lesionlabel worker' with the same home folder"
        return f"{last.title}: {last.what}" if last else "waits for its turn"

    def _job(self, row: WorkflowStatus, with_parts: bool) -> Job:
        state = STATES[row.status]
        asked = (row.input or {}).get("args", [{}])
        parts = tuple(Journal(self.settings, row.workflow_id).parts()) if with_parts else ()
        total = sum(part.weight for part in parts)
        share = sum(part.weight * part.share for part in parts) / total if total else 0.0
        begun = [part.started for part in parts if part.started is not None]
        last = max((part for part in parts if part.updated is not None), key=lambda part: part.updated or 0, default=None)
        left = None
        if state is State.RUNNING and begun and share > 0.1:
            left = (time.time() - min(begun)) / share * (1 - share)
        why = None
        if state is State.FAILED:
            why = str(row.error) if row.error else "Its workers were killed again and again while they worked on it."
        return Job(
            id=row.workflow_id,
            kind=row.name,
            asked=dict(asked[0]) if asked and isinstance(asked[0], dict) else {},
            state=state,
            created=(row.created_at or 0) / 1000,
            started=row.dequeued_at / 1000 if row.dequeued_at else None,
            ended=row.completed_at / 1000 if row.completed_at else None,
            share=1.0 if state is State.DONE else share,
            what=self._what(state, last),
            seconds_left=left,
            parts=parts,
            why=why,
            result=row.output if isinstance(row.output, dict) else None,
        )


def lesions_of(studies: Path) -> dict[str, str]:
    """Says in a job's request that it takes the curated lesions of a studies folder, as they are when it begins."""
    return {"studies": str(studies.resolve())}


def snapshot_of(cohort: Cohort, settings: Settings) -> dict[str, str]:
    """Says in a job's request that it takes these lesions."""
    take_snapshot(cohort, settings.snapshots_folder)
    return {"snapshot": cohort.digest}


def _in_words(asked: dict[str, Any]) -> str:
    params = asked.get("params") or {}
    return ", ".join(f"{name} {value}" for name, value in {**{"trainer": asked.get("trainer")}, **params}.items() if value)


def _iso(seconds: float | None) -> str | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
