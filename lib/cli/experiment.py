"""`lesionlabel experiment`: whether synthetic data helps this site's classifier, by how much, and with what certainty."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Annotated

import typer


def experiment(
    out: Annotated[Path, typer.Option(help="the experiment's folder: results, and the report at the end")],
    cohort: Annotated[Path | None, typer.Option(help="a cohort file (.npz)")] = None,
    studies: Annotated[Path | None, typer.Option(help="the studies folder with the curated lesions")] = None,
    kind: Annotated[str | None, typer.Option(help="with --studies: patients or phantom, where both are there")] = None,
    profile: Annotated[str, typer.Option(help="quick (minutes), evening (hours), paper (Frid-Adar's; for a GPU)")] = "quick",
    arms: Annotated[str | None, typer.Option(help="arms by commas; all of them if not given")] = None,
    seeds: Annotated[int | None, typer.Option("--seeds", min=1, help="how many; the profile's number if not given")] = None,
    jobs: Annotated[int | None, typer.Option(min=1, help="processes side by side; else one per CPU core, or 2 on a GPU")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="go on with what is in the folder already")] = False,
) -> None:
    """Run the paper's whole protocol with its missing controls, and write report.html, report.md, results.csv and results.json.

    What is finished stays finished: after Ctrl+C or a crash, the same command with --resume goes on.
    """
    import numpy as np

    from lesionlabel.cli.lesions import describe_cohort, read_cohort
    from lesionlabel.experiment.analysis import analyse
    from lesionlabel.experiment.checks import check_experiment
    from lesionlabel.experiment.collect import collect
    from lesionlabel.experiment.plan import ARMS
    from lesionlabel.experiment.profiles import make_plan
    from lesionlabel.experiment.report import write_report
    from lesionlabel.experiment.run import cannot_write, run_tasks
    from lesionlabel.experiment.tasks import Task, Work, all_tasks
    from lesionlabel.lesions.errors import InputError
    from lesionlabel.networks.device import pick_device
    from lesionlabel.registry.locked import LockedPatients
    from lesionlabel.settings import Settings
    from lesionlabel.training.hooks import stopping_on_signals

    settings = Settings()
    lesions = read_cohort(cohort, studies, kind, settings)
    locked = LockedPatients(settings).of(lesions)
    if locked.any():
        # What is learned on them here would choose the recipe of what is later tested on them.
        apart = len({lesion.patient for lesion, out_of_it in zip(lesions, locked, strict=True) if out_of_it})
        print(f"Note: {apart} locked patient(s) are left out: versions are tested on them.")
        lesions = lesions.subset(np.flatnonzero(~locked))
    print(describe_cohort(lesions))
    asked = tuple(ARMS) if arms is None else tuple(part.strip() for part in arms.split(","))
    plan = make_plan(lesions, profile, asked, seeds, settings.device)
    warnings = check_experiment(lesions, plan, settings.classes)
    for warning in warnings:
        print(f"Note: {warning}")
    if out.exists() and not out.is_dir():
        raise InputError(f"{out} is a file. Give a folder as --out.")
    if out.exists() and any(out.iterdir()) and not resume:
        raise InputError(f"{out} is not empty. Give --resume to go on with the experiment in it, or another --out.")
    # Checkpoints, snapshots and the like of the experiment's own trainings stay below its folder.
    work = Work(lesions, plan, settings.model_copy(update={"home": out / "work"}), out)
    # On a GPU each process has a context of its own there, and two keep it busy.
    jobs = jobs or (2 if pick_device(settings.device).type == "cuda" else os.cpu_count() or 1)
    print(f"{len(all_tasks(plan))} tasks, {jobs} at a time. {' '.join(f'{r}.' for r in plan.profile.reduced)}", flush=True)

    def told(task: Task, done: int, of: int, left: float) -> None:
        soon = "" if math.isnan(left) else f"; about {left / 60:.0f} min left"
        print(f"{done / of:5.0%}  {task.title}{soon}", flush=True)

    with stopping_on_signals() as should_stop:
        seconds = run_tasks(work, jobs, told, should_stop=should_stop)
    outcomes = collect(work, seconds, warnings)
    findings = analyse(outcomes, settings.classes, plan.seeds[0])
    try:
        write_report(outcomes, findings, settings.classes, out)
    except OSError as error:
        raise cannot_write(error) from error
    for part, took in sorted(outcomes.seconds.items(), key=lambda item: -item[1]):
        print(f"{took:8.0f} s  {part}")
    print(f"\n{findings.verdict}\n{out / 'report.html'}. Not for clinical use.")
