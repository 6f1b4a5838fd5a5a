"""The pieces of an experiment: each a pure function of cohort and plan that writes one result, on any machine, in any order."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.utils.memory_format import convert_conv2d_weight_memory_format

from lesionlabel.augment.classic import originals
from lesionlabel.experiment.baselines import BASELINES
from lesionlabel.experiment.chooser import choose, keep_network
from lesionlabel.experiment.fold_generators import RECORD, TO_CHOOSE_FROM, make_fold_generators, read_answers, read_rois
from lesionlabel.experiment.plan import GENERATORS, NOT_TRAINED, Plan, Point, Schedule
from lesionlabel.experiment.pools import Pool, make_pool, read_pool
from lesionlabel.experiment.sets import Fold, cut_fold
from lesionlabel.lesions.cohort import Cohort
from lesionlabel.lesions.files import write_atomically
from lesionlabel.networks.gans import ARMS as NETWORKS
from lesionlabel.networks.gans import Arm
from lesionlabel.networks.paper_cnn import PaperCNN
from lesionlabel.settings import Settings
from lesionlabel.training.classifier import ClassifierConfig, train_classifier
from lesionlabel.training.hooks import DivergedError, Progress, ShouldStop, never_stop, no_progress

#: ROIs that go through a network at once when it answers: few enough for the cache of a CPU core.
CHUNK = 64


@dataclass(frozen=True)
class Task:
    """One result: a pool of fresh lesions, the generators of a network in a fold, or a point's answers in a fold."""

    kind: Literal["pool", "generators", "answers"]
    seed: int = 0
    fold: int = 0
    pool: Pool | None = None
    network: Arm | None = None
    schedule: Schedule | None = None
    point: Point | None = None

    @property
    def path(self) -> Path:
        """The result's file below the experiment's folder; there is one once all of it is there."""
        at = f"s{self.seed}-f{self.fold}"
        if self.kind == "pool":
            return Path("pools") / f"{self.pool}.npz"
        if self.kind == "generators":
            return Path("generators") / f"{self.network}-{at}" / RECORD
        assert self.point is not None
        return Path("answers") / f"{self.schedule}" / f"{self.point.key}-{at}.npz"

    @property
    def failure(self) -> Path:
        """A file beside the result's place that says why there is none and never will be."""
        return self.path.with_suffix(".failed")

    @property
    def title(self) -> str:
        where = f"seed {self.seed}, fold {self.fold + 1}"
        if self.kind == "pool":
            return f"{self.pool} lesions of the phantom"
        if self.kind == "generators":
            return f"generators {self.network}, {where}"
        assert self.point is not None
        return f"{self.point.title}, {self.schedule}, {where}"


@dataclass(frozen=True, eq=False)
class Work:
    """What every task is a function of. folder: the experiment's. Generators keep their checkpoints below it, too."""

    cohort: Cohort
    plan: Plan
    settings: Settings
    folder: Path


def all_tasks(plan: Plan) -> list[Task]:
    """Every task of a plan, those that others need before them."""
    tasks: list[Task] = []
    if plan.drawn and any(point.arm not in NOT_TRAINED for point in plan.points):
        tasks.append(Task("pool", pool="fresh"))
        if any(point.arm == "oracle" for point in plan.points):
            tasks.append(Task("pool", pool="oracle"))
    networks: list[Arm] = [network for network in NETWORKS if any(GENERATORS.get(point.arm) == network for point in plan.points)]
    for seed in plan.seeds:
        for fold in range(plan.profile.folds):
            tasks += [Task("generators", seed, fold, network=network) for network in networks]
            for point in plan.points:
                schedules = ("steps",) if point.arm in NOT_TRAINED else plan.profile.schedules
                tasks += [Task("answers", seed, fold, schedule=cast(Schedule, s), point=point) for s in schedules]
    return tasks


def needs(task: Task, plan: Plan) -> list[Task]:
    """The tasks whose results a task reads."""
    if task.kind != "answers" or task.point is None:
        return []
    found = [Task("pool", pool="fresh")] if plan.drawn and task.point.arm not in NOT_TRAINED else []
    if task.point.arm in GENERATORS:
        found.append(Task("generators", task.seed, task.fold, network=GENERATORS[task.point.arm]))
    if task.point.arm == "oracle":
        found.append(Task("pool", pool="oracle"))
    if task.point.arm == "filtered":
        found.append(Task("answers", task.seed, task.fold, schedule="steps", point=plan.filter_point))
    return found


def is_done(work: Work, task: Task) -> bool:
    """Whether a task has its result, or is known never to have one."""
    return any((work.folder / path).exists() for path in (task.path, task.failure))


def is_measured(plan: Plan, task: Task) -> bool:
    """Whether the generators of a task are measured, which takes longer than training them."""
    return plan.seeds.index(task.seed) < plan.profile.measured_seeds


def run_task(work: Work, task: Task, *, progress: Progress = no_progress, should_stop: ShouldStop = never_stop) -> None:
    """Do a task and write its result, or why there is none: a training that diverged would diverge again.

    Raises LeakError, InputError, IntegrityError, StoppedError, OSError for a full disk.
    """
    try:
        for need in needs(task, work.plan):
            if (work.folder / need.failure).exists():
                raise DivergedError(f"{need.title} did not finish: {(work.folder / need.failure).read_text(encoding='utf-8')}")
        _run_task(work, task, progress, should_stop)
    except DivergedError as error:
        write_atomically(work.folder / task.failure, str(error).encode())


def _run_task(work: Work, task: Task, progress: Progress, should_stop: ShouldStop) -> None:
    path, plan = work.folder / task.path, work.plan
    if task.kind == "pool":
        assert task.pool is not None
        assert plan.phantom is not None
        count = plan.profile.fresh if task.pool == "fresh" else plan.profile.fixed_added * (plan.profile.folds - 1)
        make_pool(task.pool, work.cohort, plan.phantom, count, plan.seeds[0], path)
        return
    fold = _fold(work, task.seed, task.fold)
    if task.kind == "generators":
        assert task.network is not None
        make_fold_generators(
            work.cohort,
            fold,
            task.network,
            plan.profile,
            _wanted(plan, fold, task.network),
            work.settings,
            path.parent,
            measured=is_measured(plan, task),
            progress=progress,
            should_stop=should_stop,
        )
        return
    _answer(work, task, fold, path, progress, should_stop)


def _answer(work: Work, task: Task, fold: Fold, path: Path, progress: Progress, should_stop: ShouldStop) -> None:
    point, plan = task.point, work.plan
    assert point is not None
    started = time.monotonic()
    found: dict[str, NDArray[Any]] = {"at": fold.at}
    seconds: dict[str, float] = {}
    record: dict[str, Any] = {"title": task.title}
    if point.arm == "discriminator":
        found["logits"] = read_answers((work.folder / _generators(task, point)).parent)
    elif point.arm in BASELINES:
        found["logits"] = BASELINES[point.arm](fold.training, fold.test, fold.seeds(3, 1)[0])
    else:
        images, labels = fold.images(point, _added(work, task, fold, point, record))
        seconds["images"] = time.monotonic() - started
        trained = train_classifier(
            images,
            labels,
            training_of(plan, task, fold, work.settings.device),
            n_classes=len(plan.class_names),
            progress=progress,
            should_stop=should_stop,
        )
        seconds["training"] = trained.seconds
        network = trained.network
        started = time.monotonic()
        found["logits"] = _run(network, originals(fold.test), features=False)
        if plan.drawn:
            rois, truth = read_pool(work.folder / Task("pool", pool="fresh").path)
            found["fresh"] = np.array((_run(network, rois, features=False).argmax(axis=1) == truth).mean())
        if task.schedule == "steps" and task.seed == plan.seeds[0] and point in plan.shown:
            found["features"] = _run(network, originals(fold.test), features=True)
        if task.schedule == "steps" and point == plan.filter_point:
            keep_network(network, path.with_suffix(".safetensors"))
        seconds["answering"] = time.monotonic() - started
        record |= {"images": trained.n_images, "steps": trained.steps}
    if not seconds:
        seconds["baselines"] = time.monotonic() - started
    record["seconds"] = seconds
    content = BytesIO()
    np.savez(content, record=np.frombuffer(json.dumps(record).encode(), dtype=np.uint8), **found)
    write_atomically(path, content.getvalue())


def _added(work: Work, task: Task, fold: Fold, point: Point, record: dict[str, Any]) -> dict[int, Tensor] | None:
    """What a point adds to classic images, by class index; None where the fold has it itself."""
    if point.arm == "oracle":
        rois, truth = read_pool(work.folder / Task("pool", pool="oracle").path)
        return {index: rois[torch.from_numpy(truth == index)] for index in range(len(work.plan.class_names))}
    if point.arm not in GENERATORS:
        return None
    rois = read_rois((work.folder / _generators(task, point)).parent, fold.test)
    if point.arm != "filtered":
        return rois
    by = Task("answers", task.seed, task.fold, schedule="steps", point=work.plan.filter_point)
    kept = choose(rois, fold, (work.folder / by.path).with_suffix(".safetensors"))
    names = work.plan.class_names
    record["kept"] = {names[index]: len(images) / len(rois[index]) for index, images in kept.items()}
    # Fewer than wanted come again, so that the arm has as many images as the others; none at all leaves its class out.
    return {
        index: images[torch.arange(fold.of_class(point, index)) % len(images)] if len(images) else images
        for index, images in kept.items()
    }


def _generators(task: Task, point: Point) -> Path:
    return Task("generators", task.seed, task.fold, network=GENERATORS[point.arm]).path


def _wanted(plan: Plan, fold: Fold, network: Arm) -> int:
    """How many ROIs of each class the arms of a network's generators take."""
    counts = [1]
    for point in plan.points:
        if GENERATORS.get(point.arm) == network and point.added:
            most = max(fold.of_class(point, index) for index in range(len(plan.class_names)))
            counts.append(most * (TO_CHOOSE_FROM if point.arm == "filtered" else 1))
    return max(counts)


def training_of(plan: Plan, task: Task, fold: Fold, device: str) -> ClassifierConfig:
    """How a task's network is trained: alike in every arm of a fold, initial weights and order of draws included."""
    profile = plan.profile
    by_steps = task.schedule == "steps"
    return ClassifierConfig(
        epochs=None if by_steps else profile.epochs,
        steps=profile.steps if by_steps else None,
        batch=profile.batch,
        learning_rate=profile.learning_rate,
        device=device,
        seed=fold.seeds(4, 1)[0],
    )


@lru_cache(maxsize=1)
def _fold_of(cohort: Cohort, n_folds: int, seed: int, number: int, most: int) -> Fold:
    return cut_fold(cohort, n_folds, seed, number, most)


def _fold(work: Work, seed: int, number: int) -> Fold:
    """The fold; the last one is kept with its images, because tasks of one fold come after each other."""
    most = max((point.classic for point in work.plan.points), default=0)
    return _fold_of(work.cohort, work.plan.profile.folds, seed, number, most)


def _run(network: PaperCNN, rois: Tensor, *, features: bool) -> NDArray[np.float64]:
    # Channels last takes a third of the time.
    convert_conv2d_weight_memory_format(network, torch.channels_last)
    layer = network.features if features else network.forward
    with torch.inference_mode():
        return torch.cat([layer(chunk) for chunk in rois.split(CHUNK)]).double().numpy()
