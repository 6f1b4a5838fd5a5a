"""What a worker's process shares with the parts that it works on, and how a part is run: told, stopped, and failing in words."""

from __future__ import annotations

import errno
import logging
import re
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TypeVar

from sqlalchemy.exc import DBAPIError

from lesionlabel.jobs.database import JobError
from lesionlabel.jobs.jobs import Jobs
from lesionlabel.jobs.journal import Journal
from lesionlabel.lesions.errors import places, without_uids
from lesionlabel.settings import Settings
from lesionlabel.training.hooks import TOLD, Progress, ShouldStop

logger = logging.getLogger(__name__)

T = TypeVar("T")

FOLDERS = re.compile(r"(?<![\w.~-])/(?:[^\s/'\"]+/)+")
#: Seconds between two looks at whether the job was cancelled.
LOOK_EVERY_S = 1.0


@dataclass(eq=False)
class Work:
    """One worker's process. name: of the worker. stopping: set when the process is to end."""

    settings: Settings
    jobs: Jobs
    name: str
    stopping: threading.Event = field(default_factory=threading.Event)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _running: int = 0
    _parked: int = 0

    def run(self, job: str, workflow: str, part: str, do: Callable[[Progress, ShouldStop], T]) -> T:
        """Do a part of a job, a step of a workflow. What went wrong is raised as JobError, in words that name no folder.

        When the process is to end, this never returns: the part is not failed, and the next worker goes on with it.
        """
        journal = Journal(self.settings, job)
        looked, over = 0.0, False

        def should_stop() -> bool:
            nonlocal looked, over
            if not over and time.monotonic() - looked > LOOK_EVERY_S:
                looked = time.monotonic()
                # A database that is away for a while ends no training.
                with suppress(DBAPIError):
                    over = self.jobs.cancelled(job)
                    if self.jobs.is_with_another(workflow, self.name):
                        # It was taken for lost and its work was given to another: to start anew is the one way to be sure.
                        logger.warning("Work of %s was taken over by another worker; it ends.", self.name)
                        self.stopping.set()
            return over or self.stopping.is_set()

        with self._lock:
            self._running += 1
        try:
            return do(journal.hook(part), should_stop)
        except Exception as error:
            if self.stopping.is_set():
                self._park()
            failed = self.as_job_error(error)
            if not over:
                # On a full disk the log cannot be written either; the job's own record says why.
                with suppress(OSError):
                    journal.say(f"{part} failed: {failed}")
            raise failed from None
        finally:
            with self._lock:
                self._running -= 1

    def rests(self) -> bool:
        """Whether no part is at work any more, so that the process may end."""
        with self._lock:
            return self._running == self._parked

    def _park(self) -> None:
        with self._lock:
            self._parked += 1
        threading.Event().wait()

    def as_job_error(self, error: Exception) -> JobError:
        """The error in words that name no folder."""
        if isinstance(error, JobError):
            return error
        kind = type(error).__name__
        if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
            return JobError(
                kind, "The disk is full. Make space and start the job again: what it has finished is taken up, not done again."
            )
        if not isinstance(error, TOLD):
            return JobError(kind, f"Something unexpected went wrong: {places(error)}.")
        return JobError(kind, self.in_words(error))

    def in_words(self, error: Exception) -> str:
        """The text of an error of ours; files are named without the folders they lie in, and not after a UID."""
        text = str(error)
        for folder in sorted({str(self.settings.home), str(self.settings.home.resolve())}, key=len, reverse=True):
            text = text.replace(f"{folder}/", "")
        return without_uids(FOLDERS.sub("", text))
