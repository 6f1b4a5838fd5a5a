"""The synthetic images that join a part of a training: by generators that have not seen whom the part is tested on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from lesionlabel.lesions.errors import IntegrityError
from lesionlabel.registry.generators import ALL_CLASSES, GeneratorVersions, generator_of
from lesionlabel.registry.synthetic_set import SyntheticSet, load_synthetic_set, make_synthetic_set, save_synthetic_set
from lesionlabel.registry.training_plan import FoldGenerators, SetFile, TrainingPlan
from lesionlabel.settings import Settings


def keep_set(settings: Settings, plan: TrainingPlan, made: SyntheticSet) -> None:
    """Keep a set for all parts of a training."""
    if not plan.set_path(settings).exists():
        save_synthetic_set(made, plan.set_path(settings))


def images_for(
    plan: TrainingPlan, settings: Settings, class_names: Sequence[str], simulated: bool, part: int, tested: Sequence[str]
) -> tuple[Tensor, Tensor] | None:
    """Images (n, 1, 64, 64) and class indices (n,) for a part, None where none join. tested: the patients it is tested on.

    Raises as SyntheticSet.for_training, NotFoundError and IntegrityError when a generator's version is gone or damaged.
    """
    sets = sets_for(plan, settings, part)
    if not sets:
        return None
    images, labels = zip(*(one.for_training(class_names, simulated, tested) for one in sets), strict=True)
    return torch.cat(images), torch.cat(labels)


def sets_for(plan: TrainingPlan, settings: Settings, part: int) -> list[SyntheticSet]:
    """The sets that join a part: the file, or what the fold's generators make; those of all folds for the last part."""
    joined = plan.joined
    if joined is None:
        return []
    if isinstance(joined, SetFile):
        made = load_synthetic_set(plan.set_path(settings))
        if made.digest != joined.digest:
            raise IntegrityError(f"{plan.set_path(settings)} holds another set than its name says, so it is not used.")
        return [made]
    n_folds = plan.recipe.n_folds
    folds, shares = ([part], n_folds - 1) if part < n_folds else (range(n_folds), 1)
    per_class = max(joined.per_fold * shares // len(joined.versions[0]), 1)
    return [_made_by(joined, settings, fold, per_class, plan.seed) for fold in folds]


def describe(plan: TrainingPlan, settings: Settings) -> dict[str, Any] | None:
    """What joined the training on all lesions, without pseudonyms, for manifest and card."""
    joined, sets = plan.joined, sets_for(plan, settings, plan.recipe.n_folds)
    if joined is None:
        return None
    if isinstance(joined, SetFile):
        return sets[0].describe()
    counts = {
        label: {what: sum(made.manifest["counts"][label][what] for made in sets) for what in ("made", "kept")}
        for label in joined.versions[0]
    }
    return {
        "network": joined.network,
        "profile": joined.profile,
        "per_fold": joined.per_fold,
        "counts": counts,
        "sets": [made.describe() for made in sets],
    }


def seen_by(plan: TrainingPlan, settings: Settings) -> set[str]:
    """Pseudonyms of all whom the generators of the joined images have seen."""
    return {patient for made in sets_for(plan, settings, plan.recipe.n_folds) for patient in made.patients}


def parents(plan: TrainingPlan) -> tuple[str, ...]:
    """The generators' versions, as name/version."""
    if not isinstance(plan.joined, FoldGenerators):
        return ()
    network = plan.joined.network
    made = (f"{generator_name(network, label)}/{version}" for fold in plan.joined.versions for label, version in fold.items())
    return tuple(dict.fromkeys(made))


def generator_name(network: str, label: str) -> str:
    """The generator that makes a class with a network: one of the class, or the one of all classes."""
    return ALL_CLASSES if network == ALL_CLASSES else generator_of(label)


def _made_by(joined: FoldGenerators, settings: Settings, fold: int, per_class: int, seed: int) -> SyntheticSet:
    generators = {
        label: GeneratorVersions(settings, generator_name(joined.network, label)).of(version)
        for label, version in joined.versions[fold].items()
    }
    return make_synthetic_set(generators, per_class, seed * 1000 + fold)
