"""From a cohort to a candidate generator: training, measurement, bundle. It never changes what serves."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lesionlabel.augment.classic import originals
from lesionlabel.evaluation.crossval import is_simulated
from lesionlabel.evaluation.gan_pictures import picture_page
from lesionlabel.evaluation.generator_report import GeneratorReport, measure_generator
from lesionlabel.lesions.cohort import Cohort
from lesionlabel.lesions.errors import InputError
from lesionlabel.networks.gans import Arm
from lesionlabel.networks.noise import draw_inputs
from lesionlabel.registry.bundle_folder import weights_digest
from lesionlabel.registry.generator_bundle import save_generator
from lesionlabel.registry.generator_manifest import GeneratorManifest
from lesionlabel.registry.generator_training import PROFILES, GeneratorRecipe, Unmeasured, train_unmeasured
from lesionlabel.registry.generators import GeneratorVersions
from lesionlabel.registry.locked import LockedPatients
from lesionlabel.registry.profiles import find_profile
from lesionlabel.registry.version_store import VersionInfo
from lesionlabel.settings import Settings
from lesionlabel.training.gan import TrainedGan
from lesionlabel.training.hooks import Progress, ShouldStop, never_stop, no_progress, part_of

#: Share of a run that is training; the rest is measuring.
TRAINING_SHARE = 0.5
#: Steps of an interpolation, and nearest pairs, on the page of pictures.
ON_THE_WAY, NEAREST_SHOWN = 10, 10


@dataclass(frozen=True, eq=False)
class MadeGenerator:
    """A trained generator with its manifest, the report on it, its page of pictures (PNG) and its training's checkpoint."""

    gan: TrainedGan
    manifest: GeneratorManifest
    report: GeneratorReport
    pictures: bytes
    checkpoint: Path


def train_generator(
    cohort: Cohort,
    settings: Settings,
    name: str,
    arm: Arm,
    profile: str = "quick",
    seed: int = 0,
    fold: int = 0,
    *,
    progress: Progress = no_progress,
    should_stop: ShouldStop = never_stop,
) -> tuple[VersionInfo[GeneratorManifest], MadeGenerator]:
    """Train the generator called name on two thirds of the patients that are not locked and keep it as a candidate version.

    fold: of the third that is held out. Raises InputError when the cohort, the arm or the profile cannot be used, DivergedError,
    CollapsedError, StoppedError.
    """
    recipe = find_profile(PROFILES, profile)
    # What it saw of locked patients it would pass on to classifiers.
    cohort = cohort.subset(np.flatnonzero(~LockedPatients(settings).cut(cohort)))
    made = make_generator(cohort, settings, name, arm, recipe, seed, fold, progress=progress, should_stop=should_stop)
    versions = GeneratorVersions(settings, name)
    info = versions.add(made.gan.generator, made.manifest, made.report.to_markdown(), made.pictures)
    made.checkpoint.unlink(missing_ok=True)
    return info, made


def train_starter_generator(
    cohort: Cohort,
    settings: Settings,
    name: str,
    arm: Arm,
    folder: Path,
    seed: int = 0,
    *,
    progress: Progress = no_progress,
    should_stop: ShouldStop = never_stop,
) -> MadeGenerator:
    """Train on a phantom cohort and write the bundle that comes with the package into folder, over an earlier one.

    Raises InputError for a cohort of patients, and as train_generator.
    """
    if not is_simulated(cohort):
        raise InputError("A starter is handed on to everyone, so it is trained on the phantom only, never on patients.")
    recipe = PROFILES["quick"]
    made = make_generator(cohort, settings, name, arm, recipe, seed, progress=progress, should_stop=should_stop)
    manifest = replace(made.manifest, version=f"starter-{weights_digest(made.gan.generator)[:8]}")
    save_generator(folder, made.gan.generator, manifest, made.report.to_markdown(), made.pictures, over=True)
    made.checkpoint.unlink(missing_ok=True)
    return replace(made, manifest=manifest)


def make_generator(
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
) -> MadeGenerator:
    """Train on all but a fold of patients, and measure against it. Raises as train_generator."""
    trained = train_unmeasured(
        cohort,
        settings,
        name,
        arm,
        recipe,
        seed,
        fold,
        progress=part_of(progress, 0, TRAINING_SHARE, "training"),
        should_stop=should_stop,
    )
    report = measure_generator(
        trained.rois,
        cohort,
        trained.folds,
        trained.fold,
        settings.classes,
        seed,
        replace(recipe.measuring, device=settings.device, seed=seed),
        progress=part_of(progress, TRAINING_SHARE, 1, "measuring"),
        should_stop=should_stop,
    )
    manifest = replace(
        trained.manifest,
        quality=report.quality_json(),
        memorisation=report.memorisation_json(),
        membership=report.membership.to_json(),
    )
    return MadeGenerator(trained.gan, manifest, report, _pictures(trained, manifest, report), trained.checkpoint)


def _pictures(trained: Unmeasured, manifest: GeneratorManifest, report: GeneratorReport) -> bytes:
    """The page: samples of each class, the ROIs nearest to a training lesion beside it, an interpolation, losses."""
    gan, rois, seen = trained.gan, trained.rois, trained.seen
    pairs = []
    for label, check in report.memorisation.items():
        mine = seen.subset(np.flatnonzero(seen.labels == seen.class_names.index(label)))
        real = originals(mine)
        for index in np.argsort(check.nearest.ratios)[: NEAREST_SHOWN // len(rois) or 1]:
            ratio = float(check.nearest.ratios[index])
            pairs.append((rois[label][index], real[int(check.nearest.lesions[index])], f"{label}, ratio {ratio:.2f}"))
    per_class = 40 // len(rois)
    samples = torch.cat([images[:per_class] for images in rois.values()])
    curves: dict[str, Any] = {
        "discriminator": [(step, d) for step, d, _ in gan.losses],
        "generator": [(step, g) for step, _, g in gan.losses],
    }
    origin = "simulated" if manifest.trained_on == "phantom" else "real"
    title = f"{manifest.name}, seed {manifest.seed}: copies of patients: {manifest.outcome}"
    return picture_page(title, samples, pairs, _interpolation(gan, manifest.seed), curves, origin=origin)


def _interpolation(gan: TrainedGan, seed: int) -> Tensor:
    """ROIs of inputs on the straight way between two drawn ones, of the first class."""
    rng = torch.Generator().manual_seed(seed)
    ends = draw_inputs(gan.generator, 2, rng, torch.zeros(2, dtype=torch.int64))
    way = torch.linspace(0, 1, ON_THE_WAY)[:, None]
    z = ends.z[:1] * (1 - way) + ends.z[1:] * way
    noise = [picture[:1].expand(ON_THE_WAY, -1, -1, -1) for picture in ends.noise]
    with torch.inference_mode():
        made = gan.generator(z, torch.zeros(ON_THE_WAY, dtype=torch.int64), noise)
    return ((made + 1) / 2).clamp(0, 1)
