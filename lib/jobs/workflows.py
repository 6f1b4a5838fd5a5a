"""The jobs, as DBOS workflows: what follows what. A killed worker's job goes on at the first step that was not finished.

Steps return small JSON; what they make is in files, each written whole or not at all, and each the same when it is made again.
Generators and parts of trainings are workflows of their own in a queue that all workers share.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

from dbos import DBOS, WorkflowHandle

from lesionlabel.jobs import retraining
from lesionlabel.jobs.database import PARTS_QUEUE, JobError
from lesionlabel.jobs.schedule import scheduled
from lesionlabel.jobs.work import Work
from lesionlabel.registry.fold_generators import GeneratorAsk, make_asked
from lesionlabel.registry.training_parts import run_part
from lesionlabel.registry.training_plan import TrainingPlan

#: How often a job may be taken up after its worker was killed: one that kills its worker each time ends some day.
MOST_RECOVERIES = 30

_work: Work | None = None


def use(work: Work) -> None:
    """Say what the workflows of this process work with. To be called before DBOS is launched."""
    global _work
    _work = work


def _the_work() -> Work:
    if _work is None:
        raise RuntimeError("use() was not called.")
    return _work


@DBOS.workflow(name="retrain", max_recovery_attempts=MOST_RECOVERIES)
def retrain(asked: dict[str, Any]) -> dict[str, Any]:
    """From the curated lesions to a candidate classifier that the gate has looked at."""
    job = str(DBOS.workflow_id)
    begun = _step(job, "lesions", retraining.begin, job, asked)
    plan, notes = _with_generators(job, begun["plan"], begun["asks"], begun["notes"])
    _gather(job, [(train_part, plan, part, name) for part, name in begun["parts"]])
    made = _step(job, "version", retraining.keep, plan, notes)
    made["gate"] = _gate(job, made["version"], may_promote=True)
    _step(job, "end", retraining.end, made, plan)
    return made


@DBOS.workflow(name="train_generator", max_recovery_attempts=MOST_RECOVERIES)
def train_generator(asked: dict[str, Any]) -> dict[str, Any]:
    """From the curated lesions to a candidate generator that was measured."""
    job = str(DBOS.workflow_id)
    begun = _step(job, "lesions", retraining.begin_generator, job, asked)
    [made] = _gather(job, [(make_generator, begun["plan"], begun["ask"], "generator")])
    if "version" not in made:
        raise JobError("DivergedError", made["problem"])
    return {**made, "lesions": begun["lesions"]}


@DBOS.workflow(name="compare", max_recovery_attempts=MOST_RECOVERIES)
def compare(asked: dict[str, Any]) -> dict[str, Any]:
    """The gate's decision on a version against what serves."""
    job = str(DBOS.workflow_id)
    return {"version": asked["version"], "gate": _gate(job, asked["version"], may_promote=False)}


@DBOS.workflow(name="scheduled_retrain")
def scheduled_retrain(when: datetime, asked: dict[str, Any]) -> None:
    """Start a retraining at a set time."""
    work = _the_work()
    DBOS.run_step({"name": "start"}, lambda: scheduled(work.jobs, asked, when))


@DBOS.workflow(name="train_part", max_recovery_attempts=MOST_RECOVERIES)
def train_part(job: str, plan: dict[str, Any], part: int, name: str) -> None:
    """A fold of a training, or the training on all lesions."""
    _step(
        job,
        name,
        lambda work, progress, should_stop: run_part(
            work.settings, TrainingPlan.from_json(plan), part, progress=progress, should_stop=should_stop
        ),
    )


@DBOS.workflow(name="make_generator", max_recovery_attempts=MOST_RECOVERIES)
def make_generator(job: str, plan: dict[str, Any], ask: dict[str, Any], name: str) -> dict[str, str]:
    """A generator of a class that has not seen a fold, trained and measured, or an earlier one."""
    return _step(
        job,
        name,
        lambda work, progress, should_stop: make_asked(
            work.settings,
            TrainingPlan.from_json(plan),
            GeneratorAsk.from_json(ask),
            progress=progress,
            should_stop=should_stop,
        ),
    )


def _gate(job: str, version: str, *, may_promote: bool) -> dict[str, Any]:
    """Train what the comparison needs, compare, and promote where that is configured. Only a retraining may promote."""
    begun = _step(job, "gate", retraining.begin_gate, job, version)
    if "rerun" not in begun:
        return begun
    rerun = begun["rerun"]
    plan = None
    if rerun is not None:
        plan, notes = _with_generators(job, rerun["plan"], rerun["asks"], [], rerun["per_fold"])
        if rerun["asks"] and plan["joined"] is None:
            # Without its synthetic images it would be another recipe.
            return {"outcome": "not compared", "reasons": [f"The recipe of {begun['champion']} cannot run again. {notes[-1]}"]}
        _gather(job, [(train_part, plan, part, name) for part, name in rerun["parts"]])
    decided = _step(job, "decision", retraining.decide, version, begun["champion"], plan, may_promote)
    if plan is not None:
        _step(job, "end_of_rerun", retraining.clean, plan)
    return decided


def _with_generators(
    job: str, plan: dict[str, Any], asks: list[dict[str, Any]], notes: list[str], per_fold: int | None = None
) -> tuple[dict[str, Any], list[str]]:
    """The plan with the synthetic images of generators that were asked for, and what is to be said of them."""
    if not asks:
        return plan, notes
    made = _gather(job, [(make_generator, plan, ask, retraining.generator_part(ask)) for ask in asks])
    joined = _step(job, "joined" if per_fold is None else "joined_again", retraining.join_generators, plan, asks, made, per_fold)
    return joined["plan"], [*notes, joined["note"]]


def _step(job: str, part: str, do: Callable[..., Any], *given: Any) -> Any:
    """Do something once: its result is stored, and the job never does it again. do gets the work, both hooks and given."""
    work = _the_work()
    return DBOS.run_step(
        {"name": part},
        lambda: work.run(job, str(DBOS.workflow_id), part, lambda progress, should_stop: do(work, progress, should_stop, *given)),
    )


def _gather(job: str, calls: Sequence[tuple[Any, ...]]) -> list[Any]:
    """Have the shared queue do all calls, (workflow, arguments …). The first that fails ends the others."""
    handles: list[WorkflowHandle[Any]] = [DBOS.enqueue_workflow(PARTS_QUEUE, call[0], job, *call[1:]) for call in calls]
    waiting = list(handles)
    try:
        while waiting:
            ended = DBOS.wait_first(waiting)
            ended.get_result()
            waiting.remove(ended)
        return [handle.get_result() for handle in handles]
    except Exception:
        DBOS.cancel_workflows([handle.get_workflow_id() for handle in handles])
        raise
