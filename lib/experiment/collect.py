"""From the results in an experiment's folder to its outcomes."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

from lesionlabel.evaluation.crossval import decided_blind, headline_lesions
from lesionlabel.evaluation.outcome import Outcome
from lesionlabel.experiment.fold_generators import SHOWN, read_record, read_rois
from lesionlabel.experiment.outcomes import FloatArray, FoldGenerators, Outcomes, Size
from lesionlabel.experiment.plan import Point, Schedule
from lesionlabel.experiment.reading import reading
from lesionlabel.experiment.sets import partition
from lesionlabel.experiment.tasks import Task, Work, all_tasks
from lesionlabel.lesions.errors import IntegrityError
from lesionlabel.training.gan_config import LEAST_DIVERSITY


def collect(work: Work, wall_seconds: float, warnings: tuple[str, ...]) -> Outcomes:
    """The outcomes of finished tasks; a training set that failed in a fold is left out. Raises IntegrityError, LeakError."""
    plan, cohort = work.plan, work.cohort
    folds = np.array([partition(cohort, plan.profile.folds, seed) for seed in plan.seeds])
    shape = (len(plan.seeds), len(cohort), len(plan.class_names))
    logits: dict[tuple[Schedule, Point], FloatArray] = {}
    fresh: dict[tuple[Schedule, Point], FloatArray] = {}
    features: dict[Point, FloatArray] = {}
    seconds: defaultdict[str, float] = defaultdict(float)
    kept: list[dict[str, float]] = []
    trained: defaultdict[tuple[Schedule, Point], list[Size]] = defaultdict(list)
    generators: list[FoldGenerators] = []
    failed = {task: _reason(work, task) for task in all_tasks(plan) if (work.folder / task.failure).exists()}
    left_out = {(task.schedule, task.point) for task in failed}
    for task in all_tasks(plan):
        if task in failed or (task.schedule, task.point) in left_out - {(None, None)}:
            continue
        row = plan.seeds.index(task.seed) if task.kind != "pool" else 0
        if task.kind == "generators":
            made = _generators(work, task, np.flatnonzero(folds[row] == task.fold))
            generators.append(made)
            seconds[f"training generators: {made.network}"] += made.seconds
        if task.kind != "answers":
            continue
        assert task.point is not None
        assert task.schedule is not None
        key = task.schedule, task.point
        found, record = _read(work.folder / task.path)
        if not np.array_equal(found["at"], np.flatnonzero(folds[row] == task.fold)):
            raise IntegrityError(f"{work.folder / task.path} is of another fold. Delete it and go on with --resume.")
        logits.setdefault(key, np.full(shape, np.nan))[row, found["at"]] = found["logits"]
        if "fresh" in found:
            empty = np.full((len(plan.seeds), plan.profile.folds), np.nan)
            fresh.setdefault(key, empty)[row, task.fold] = float(found["fresh"])
        if "features" in found:
            width = found["features"].shape[1]
            features.setdefault(task.point, np.full((len(cohort), width), np.nan))[found["at"]] = found["features"]
        for part, took in record["seconds"].items():
            seconds[part] += took
        if "steps" in record:
            images, steps = record["images"], record["steps"]
            trained[key].append(Size(images, steps, steps / math.ceil(images / plan.profile.batch)))
        if "kept" in record and task.schedule == plan.profile.schedules[0]:
            kept.append(record["kept"])
    as_tested = cohort.as_tested()
    return Outcomes(
        cohort=as_tested,
        plan=plan,
        folds=folds,
        logits=logits,
        fresh=fresh,
        features=features,
        sizes={key: Size(*np.mean(sizes, axis=0).tolist()) for key, sizes in trained.items()},
        generators=generators,
        tested=headline_lesions(as_tested),
        decided_blind=decided_blind(as_tested),
        seconds=dict(seconds),
        wall_seconds=wall_seconds,
        warnings=(*warnings, *_failed(failed), *_filtered(kept), *_collapsed(generators), *_unfit(generators)),
    )


def _reason(work: Work, task: Task) -> str:
    with reading(work.folder / task.failure):
        return (work.folder / task.failure).read_text(encoding="utf-8")


def _failed(failed: dict[Task, str]) -> list[str]:
    """Which training sets are in no figure because a training diverged."""
    points = dict.fromkeys((task.schedule, task.point) for task in failed if task.point is not None)
    told = []
    for schedule, point in points:
        task, reason = next((t, why) for t, why in failed.items() if (t.schedule, t.point) == (schedule, point))
        assert point is not None
        told.append(
            f"{point.title} by {schedule} is left out: it did not finish in seed {task.seed}, fold {task.fold + 1}. {reason}"
        )
    return told


def _unfit(generators: list[FoldGenerators]) -> list[str]:
    """Which of the measured generators copy patients, or tell who was in their training."""
    measured, found = [made for made in generators if made.memorisation is not None], []
    for made in measured:
        what = [name for name, check in (made.memorisation or {}).items() if check["outcome"] == Outcome.UNFIT]
        if (made.membership or {}).get("leaks"):
            what.append("membership")
        if what:
            found.append(f"{made.network} in seed {made.seed}, fold {made.fold + 1}: {', '.join(what)}")
    if not found:
        return []
    told = (
        f"Generators copy training patients or tell who they were, and would not be let through: {'; '.join(found)}. Their "
        "images are in the arms all the same."
    )
    unmeasured = len(generators) - len(measured)
    return [told + (f" {unmeasured} of {len(generators)} folds' generators were not measured." if unmeasured else "")]


def _filtered(kept: list[dict[str, float]]) -> list[str]:
    """What the filter kept of each class, in one sentence. kept: shares by class, of each fold of each seed."""
    if not kept:
        return []
    classes = []
    for name in kept[0]:
        shares = [of_class[name] for of_class in kept]
        without = sum(not share for share in shares)
        nothing = f", and none at all in {without} of {len(kept)} folds" if without else ""
        classes.append(f"{np.mean(shares):.0%} of {name}{nothing}")
    return [
        f"The filter kept, on average, {'; '.join(classes)}. What is kept comes again where it is fewer than the other arms "
        "have; a class of which nothing is kept has its classic images only."
    ]


def _collapsed(generators: list[FoldGenerators]) -> list[str]:
    """Which generators make nearly the same picture whatever the noise."""
    found = [
        f"{made.network} in seed {made.seed}, fold {made.fold + 1}: {name} {share:.0%}"
        for made in generators
        for name, share in made.diversity.items()
        if share < LEAST_DIVERSITY
    ]
    if not found:
        return []
    return [
        f"{len(found)} generator(s) collapsed: their pictures have less than {LEAST_DIVERSITY:.0%} of the real ones' diversity. "
        f"Their images are in the arms all the same. {'; '.join(found)}."
    ]


def _generators(work: Work, task: Task, test: np.ndarray) -> FoldGenerators:
    folder = (work.folder / task.path).parent
    record, rois = read_record(folder), read_rois(folder, work.cohort.subset(test))
    return FoldGenerators(
        network=str(record["network"]),
        seed=task.seed,
        fold=task.fold,
        patients=tuple(record["patients"]),
        samples={work.plan.class_names[index]: images[:SHOWN, 0].numpy() for index, images in rois.items()},
        seconds=float(record["seconds"]),
        diversity=record["diversity"],
        quality=record.get("quality"),
        memorisation=record.get("memorisation"),
        membership=record.get("membership"),
    )


def _read(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    with reading(path), np.load(path, allow_pickle=False) as archive:
        found = {name: archive[name] for name in archive.files}
        return found, json.loads(found["record"].tobytes())
