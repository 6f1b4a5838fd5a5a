"""The generators that a training with synthetic images needs: one for each class and fold, none of which has seen that fold."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from lesionlabel.evaluation.outcome import Outcome
from lesionlabel.lesions.cohort import Cohort
from lesionlabel.networks.gans import Arm, require_arm
from lesionlabel.registry.generator_manifest import GeneratorManifest
from lesionlabel.registry.generator_training import check_cohort, check_fold
from lesionlabel.registry.generators import GeneratorVersions, generator_names
from lesionlabel.registry.joined import generator_name
from lesionlabel.registry.manifest import code_version
from lesionlabel.registry.profiles import TRIAL, find_profile
from lesionlabel.registry.train_generator import train_generator
from lesionlabel.registry.training_plan import FoldGenerators, TrainingPlan, read_snapshot
from lesionlabel.settings import Settings
from lesionlabel.training.hooks import DivergedError, Progress, ShouldStop, never_stop, no_progress

#: Synthetic ROIs of all classes together for each fold that trains, by the profile of their generators.
PER_FOLD: Mapping[str, int] = {"paper": 3000, "quick": 1200, TRIAL: 30}


@dataclass(frozen=True)
class GeneratorAsk:
    """A generator that a training needs: by its name, and the fold of patients that it must not see."""

    name: str
    network: Arm
    profile: str
    seed: int
    fold: int

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> GeneratorAsk:
        return cls(**{**content, "network": require_arm(content["network"])})


def asked_generators(settings: Settings, plan: TrainingPlan, network: Arm, profile: str) -> tuple[GeneratorAsk, ...]:
    """The generators for all folds of a plan. Raises InputError, before hours of training, when there are too few patients."""
    cohort = plan.cohort(settings)
    folds = plan.folds(cohort)
    names = dict.fromkeys(generator_name(network, label) for label in settings.classes.names)
    for name in names:
        makes = generator_names(settings)[name]
        check_cohort(cohort, settings, name, network, makes)
        for fold in range(plan.recipe.n_folds):
            seen, held_out = (cohort.subset(np.flatnonzero(side)) for side in (folds != fold, folds == fold))
            check_fold(seen, held_out, makes)
    return tuple(GeneratorAsk(name, network, profile, plan.seed, fold) for fold in range(plan.recipe.n_folds) for name in names)


def make_asked(
    settings: Settings,
    plan: TrainingPlan,
    ask: GeneratorAsk,
    *,
    progress: Progress = no_progress,
    should_stop: ShouldStop = never_stop,
) -> dict[str, str]:
    """The version that answers the ask, {"version": …}: an earlier one of the same lesions, or a new one.

    {"problem": …} says in words why there is none that may train. Raises as train_generator, but for what the generator did.
    """
    manifest = find_made(settings, ask, plan.training)
    if manifest is None:
        cohort = read_snapshot(settings, plan.snapshot)
        try:
            info, _ = train_generator(
                cohort,
                settings,
                ask.name,
                ask.network,
                ask.profile,
                ask.seed,
                ask.fold,
                progress=progress,
                should_stop=should_stop,
            )
        except DivergedError as error:
            return {"problem": f"{ask.name} without fold {ask.fold + 1}: {error}"}
        manifest = info.manifest
    progress(1.0, f"{ask.name} {manifest.version}, copies: {manifest.outcome}")
    what = f"{ask.name} {manifest.version}, which has not seen fold {ask.fold + 1},"
    if manifest.outcome == Outcome.UNFIT:
        return {"problem": f"{what} copies patients"}
    if (manifest.membership or {}).get("leaks"):
        return {"problem": f"{what} tells who was in its training"}
    return {"version": manifest.version}


def find_made(settings: Settings, ask: GeneratorAsk, training: str) -> GeneratorManifest | None:
    """The newest version that was made as asked from the same lesions and code, None where there is none."""
    wanted = (ask.network, ask.profile, ask.seed, ask.fold, training, code_version())
    for info in reversed(GeneratorVersions(settings, ask.name).list()):
        manifest, config = info.manifest, info.manifest.config
        made = (manifest.arm, config.get("profile"), manifest.seed, config.get("fold_held_out"), manifest.snapshot)
        if (*made, manifest.code_version) == wanted and manifest.memorisation and not info.is_retired:
            return manifest
    return None


def join(
    settings: Settings,
    cohort: Cohort,
    asks: Sequence[GeneratorAsk],
    made: Sequence[Mapping[str, str]],
    per_fold: int | None = None,
) -> tuple[FoldGenerators | None, str]:
    """What the generators bring to the training, and a sentence on it. One that may not train keeps all out.

    per_fold: as in FoldGenerators, that of the profile if None.

    A class without synthetic images in one fold only would make the folds different recipes, whose mean says nothing.
    """
    problems = [one["problem"] for one in made if "problem" in one]
    if problems:
        return None, f"Synthetic images were left out: {'; '.join(problems)}."
    network, profile = asks[0].network, asks[0].profile
    version_of = {(ask.fold, ask.name): one["version"] for ask, one in zip(asks, made, strict=True)}
    versions = tuple(
        {label: version_of[fold, generator_name(network, label)] for label in cohort.class_names}
        for fold in sorted({ask.fold for ask in asks})
    )
    if per_fold is None:
        per_fold = find_profile(PER_FOLD, profile)
    return FoldGenerators(network, profile, per_fold, versions), f"Synthetic images of {network} generators join."
