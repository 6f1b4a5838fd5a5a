"""`lesionlabel jobs list|watch|start|cancel` and `lesionlabel worker`."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from lesionlabel.jobs.jobs import Job

jobs_app = typer.Typer(help="Background jobs: retraining and comparisons, done by workers.", no_args_is_help=True)


@jobs_app.command("list")
def list_jobs() -> None:
    """The newest jobs, newest first."""
    from lesionlabel.jobs.jobs import Jobs
    from lesionlabel.settings import Settings

    found = Jobs(Settings()).list()
    for job in found:
        print(f"{job.id}  {job.state:<9}  {job.kind:<15}  {_when(job)}  {describe(job)}")
    if not found:
        print("There was no job yet. 'lesionlabel jobs start --studies DIR' starts a retraining.")


@jobs_app.command("start")
def start_job(
    studies: Annotated[Path | None, typer.Option(help="the studies folder, or PACS, whose curated lesions train")] = None,
    cohort: Annotated[Path | None, typer.Option(help="a cohort file (.npz) instead")] = None,
    trainer: Annotated[str, typer.Option(help="lesion_classifier, gan_<class> or acgan")] = "lesion_classifier",
    param: Annotated[list[str] | None, typer.Option(help="a parameter of the trainer", metavar="NAME=VALUE")] = None,
    enqueue: Annotated[bool, typer.Option("--enqueue", help="wait in line where another job waits or runs")] = False,
) -> None:
    """Start a training in the background. A worker does it: 'lesionlabel serve' has one, 'lesionlabel worker' is one."""
    from lesionlabel.datastore.pacs_address import studies_folder
    from lesionlabel.jobs.jobs import Jobs, lesions_of, snapshot_of
    from lesionlabel.lesions.cohort import load_cohort
    from lesionlabel.lesions.errors import InputError, NotFoundError
    from lesionlabel.settings import Settings
    from lesionlabel.trainers.table import trainers

    settings = Settings()
    given: dict[str, str] = {}
    for one in param or ():
        given_name, _, value = one.partition("=")
        given[given_name] = value
    table = trainers(settings, Jobs(settings))
    if trainer not in table:
        raise NotFoundError(f"No trainer {trainer!r}. Trainers: {', '.join(table)}.")
    if (studies is None) == (cohort is None):
        raise InputError("Give the lesions either as --cohort FILE.npz or as --studies DIR.")
    if studies is not None:
        studies = studies_folder(studies, settings)
    if studies is not None and not studies.is_dir():
        raise InputError(f"The studies folder {studies} is not there.")
    lesions = snapshot_of(load_cohort(cohort), settings) if cohort is not None else lesions_of(studies or Path())
    job = table[trainer].start(given, lesions, wait_in_line=enqueue)
    print(f"{job.id} {job.state}. To look at it: lesionlabel jobs watch {job.id}")


@jobs_app.command("watch")
def watch_job(
    job: Annotated[str, typer.Argument(help="its id; the newest if left out")] = "",
    log: Annotated[bool, typer.Option("--log", help="the whole log at the end")] = False,
) -> None:
    """Show how far a job is until it is over. Ends with status 1 when it failed or was cancelled. Ctrl+C leaves the job alone."""
    from lesionlabel.jobs.jobs import Jobs, State
    from lesionlabel.jobs.journal import Journal
    from lesionlabel.lesions.errors import NotFoundError
    from lesionlabel.settings import Settings

    settings = Settings()
    jobs = Jobs(settings)
    if not job:
        newest = jobs.list()
        if not newest:
            raise NotFoundError("There was no job yet.")
        job = newest[0].id
    told = ""
    while True:
        found = jobs.get(job)
        line = describe(found)
        if line != told:
            told = line
            print(f"{found.state:<9}  {line}", flush=True)
        if found.state.is_over:
            break
        time.sleep(1)
    if log:
        print("\n".join(Journal(settings, job).lines()))
    if found.state is not State.DONE:
        sys.exit(1)


@jobs_app.command("cancel")
def cancel_job(job: Annotated[str, typer.Argument(help="its id")]) -> None:
    """Stop a job. What it has finished is taken up by the next one on the same lesions; no other job is touched."""
    from lesionlabel.jobs.jobs import Jobs
    from lesionlabel.settings import Settings

    print(f"{job} is {Jobs(Settings()).cancel(job).state}.")


def worker(
    name: Annotated[str | None, typer.Option(help="kept over restarts; the machine's name and a number if left out")] = None,
    supervised: Annotated[bool, typer.Option("--supervised", hidden=True)] = False,
) -> None:
    """Do background jobs until Ctrl+C. Any number may run, on any machines that share the home folder and a PostgreSQL."""
    import logging

    from lesionlabel.jobs.worker import run_worker
    from lesionlabel.settings import Settings

    logging.basicConfig(level=logging.WARNING, format="[%(asctime)s] [%(levelname)s] (%(name)s) %(message)s")
    logging.getLogger("lesionlabel").setLevel(logging.INFO)
    run_worker(Settings(), name, watch_parent=supervised)


def describe(job: Job) -> str:
    """How far a job is, or how it ended, in one line."""
    if job.why is not None:
        return job.why
    if job.result is not None:
        gate = job.result.get("gate")
        said = f", gate: {gate['outcome']}. {' '.join(gate['reasons'])}" if gate else f". {job.result.get('problem', '')}"
        return f"{job.result.get('version', '')}{said}".strip()
    left = "" if job.seconds_left is None else f", about {_minutes(job.seconds_left)} left"
    return f"{job.share:.0%}{left}  {job.what}".strip()


def _when(job: Job) -> str:
    return time.strftime("%Y-%m-%d %H:%M", time.localtime(job.created))


def _minutes(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
