"""A worker: a process that does jobs and their parts, at low priority, and takes over what a lost one has left.

It may be killed at any moment: what it was at goes on where the last checkpoint is, here after a restart or in another worker.
"""

from __future__ import annotations

import faulthandler
import logging
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dbos import DBOS, DBOSConfig, _dbos
from filelock import FileLock, Timeout

from lesionlabel.jobs import workflows
from lesionlabel.jobs.database import APPLICATION, JOBS_QUEUE, PARTS_QUEUE, SHAPE, JsonSerializer, database_url, migrate
from lesionlabel.jobs.jobs import Jobs
from lesionlabel.jobs.work import Work
from lesionlabel.lesions.errors import InputError, places
from lesionlabel.lesions.files import write_atomically
from lesionlabel.registry.mlflow_index import stamp
from lesionlabel.settings import Settings

logger = logging.getLogger(__name__)

#: Added to the process's niceness: whoever asks for a prediction comes first.
NICENESS = 10
#: Seconds between two signs of life, and without one until a worker counts as lost.
BEAT_EVERY_S, LOST_AFTER_S = 5.0, 30.0
#: Seconds that a part has for its checkpoint when the process is to end.
GRACE_S = 20.0
#: Seconds until MLflow is told again after it could not be.
RETRY_S = 60.0
MOST_SLOTS = 64


def run_worker(settings: Settings, name: str | None = None, *, watch_parent: bool = False) -> None:
    """Work until SIGTERM or SIGINT, or with watch_parent until standard input closes. Ends the process, however it ends.

    name: kept over restarts, so that the worker takes up its own work; the machine's name and a free number if None. Raises
    InputError when a worker of that name runs.
    """
    name, _lock = _claim(settings, name)
    os.nice(NICENESS)
    work = Work(settings, Jobs(settings), name)
    migrate(settings)
    workflows.use(work)
    config: DBOSConfig = {
        "name": APPLICATION,
        "system_database_url": database_url(settings),
        "executor_id": name,
        "application_version": SHAPE,
        "serializer": JsonSerializer(),
        "log_level": "CRITICAL",
        "enable_otlp": False,
        "scheduler_polling_interval_sec": 5.0,
    }
    DBOS(config=config)
    DBOS.listen_queues([JOBS_QUEUE, PARTS_QUEUE])
    # Where its threads stand, in its log, for whoever finds a worker that does not go on; no data.
    faulthandler.register(signal.SIGUSR1, all_threads=True)
    _launch()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: work.stopping.set())
    if watch_parent:
        threading.Thread(target=_until_parent_ends, args=(work,), daemon=True).start()
    logger.info("Worker %s works.", name)
    beat = settings.workers_folder / f"{name}.json"
    threading.Thread(target=_beat, args=(beat, work), daemon=True).start()
    others, stuck, index = Others(settings, name), Stuck(name), MlflowIndex(settings)
    while not work.stopping.wait(BEAT_EVERY_S):
        # A full disk or a database that is away passes, and what is at work goes on.
        try:
            others.look()
            stuck.look()
            if settings.mlflow:
                index.look()
        except Exception as error:
            logger.warning("A look at the jobs failed: %s", places(error))
    end = time.monotonic() + GRACE_S
    while not work.rests() and time.monotonic() < end:
        time.sleep(0.1)
    beat.unlink(missing_ok=True)
    logger.info("Worker %s ends.", name)
    # Parts that rest must not return, or DBOS would take them for finished or failed.
    sys.stdout.flush()
    os._exit(0)


def _launch() -> None:
    """Begin to take up work; the process ends where that fails, as threads that work already would keep it alive."""
    try:
        DBOS.launch()
        # Before anything is dequeued from it, a queue must be known with its limits.
        DBOS.register_queue(JOBS_QUEUE, global_concurrency=1, polling_interval_sec=0.5)
        DBOS.register_queue(PARTS_QUEUE, worker_concurrency=1, polling_interval_sec=0.5)
    except Exception as error:
        logger.error("The worker could not begin: %s", places(error))
        sys.stdout.flush()
        os._exit(1)


def _beat(path: Path, work: Work) -> None:
    """Give a sign of life, whatever the database does."""
    while not work.stopping.is_set():
        with suppress(OSError):
            write_atomically(path, str(time.time()).encode())
        time.sleep(BEAT_EVERY_S)


def _claim(settings: Settings, name: str | None) -> tuple[str, FileLock]:
    """The worker's name, and the lock that keeps others from having it."""
    host = re.sub(r"[^A-Za-z0-9-]+", "-", socket.gethostname()) or "worker"
    if name is not None and not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9-]{0,60}", name):
        raise InputError(f"A worker's name is of letters, digits and hyphens, got {name!r}.")
    settings.workers_folder.mkdir(parents=True, exist_ok=True)
    for tried in [name] if name is not None else [f"{host}-{slot}" for slot in range(1, MOST_SLOTS + 1)]:
        lock = FileLock(settings.workers_folder / f".{tried}.lock", thread_local=False)
        try:
            lock.acquire(blocking=False)
        except Timeout:
            continue
        return tried, lock
    raise InputError(f"A worker named {name} runs already." if name else f"{MOST_SLOTS} workers run on this machine already.")


def _until_parent_ends(work: Work) -> None:
    sys.stdin.buffer.read()
    work.stopping.set()


@dataclass
class Others:
    """The other workers of the same jobs. One whose sign of life no longer changes is lost, and its work waits for all again.

    Only changes are looked at: the clocks of several machines need not agree.
    """

    settings: Settings
    name: str
    _looked: float = 0.0
    _seen: dict[str, tuple[bytes, float]] = field(default_factory=dict)

    def look(self) -> None:
        """Give back the work of workers that are lost."""
        now = time.monotonic()
        if now - self._looked > LOST_AFTER_S / 2:
            # Nobody looked for a while: that others gave no sign in that time is not known.
            self._seen.clear()
        self._looked = now
        working = {str(row.executor_id) for row in DBOS.list_workflows(status="PENDING", load_input=False, load_output=False)}
        for other in sorted(working - {self.name, "None"}):
            if self._is_lost(other):
                logger.warning("Worker %s is lost; its work is taken over.", other)
                # By executor and in one statement: of two that take over, one does.
                DBOS._recover_pending_workflows([other])

    def _is_lost(self, other: str) -> bool:
        beat = _read(self.settings.workers_folder / f"{other}.json")
        now = time.monotonic()
        known, since = self._seen.get(other, (None, now))
        if beat != known:
            self._seen[other] = (beat, now)
            return False
        return now - since > LOST_AFTER_S


@dataclass
class Stuck:
    """Work of this process that no thread does: its end could not be written down, as on a full disk. It waits for all again."""

    name: str
    _seen: dict[str, float] = field(default_factory=dict)

    def look(self) -> None:
        """Give back what has been idle for a while."""
        engine: Any = _dbos._get_dbos_instance()
        active = set(engine._active_workflows_set.activeList())
        rows = DBOS.list_workflows(status="PENDING", executor_id=self.name, load_input=False, load_output=False)
        idle = {row.workflow_id for row in rows} - active
        now = time.monotonic()
        self._seen = {workflow: self._seen.get(workflow, now) for workflow in idle}
        for workflow, since in self._seen.items():
            if now - since > LOST_AFTER_S:
                logger.warning("A part of a job had ended without a word and is done again.")
                engine._sys_db.reenqueue_for_recovery(workflow, [self.name], PARTS_QUEUE)


@dataclass
class MlflowIndex:
    """Has MLflow told what there is and what serves, in a process of its own: its libraries would stay in memory here."""

    settings: Settings
    _told: tuple[Any, ...] | None = None
    _telling: subprocess.Popen[bytes] | None = None
    _waits_until: float = 0.0

    def look(self) -> None:
        """Start telling when something changed since. What fails is tried again later: another worker, or the server is down."""
        if self._telling is not None:
            code = self._telling.poll()
            if code is None:
                return
            self._telling = None
            if code != 0:
                self._told, self._waits_until = None, time.monotonic() + RETRY_S
                logger.warning("MLflow could not be told of the versions; tried again in %.0f s.", RETRY_S)
        now = stamp(self.settings)
        if now != self._told and time.monotonic() >= self._waits_until:
            self._told = now
            if any(names for _, names, _ in now):
                command = [sys.executable, "-P", "-m", "lesionlabel.cli", "models", "sync"]
                self._telling = subprocess.Popen(command, stdin=subprocess.DEVNULL)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""
