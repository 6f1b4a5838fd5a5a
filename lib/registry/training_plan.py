"""What a training is, said completely: snapshot, recipe, seed, and the synthetic images that join. All its parts follow from it.

A plan is JSON, so that any process can do any part of it, and the same plan gives the same parts.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from lesionlabel.evaluation.crossval import Recipe, draw_folds, is_simulated
from lesionlabel.lesions.cohort import Cohort, load_cohort, take_snapshot
from lesionlabel.lesions.errors import InputError, IntegrityError
from lesionlabel.networks.gans import Arm, require_arm
from lesionlabel.registry.locked import LockedPatients
from lesionlabel.registry.manifest import code_version
from lesionlabel.settings import Settings


@dataclass(frozen=True)
class SetFile:
    """A synthetic set that joins every part, kept beside the parts."""

    digest: str


@dataclass(frozen=True)
class FoldGenerators:
    """Generators whose ROIs join: for each fold those that have not seen its patients; all of them for the last part.

    network, profile: how they are made. per_fold: ROIs of all classes together for each fold that trains. versions: for each
    fold, the version by class.
    """

    network: Arm
    profile: str
    per_fold: int
    versions: tuple[dict[str, str], ...]


Joined = SetFile | FoldGenerators


@dataclass(frozen=True)
class TrainingPlan:
    """snapshot: of all curated lesions. training: of those that train, the same unless patients are locked.

    code, torch: their versions, so that no part of another one is taken up.
    """

    snapshot: str
    training: str
    recipe: Recipe
    seed: int
    joined: Joined | None
    code: str
    torch: str

    @property
    def n_parts(self) -> int:
        """One for each fold, and the training on all lesions."""
        return self.recipe.n_folds + 1

    def part_name(self, part: int) -> str:
        n_folds = self.recipe.n_folds
        return "all lesions" if part == n_folds else f"fold {part + 1} of {n_folds}"

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> TrainingPlan:
        """Read what to_json wrote. Raises KeyError, TypeError or InputError when it is not complete."""
        joined = content["joined"]
        if joined is not None:
            joined = (
                SetFile(joined["digest"])
                if "digest" in joined
                else FoldGenerators(
                    require_arm(joined["network"]), joined["profile"], joined["per_fold"], tuple(map(dict, joined["versions"]))
                )
            )
        return cls(**{**content, "recipe": Recipe.from_json(content["recipe"]), "joined": joined})

    @property
    def digest(self) -> str:
        """SHA-256 of the whole plan."""
        return hashlib.sha256(json.dumps(self.to_json(), sort_keys=True, separators=(",", ":")).encode()).hexdigest()

    def folder(self, settings: Settings) -> Path:
        """Where its parts are kept until they are of no more use."""
        return settings.training_folder / self.digest[:32]

    def set_path(self, settings: Settings) -> Path:
        """Where a synthetic set of its own is kept."""
        return self.folder(settings) / "SYNTHETIC-set.npz"

    def cohort(self, settings: Settings) -> Cohort:
        """The lesions that train. Raises InputError when the snapshot is gone or other patients are locked now."""
        cohort = read_snapshot(settings, self.snapshot)
        if self.training == self.snapshot:
            return cohort
        apart = LockedPatients(settings).of(cohort)
        training = cohort.subset(np.flatnonzero(~apart))
        if training.digest != self.training:
            raise InputError("Who is locked has changed since this training began. Start it again.")
        return training

    def folds(self, cohort: Cohort) -> NDArray[np.int64]:
        """The fold of each lesion that trains, (n,)."""
        return draw_folds(cohort, self.recipe, self.seed)


def make_plan(
    cohort: Cohort, settings: Settings, recipe: Recipe, seed: int, joined: Joined | None = None, *, set_apart: bool = False
) -> TrainingPlan:
    """Take the snapshot and say what is trained. set_apart: without locked patients.

    Raises InputError when the cohort is of other classes, too small, or mixed; IntegrityError.
    """
    is_simulated(cohort)
    if list(cohort.class_names) != settings.classes.names:
        raise InputError(
            f"The cohort's classes are {', '.join(cohort.class_names)}; the configured ones are "
            f"{', '.join(settings.classes.names)}. Set LESIONLABEL_CLASS_FILE to the cohort's class list."
        )
    training = cohort.subset(np.flatnonzero(~LockedPatients(settings).cut(cohort))) if set_apart else cohort
    draw_folds(training, recipe, seed)
    take_snapshot(cohort, settings.snapshots_folder)
    return TrainingPlan(cohort.digest, training.digest, recipe, seed, joined, code_version(), torch.__version__)


def require_same_code(plan: TrainingPlan) -> None:
    """Raise InputError where this is other code than the plan was made by: its parts would not be of one training."""
    if (plan.code, plan.torch) != (code_version(), torch.__version__):
        raise InputError(
            f"This training was begun by LesionLabel {plan.code} with torch {plan.torch}; this is {code_version()} with torch "
            f"{torch.__version__}. Start it again."
        )


def read_snapshot(settings: Settings, digest: str) -> Cohort:
    """The snapshot of that hash. Raises InputError when it is gone, IntegrityError when it was exchanged."""
    path = settings.snapshots_folder / f"{digest}.npz"
    if not path.exists():
        raise InputError(f"The snapshot {path.name} is gone. Train a version again.")
    cohort = load_cohort(path)
    if cohort.digest != digest:
        raise IntegrityError(f"{path} holds another snapshot than its name says: it was exchanged, so it is not used.")
    return cohort
