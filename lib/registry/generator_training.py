"""From a cohort to a trained generator that nobody has measured yet: patients held out, training images, training, manifest.

Source: Frid-Adar et al. 2018, section IV: the generator learns from the classic augmentations of the training folds only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lesionlabel.augment.classic import augment_cohort
from lesionlabel.evaluation.crossval import is_simulated
from lesionlabel.evaluation.generator_report import measured
from lesionlabel.evaluation.subsampling import LEAST_ON_A_SIDE
from lesionlabel.lesions.cohort import Cohort, take_snapshot
from lesionlabel.lesions.errors import InputError
from lesionlabel.lesions.splits import patient_folds
from lesionlabel.networks.dcgan import PAPER_WIDTH
from lesionlabel.networks.gans import Arm
from lesionlabel.registry.bundle_folder import weights_digest
from lesionlabel.registry.generator import LesionGenerator
from lesionlabel.registry.generator_manifest import GeneratorManifest
from lesionlabel.registry.generators import ALL_CLASSES, generator_for, generator_names
from lesionlabel.registry.manifest import code_version
from lesionlabel.registry.profiles import TRIAL
from lesionlabel.settings import Settings
from lesionlabel.training.classifier import ClassifierConfig
from lesionlabel.training.gan import TrainedGan, train_gan
from lesionlabel.training.gan_config import LEAST_DIVERSITY, GanConfig
from lesionlabel.training.hooks import Progress, ShouldStop, never_stop, no_progress

#: Patients with lesions of a class that its generator needs: each third that is held out must have enough.
LEAST_PATIENTS = 3 * LEAST_ON_A_SIDE
#: The networks that measure: few steps, because three are trained for each generator.
MEASURING = ClassifierConfig(epochs=None, steps=300, learning_rate=4e-3)


@dataclass(frozen=True)
class GeneratorRecipe:
    """How a generator is made.

    width, steps: of the network; steps None for the paper's epochs, twice as many for all classes. amount_per_fold: classic
    augmentations of all classes for each fold that trains. measuring: of the networks that measure. least_diversity: as in
    GanConfig. reduced: what is less than in the paper, in words.
    """

    profile: str
    width: int = PAPER_WIDTH
    steps: int | None = None
    amount_per_fold: int = 5000
    n_folds: int = 3
    measuring: ClassifierConfig = MEASURING
    least_diversity: float = LEAST_DIVERSITY
    reduced: tuple[str, ...] = ()

    def training(self, arm: Arm, seed: int, device: str) -> GanConfig:
        steps = self.steps if self.steps is None or arm != "acgan" else 2 * self.steps
        return GanConfig(arm=arm, width=self.width, steps=steps, least_diversity=self.least_diversity, seed=seed, device=device)


#: What can be asked for. "paper" is Frid-Adar's width and epochs: for a GPU.
PROFILES: Mapping[str, GeneratorRecipe] = MappingProxyType(
    {
        "paper": GeneratorRecipe("paper"),
        "quick": GeneratorRecipe(
            "quick",
            width=64,
            steps=1000,
            reduced=("width 64 instead of 1024", "1000 steps (2000 for all classes) instead of 70 epochs (50)"),
        ),
        TRIAL: GeneratorRecipe(
            TRIAL,
            width=16,
            steps=20,
            amount_per_fold=60,
            measuring=ClassifierConfig(epochs=None, steps=20, batch=16, learning_rate=4e-3),
            least_diversity=0.0,
            reduced=("width 16, 20 steps: for trying out that everything works, never for use",),
        ),
    }
)


@dataclass(frozen=True, eq=False)
class Unmeasured:
    """A trained generator before anything was measured of it.

    manifest: without measurements. folds: (lesions,) of the cohort. seen: the lesions of all classes whose patients may train.
    rois: synthetic ROIs (n, 1, 64, 64) of each class, as many as are measured. checkpoint: the training's end; remove it once the
    result is kept.
    """

    gan: TrainedGan
    manifest: GeneratorManifest
    folds: NDArray[np.int64]
    fold: int
    seen: Cohort
    rois: dict[str, Tensor]
    checkpoint: Path


def train_unmeasured(
    cohort: Cohort,
    settings: Settings,
    name: str,
    arm: Arm,
    recipe: GeneratorRecipe,
    seed: int,
    fold: int = 0,
    *,
    progress: Progress = no_progress,
    should_stop: ShouldStop = never_stop,
) -> Unmeasured:
    """Snapshot, hold a fold of patients out, train on the others. A run that was stopped goes on.

    Raises InputError when the cohort or the arm cannot be used, DivergedError, CollapsedError, StoppedError.
    """
    name = generator_for(settings, name)
    makes = generator_names(settings)[name]
    simulated = check_cohort(cohort, settings, name, arm, makes)
    take_snapshot(cohort, settings.snapshots_folder)
    folds = patient_folds(cohort.labels, cohort.patients, recipe.n_folds, np.random.default_rng([seed, 0]))
    seen, held_out = cohort.subset(np.flatnonzero(folds != fold)), cohort.subset(np.flatnonzero(folds == fold))
    check_fold(seen, held_out, makes)
    progress(0.0, "cutting and augmenting ROIs")
    augment_seed, train_seed = (int(s) for s in np.random.SeedSequence([seed, fold, 1]).generate_state(2))
    images, labels = training_images(seen, makes, recipe.amount_per_fold * (recipe.n_folds - 1), augment_seed)
    made_of = f"{name}-{arm}-{recipe.profile}-{cohort.digest[:12]}-{seed}-{fold}-{code_version().rpartition('+')[2]}"
    checkpoint = settings.training_folder / f"{made_of}.checkpoint"
    gan = train_gan(
        images,
        labels if len(makes) > 1 else None,
        recipe.training(arm, train_seed, settings.device),
        n_classes=len(makes),
        checkpoint=checkpoint,
        progress=progress,
        should_stop=should_stop,
    )
    now = datetime.now(UTC)
    counts = seen.counts()
    learned_from = {lesion.patient for lesion in seen if lesion.label in makes}
    manifest = GeneratorManifest(
        version=f"{now:%Y%m%dT%H%M%SZ}-{weights_digest(gan.generator)[:8]}",
        created=now.isoformat(timespec="seconds"),
        class_counts={label: counts[label] for label in makes},
        trained_on="phantom" if simulated else "patients",
        patients=tuple(sorted(learned_from)),
        snapshot=cohort.digest,
        config={"profile": recipe.profile, "reduced": list(recipe.reduced), "fold_held_out": fold, "training": gan.record()},
        seed=seed,
        code_version=code_version(),
        name=name,
        arm=arm,
        width=gan.config.width,
        held_out=tuple(sorted(set(held_out.patients))),
        quality={},
        memorisation={},
        membership=None,
    )
    generator = LesionGenerator(gan.generator, manifest, weights_digest(gan.generator), torch.device("cpu"))
    rois = {label: torch.from_numpy(generator.sample_all(measured(counts[label]), seed, label))[:, None] for label in makes}
    return Unmeasured(gan, manifest, folds, fold, seen, rois, checkpoint)


def check_fold(seen: Cohort, held_out: Cohort, makes: Sequence[str]) -> None:
    """Raise InputError, before hours of training, where there would be too few patients of a class to measure it."""
    for side, what in ((seen, "to train on"), (held_out, "held out")):
        for label in makes:
            patients = {lesion.patient for lesion in side if lesion.label == label}
            if len(patients) < LEAST_ON_A_SIDE:
                raise InputError(
                    f"Class {label!r} would have {len(patients)} patient(s) {what}; at least {LEAST_ON_A_SIDE} are needed. "
                    "Curate lesions of more patients."
                )


def training_images(seen: Cohort, makes: tuple[str, ...], amount: int, seed: int) -> tuple[Tensor, Tensor]:
    """The classic augmentations of the classes in makes, (n, 1, 64, 64), and their positions in makes, (n,).

    amount: of all classes together, in equal shares of the lesions, as in the paper.
    """
    augmented = augment_cohort(seen, amount, seed)
    position = np.array([makes.index(lesion.label) if lesion.label in makes else -1 for lesion in seen])[augmented.lesion_index]
    kept = np.flatnonzero(position >= 0)
    return augmented.images[torch.from_numpy(kept)], torch.from_numpy(position[kept])


def check_cohort(cohort: Cohort, settings: Settings, name: str, arm: Arm, makes: tuple[str, ...]) -> bool:
    """Whether the cohort is simulated. Raises InputError when the generator cannot be trained on it."""
    simulated = is_simulated(cohort)
    if (arm == "acgan") != (name == ALL_CLASSES):
        raise InputError(
            f"{name} makes {', '.join(makes)}; the network {arm!r} is for {'all classes' if arm == 'acgan' else 'one'}."
        )
    if list(cohort.class_names) != settings.classes.names:
        raise InputError(
            f"The cohort's classes are {', '.join(cohort.class_names)}; the configured ones are "
            f"{', '.join(settings.classes.names)}. Set LESIONLABEL_CLASS_FILE to the cohort's class list."
        )
    # Of the other classes too: they are the real ones beside which the images are measured.
    for label in cohort.class_names:
        patients = {lesion.patient for lesion in cohort if lesion.label == label}
        least = LEAST_PATIENTS if label in makes else 3
        if len(patients) < least:
            raise InputError(
                f"Class {label!r} has {cohort.counts()[label]} lesion(s) of {len(patients)} patient(s); {name} needs "
                f"lesions of at least {least} patients of it. Curate more lesions first."
            )
    return simulated
