"""MONAI Label's /train with its JSON, on durable jobs: stock clients train, stop and watch as they always did."""

from __future__ import annotations

import time
from typing import Annotated, Any

from fastapi import APIRouter, Body, HTTPException
from monailabel.endpoints.user.auth import User

from lesionlabel.jobs.jobs import Job, State, lesions_of
from lesionlabel.jobs.journal import Journal
from lesionlabel.lesions.errors import NotFoundError
from lesionlabel.server.roles import ADMIN, USER
from lesionlabel.server.running import running_app
from lesionlabel.trainers.base import JobTrainer

router = APIRouter()

#: What a client that asks for all training gets.
DEFAULT_TRAINER = "lesion_classifier"
STATUS = {
    State.WAITING: "SUBMITTED",
    State.RUNNING: "RUNNING",
    State.DONE: "DONE",
    State.FAILED: "ERROR",
    State.CANCELLED: "STOPPED",
}
#: Lines of the log that a status has.
DETAILS = 20


@router.post("/train/{model}")
def start_training(
    model: str, params: Annotated[dict | None, Body()] = None, enqueue: bool = False, user: User = ADMIN
) -> dict[str, Any]:
    """Start training in the background; what it makes is a candidate, and what serves stays as it is.

    429 while another job waits or runs, unless enqueue is true.
    """
    return task_of(_trainer(model).start(params or {}, lesions_of(running_app().datastore().studies), wait_in_line=enqueue))


@router.post("/train/")
def start_all_training(params: Annotated[dict | None, Body()] = None, user: User = ADMIN) -> dict[str, Any]:
    """Start the classifier's training, as OHIF does, and each other one that params holds an object for, one after the other.

    Generators take long and are seldom wanted again, so that they are trained only where they are named.
    """
    given, lesions = params or {}, lesions_of(running_app().datastore().studies)
    wanted = {name: _of(given, name) for name in running_app().trainers if name == DEFAULT_TRAINER or name in given}
    for name, asked in wanted.items():
        _trainer(name).check(asked)
    started = {name: _trainer(name).start(asked, lesions, wait_in_line=True) for name, asked in wanted.items()}
    return {name: {"result": task_of(job), "detail": None} for name, job in started.items()}


@router.get("/train/")
def training_status(all: bool = False, check_if_running: bool = False, user: User = USER) -> Any:
    """The training that runs, else the newest; all=true for a list, oldest first. 404 where there is none."""
    jobs = running_app().jobs
    active = jobs.active()
    if check_if_running:
        if not active:
            raise HTTPException(404, "No Train Tasks are currently Running")
        return task_of(jobs.get(active[0].id))
    found = jobs.list()
    if not found:
        raise HTTPException(404, "No Train Tasks Found")
    if all:
        return [task_of(job) for job in reversed(found)]
    return task_of(jobs.get((active or found)[0].id))


@router.delete("/train/")
def stop_training(user: User = ADMIN) -> Any:
    """Stop the training that runs, and those that wait behind it, so that none starts by surprise; null where there is none."""
    jobs = running_app().jobs
    active = jobs.active()
    stopped = [jobs.cancel(job.id) for job in reversed(active)]
    return task_of(stopped[-1]) if stopped else None


def task_of(job: Job) -> dict[str, Any]:
    """MONAI Label's description of a task."""
    task: dict[str, Any] = {
        "id": job.id,
        "status": STATUS[job.state],
        "request": {"model": job.asked.get("trainer", job.kind), **job.asked.get("params", {})},
        "start_ts": _local(job.started or job.created),
        # 3D Slicer's module takes the last one without looking whether there is any.
        "details": Journal(running_app().settings, job.id).lines(DETAILS) or [str(job.state)],
    }
    if job.ended is not None:
        task["end_ts"] = _local(job.ended)
    return task


def _trainer(model: str) -> JobTrainer:
    trainers = running_app().trainers
    if model not in trainers:
        raise NotFoundError(f"No trainer {model!r}. Trainers: {', '.join(trainers)}.")
    return trainers[model]


def _of(given: dict[str, Any], name: str) -> dict[str, Any]:
    return given[name] if isinstance(given.get(name), dict) else {}


def _local(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))
