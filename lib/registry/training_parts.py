"""The parts of a training: one for each fold and one on all lesions. Each is a file once it is done, and goes on where it was."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lesionlabel.evaluation.crossval import OutOfFold, answer_fold, fit, is_simulated
from lesionlabel.lesions.cohort import Cohort
from lesionlabel.lesions.errors import InputError
from lesionlabel.networks.paper_cnn import PaperCNN
from lesionlabel.registry.joined import images_for
from lesionlabel.registry.training_plan import TrainingPlan, require_same_code
from lesionlabel.settings import Settings
from lesionlabel.training.checkpoint import load_checkpoint, pack, save_checkpoint, unpack
from lesionlabel.training.hooks import Progress, ShouldStop, never_stop, no_progress


def run_part(
    settings: Settings,
    plan: TrainingPlan,
    part: int,
    *,
    progress: Progress = no_progress,
    should_stop: ShouldStop = never_stop,
) -> None:
    """Do a part of the plan, unless it is done. A part that was stopped goes on from its checkpoint.

    Raises InputError, LeakError, UnfitError, DivergedError, StoppedError, and OSError when the disk is full.
    """
    path = part_path(settings, plan, part)
    if path.exists():
        progress(1.0, "done before")
        return
    require_same_code(plan)
    cohort = plan.cohort(settings)
    folds = plan.folds(cohort)
    # Of whoever does the part, not of whoever has planned it.
    recipe = replace(plan.recipe, training=replace(plan.recipe.training, device=settings.device))
    tested = cohort.subset(np.flatnonzero(folds == part))
    joined = images_for(plan, settings, cohort.class_names, is_simulated(cohort), part, tested.patients)
    checkpoint = path.with_suffix(".checkpoint")
    hooks: dict[str, Any] = {"checkpoint": checkpoint, "progress": progress, "should_stop": should_stop}
    if part < plan.recipe.n_folds:
        logits, record = answer_fold(cohort, folds, part, recipe, plan.seed, joined, **hooks)
        save_checkpoint(path, {"logits": torch.from_numpy(logits)}, record)
    else:
        n_folds = plan.recipe.n_folds
        final = fit(cohort, recipe, plan.seed, n_folds + 1, n_folds, joined, **hooks)
        ended = datetime.now(UTC).isoformat(timespec="seconds")
        save_checkpoint(path, pack("network", final.network), {**final.record(), "ended": ended})
    checkpoint.unlink(missing_ok=True)


def part_path(settings: Settings, plan: TrainingPlan, part: int) -> Path:
    return plan.folder(settings) / f"part-{part + 1}.safetensors"


def read_answers(settings: Settings, plan: TrainingPlan, cohort: Cohort) -> OutOfFold:
    """The answers of all folds for the plan's lesions. Raises InputError when a fold is not done."""
    folds = plan.folds(cohort)
    logits, trained = np.full((len(cohort), len(cohort.class_names)), np.nan), []
    for part in range(plan.recipe.n_folds):
        tensors, record = _read(settings, plan, part)
        logits[folds == part] = tensors["logits"].numpy()
        trained.append(record)
    return OutOfFold(cohort, plan.recipe, plan.seed, folds, logits, tuple(trained))


def read_network(settings: Settings, plan: TrainingPlan, n_classes: int) -> tuple[PaperCNN, dict[str, Any]]:
    """The network trained on all lesions, and how it was trained. Raises InputError when that part is not done."""
    tensors, record = _read(settings, plan, plan.recipe.n_folds)
    network = PaperCNN(n_classes)
    unpack("network", network, tensors)
    return network.eval(), record


def _read(settings: Settings, plan: TrainingPlan, part: int) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    kept = load_checkpoint(part_path(settings, plan, part))
    if kept is None:
        raise InputError(f"The training is not finished: {plan.part_name(part)} is missing.")
    return kept
