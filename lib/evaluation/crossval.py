"""Cross-validation of a recipe: patients in folds, everything that learns inside the fold, answers on held-out originals.

Source: Frid-Adar et al. 2018, section IV (three folds by patient); the fold sizes are as even as whole patients allow.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lesionlabel.augment.classic import originals
from lesionlabel.evaluation.unlike import held_out_percentiles
from lesionlabel.lesions.cohort import PHANTOM_PREFIX, Cohort
from lesionlabel.lesions.errors import InputError
from lesionlabel.lesions.splits import patient_folds, refuse_leak
from lesionlabel.training.classifier import ClassifierConfig, TrainedClassifier, train_classifier
from lesionlabel.training.dataset import training_set
from lesionlabel.training.hooks import Progress, ShouldStop, never_stop, no_progress


@dataclass(frozen=True)
class Recipe:
    """How a classifier is made. amount_per_fold: classic augmentations added for each fold that trains, as in the paper.

    profile: what the recipe is called. reduced: what is less than in the paper, in words, for the report.
    """

    profile: str = "paper"
    amount_per_fold: int = 5000
    n_folds: int = 3
    training: ClassifierConfig = field(default_factory=ClassifierConfig)
    reduced: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Recipe:
        """Read what to_json wrote. Raises KeyError, TypeError or InputError when it is not complete."""
        training = ClassifierConfig(**content["training"])
        return cls(content["profile"], content["amount_per_fold"], content["n_folds"], training, tuple(content["reduced"]))


@dataclass(frozen=True, eq=False)
class OutOfFold:
    """What a recipe answered for lesions that its network had not seen. folds: (n,). logits: (n, classes), float64."""

    cohort: Cohort
    recipe: Recipe
    seed: int
    folds: NDArray[np.int64]
    logits: NDArray[np.float64]
    trained: tuple[dict[str, Any], ...]


def is_simulated(cohort: Cohort) -> bool:
    """Whether the cohort is of the phantom. Raises InputError when simulated and real lesions are mixed."""
    simulated = sum(lesion.patient.startswith(PHANTOM_PREFIX) for lesion in cohort)
    if 0 < simulated < len(cohort):
        raise InputError(
            f"The cohort mixes {simulated} simulated and {len(cohort) - simulated} real lesions. They never train together: "
            "leave out one kind."
        )
    return simulated > 0


def decided_blind(cohort: Cohort) -> NDArray[np.bool_]:
    """Which lesions, (n,), were decided without sight of the model's answer: only they may be tested on."""
    return np.array([lesion.saw_model is False for lesion in cohort], dtype=bool)


def headline_lesions(cohort: Cohort) -> NDArray[np.bool_]:
    """Which lesions, (n,), headline figures rest on: of those decided blind the ones with strong proof, or all where none has."""
    blind = decided_blind(cohort)
    strong = blind & np.array([lesion.proof.is_strong for lesion in cohort], dtype=bool)
    return strong if strong.any() else blind


def draw_folds(cohort: Cohort, recipe: Recipe, seed: int) -> NDArray[np.int64]:
    """The fold of each lesion, (n,), by patient. Raises InputError when the cohort is too small or mixed."""
    is_simulated(cohort)
    check_size(cohort, recipe.n_folds)
    return patient_folds(cohort.labels, cohort.patients, recipe.n_folds, np.random.default_rng([seed, 0]))


def answer_fold(
    cohort: Cohort,
    folds: NDArray[np.int64],
    fold: int,
    recipe: Recipe,
    seed: int,
    joined: tuple[Tensor, Tensor] | None = None,
    *,
    checkpoint: Path | None = None,
    progress: Progress = no_progress,
    should_stop: ShouldStop = never_stop,
) -> tuple[NDArray[np.float64], dict[str, Any]]:
    """Train the recipe on the other folds and answer for this one: logits (lesions of the fold, classes), and how it was trained.

    The seed draws augmentations and weights. joined, checkpoint: as in fit. held_out_percentiles in the record: how unlike the
    training lesions each lesion of the fold is. Raises LeakError, StoppedError.
    """
    training, test = cohort.subset(np.flatnonzero(folds != fold)), cohort.subset(np.flatnonzero(folds == fold))
    refuse_leak(training.patients, test.patients)
    result = fit(
        training,
        recipe,
        seed,
        fold + 1,
        recipe.n_folds - 1,
        joined,
        checkpoint=checkpoint,
        progress=progress,
        should_stop=should_stop,
    )
    with torch.inference_mode():
        held_out = result.network.features(originals(test))
        logits = result.network.head(held_out).double().numpy()
        trained = result.network.features(originals(training)).double().numpy()
    unlike = held_out_percentiles(trained, training.patients, held_out.double().numpy())
    seen = {"lesions": len(training), "patients": len(set(training.patients)), "held_out_percentiles": unlike}
    return logits, {**result.record(), **seen}


def fit(
    cohort: Cohort,
    recipe: Recipe,
    seed: int,
    run: int,
    sets: int,
    joined: tuple[Tensor, Tensor] | None = None,
    *,
    checkpoint: Path | None = None,
    progress: Progress = no_progress,
    should_stop: ShouldStop = never_stop,
) -> TrainedClassifier:
    """Train the recipe on all of a cohort.

    run: number that keeps the random draws of runs with one seed apart. sets: folds the cohort stands for, each of which brings
    amount_per_fold augmentations. joined: more images (n, 1, 64, 64) with their class indices (n,). checkpoint: as in
    train_classifier.
    """
    progress(0.0, "cutting and augmenting ROIs")
    augment_seed, train_seed = (int(s) for s in np.random.SeedSequence([seed, run]).generate_state(2))
    images, labels = training_set(cohort, recipe.amount_per_fold * sets, augment_seed)
    if joined is not None:
        images, labels = torch.cat([images, joined[0]]), torch.cat([labels, joined[1]])
    config = replace(recipe.training, seed=train_seed)
    return train_classifier(
        images,
        labels,
        config,
        n_classes=len(cohort.class_names),
        checkpoint=checkpoint,
        progress=progress,
        should_stop=should_stop,
    )


def check_size(cohort: Cohort, n_folds: int) -> None:
    """Raise InputError unless every class comes from at least as many patients as there are folds."""
    for name in cohort.class_names:
        patients = {lesion.patient for lesion in cohort if lesion.label == name}
        if len(patients) < n_folds:
            raise InputError(
                f"Class {name!r} has lesions of {len(patients)} patient(s); cross-validation in {n_folds} folds needs at least "
                f"{n_folds} patients in every class. Curate more lesions, or leave the class out of the class list."
            )
