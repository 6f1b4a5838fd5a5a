"""Runs an experiment's tasks side by side, each once: what is finished is never done again, in whatever order it was stopped."""

from __future__ import annotations

import errno
import json
import math
import multiprocessing
import os
import signal
import statistics
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict
from pathlib import Path

import torch

from lesionlabel.experiment.plan import NOT_TRAINED, Plan
from lesionlabel.experiment.reading import reading
from lesionlabel.experiment.tasks import Task, Work, all_tasks, is_done, is_measured, needs, run_task
from lesionlabel.lesions.cohort import load_cohort, save_cohort
from lesionlabel.lesions.errors import InputError
from lesionlabel.lesions.files import write_atomically
from lesionlabel.settings import Settings
from lesionlabel.training.hooks import ShouldStop, StoppedError, never_stop

PLAN_FILE, COHORT_FILE = "plan.json", "cohort.npz"
#: Seconds between two looks at whether to stop.
LOOK_EVERY_S = 1.0
STOPPED = "The experiment was stopped. The same command with --resume goes on from here."

#: Told after each task: it, how many are done and how many there are, and the seconds that are probably left, NaN if unknown.
TaskDone = Callable[[Task, int, int, float], None]


def run_tasks(work: Work, jobs: int, told: TaskDone, *, should_stop: ShouldStop = never_stop) -> float:
    """Do what is not done yet, jobs at a time, in processes of one thread where there are several. Returns the seconds it took.

    Raises InputError when the folder holds another experiment, StoppedError when it was stopped, a process was ended from outside
    or the disk is full, and else what run_task raises for the first task that fails; what was finished stays.
    """
    claim(work)
    started = time.monotonic()
    tasks = all_tasks(work.plan)
    done = {task for task in tasks if is_done(work, task)}
    waiting = [task for task in tasks if task not in done]
    progress = _Progress(work.plan, waiting)
    running: dict[Future[float], Task] = {}
    pool = ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn"), _start, (work.folder, work.plan, work.settings, jobs))
    try:
        while waiting or running:
            if should_stop():
                raise StoppedError(STOPPED)
            for task in [t for t in waiting if all(n in done for n in needs(t, work.plan))][: jobs - len(running)]:
                waiting.remove(task)
                running[pool.submit(_do, task)] = task
            for future in wait(running, LOOK_EVERY_S, FIRST_COMPLETED).done:
                task = running.pop(future)
                seconds = future.result()
                done.add(task)
                told(task, len(done), len(tasks), progress.left(task, seconds, jobs))
    except BrokenProcessPool:
        if should_stop():
            # Ctrl+C reached a process before it could begin to ignore it.
            raise StoppedError(STOPPED) from None
        raise StoppedError(
            "A process of the experiment was ended from outside, perhaps for want of memory. What is finished stays: go on with "
            "--resume and fewer --jobs."
        ) from None
    except OSError as error:
        raise cannot_write(error) from error
    finally:
        # What still runs is ended, not awaited: it is done again, and generators go on from their checkpoints.
        for process in list((pool._processes or {}).values()) if running else []:
            process.terminate()
        pool.shutdown(cancel_futures=True)
    return time.monotonic() - started


def cannot_write(error: OSError) -> StoppedError:
    """What a user is told of a full or otherwise unwilling disk."""
    room = " Make room, then" if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG) else " Mend that, then"
    return StoppedError(
        f"A result cannot be written: {error.strerror or error}. What is finished stays.{room} go on with --resume."
    )


def claim(work: Work) -> None:
    """Write plan and cohort into a new folder.

    Raises InputError when the folder holds another experiment's or anything else, IntegrityError when its plan or cohort is
    damaged, StoppedError when it cannot be written.
    """
    content = plan_json(work.plan)
    plan, cohort = work.folder / PLAN_FILE, work.folder / COHORT_FILE
    if plan.exists():
        with reading(plan):
            theirs = dict(json.loads(plan.read_bytes()))
        differ = sorted(key for key in {*content, *theirs} if content.get(key) != theirs.get(key))
        if differ:
            raise InputError(
                f"{work.folder} holds another experiment: it differs in {', '.join(differ)}. "
                "Give another --out, or ask for the same."
            )
        if cohort.exists() and load_cohort(cohort).digest == work.cohort.digest:
            return
    # A start that was cut short leaves the cohort alone.
    elif work.folder.exists() and {path.name for path in work.folder.iterdir()} - {COHORT_FILE}:
        raise InputError(f"{work.folder} is not empty and holds no experiment. Give another --out.")
    try:
        save_cohort(work.cohort, cohort)
        write_atomically(plan, (json.dumps(content, indent=1) + "\n").encode())
    except OSError as error:
        raise cannot_write(error) from error


def plan_json(plan: Plan) -> dict[str, object]:
    """The plan as JSON, as a file gives it back."""
    return json.loads(json.dumps(asdict(plan)))


class _Progress:
    """How long the rest takes, from what tasks of each kind took so far."""

    def __init__(self, plan: Plan, waiting: Sequence[Task]) -> None:
        self._plan = plan
        self._left = {task: self._images(task) for task in waiting}
        self._took: dict[str, list[float]] = {}

    def _images(self, task: Task) -> float:
        """A task's work: images that go through a network; 0 where it is no matter."""
        profile = self._plan.profile
        if task.kind == "generators":
            # Of the paper's epochs: three passes through two networks of each image, and more of them for all classes.
            return 3 * 64 * float(profile.gan_steps or 70 * profile.gan_amount * (profile.folds - 1) / 64)
        if task.kind == "pool" or task.point is None or task.point.arm in NOT_TRAINED:
            return 0.0
        images = (task.point.classic + task.point.added) * (profile.folds - 1)
        return float(profile.steps * profile.batch if task.schedule == "steps" else profile.epochs * images)

    def left(self, task: Task, seconds: float, jobs: int) -> float:
        """Seconds that are probably left after a task that took so many; NaN before any that counts."""
        work = self._left.pop(task)
        if work:
            self._took.setdefault(self._kind(task), []).append(seconds / work)
        rates = {kind: sum(took) / len(took) for kind, took in self._took.items()}
        # A kind of which none is done yet is guessed as the middle of those that are.
        guess = statistics.median(rates.values()) if rates else math.nan
        return sum(work * rates.get(self._kind(t), guess) for t, work in self._left.items() if work) / jobs

    def _kind(self, task: Task) -> str:
        """What takes as long as each other for the same work; a generator that is measured takes several times as long."""
        measured = task.kind == "generators" and is_measured(self._plan, task)
        return f"{task.kind} {task.network} {measured}"


_WORK: list[Work] = []


def _start(folder: Path, plan: Plan, settings: Settings, jobs: int) -> None:
    """In each process: one thread where there are several processes, and the cohort read once.

    Ctrl+C reaches every process of a terminal; the one that started these decides what becomes of them. They end with it,
    however it ends: nobody would wait for their results.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if jobs > 1:
        torch.set_num_threads(1)
    _WORK.append(Work(load_cohort(folder / COHORT_FILE), plan, settings, folder))


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def _do(task: Task) -> float:
    started = time.monotonic()
    run_task(_WORK[0], task)
    return time.monotonic() - started
