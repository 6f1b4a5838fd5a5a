"""From a cohort to a candidate version: snapshot, cross-validation, temperature, final training, bundle.

The command and the MONAI Label trainer both call this. It never changes what serves.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from types import MappingProxyType

import numpy as np

from lesionlabel.evaluation.crossval import Recipe, check_size, cross_validate, decided_blind, fit, is_simulated
from lesionlabel.evaluation.report import Report, make_report
from lesionlabel.lesions.cohort import Cohort, take_snapshot
from lesionlabel.lesions.errors import InputError
from lesionlabel.networks.paper_cnn import PaperCNN
from lesionlabel.registry.bundle import save_bundle
from lesionlabel.registry.bundle_folder import weights_digest
from lesionlabel.registry.locked import LockedPatients
from lesionlabel.registry.manifest import Manifest, code_version
from lesionlabel.registry.profiles import find_profile
from lesionlabel.registry.synthetic_set import SyntheticSet
from lesionlabel.registry.version_store import VersionInfo
from lesionlabel.registry.versions import Versions
from lesionlabel.settings import Settings
from lesionlabel.training.classifier import ClassifierConfig
from lesionlabel.training.hooks import Progress, ShouldStop, never_stop, no_progress, part_of

#: What can be asked for. "paper" is Frid-Adar's schedule and takes about an hour on two cores; "quick" takes minutes.
PROFILES: Mapping[str, Recipe] = MappingProxyType(
    {
        "paper": Recipe(),
        "quick": Recipe(
            profile="quick",
            amount_per_fold=2000,
            training=ClassifierConfig(epochs=None, steps=1500, learning_rate=4e-3),
            reduced=(
                "2000 augmentations a fold instead of 5000",
                "1500 steps instead of 150 epochs",
                "learning rate 4e-3 instead of 1e-3, because there are few steps",
            ),
        ),
    }
)


#: What stands in place of the report where no lesion may be tested.
NOT_EVALUATED = (
    "All lesions were decided after seeing the model's answer, or perhaps so. They trained, but none may be tested: there are "
    "no figures, the probabilities are not calibrated, and the version cannot be promoted. Save some lesions before the model is "
    "asked about their image, at least one of each class, and train again."
)


@dataclass(frozen=True, eq=False)
class Trained:
    """A network trained on a whole cohort, with its manifest and the report on its recipe, None where no lesion may be tested."""

    network: PaperCNN
    manifest: Manifest
    report: Report | None

    @property
    def report_text(self) -> str:
        """The report in Markdown, or why there is none."""
        return NOT_EVALUATED if self.report is None else self.report.to_markdown()


def train_version(
    cohort: Cohort,
    settings: Settings,
    profile: str = "quick",
    seed: int = 0,
    synthetic: SyntheticSet | None = None,
    *,
    progress: Progress = no_progress,
    should_stop: ShouldStop = never_stop,
) -> tuple[VersionInfo[Manifest], Trained]:
    """Train on the cohort and keep the result as a candidate version, which serves only once it is promoted.

    Locked patients' lesions do not train. synthetic: images that join every training set. Raises InputError when the cohort or
    the profile cannot be used, UnfitError, LeakError when a generator behind synthetic has seen a patient of the cohort,
    DivergedError, StoppedError.
    """
    recipe = find_profile(PROFILES, profile)
    trained = train_on(cohort, settings, recipe, seed, synthetic, set_apart=True, progress=progress, should_stop=should_stop)
    return Versions(settings).add(trained.network, trained.manifest, trained.report_text), trained


def train_starter(
    cohort: Cohort,
    settings: Settings,
    folder: Path,
    profile: str = "quick",
    seed: int = 0,
    *,
    progress: Progress = no_progress,
    should_stop: ShouldStop = never_stop,
) -> Trained:
    """Train on a phantom cohort and write the bundle that comes with the package into folder, over an earlier one.

    Raises InputError for a cohort of patients, and as train_version.
    """
    if not is_simulated(cohort):
        raise InputError("A starter is handed on to everyone, so it is trained on the phantom only, never on patients.")
    trained = train_on(cohort, settings, find_profile(PROFILES, profile), seed, progress=progress, should_stop=should_stop)
    manifest = replace(trained.manifest, version=f"starter-{weights_digest(trained.network)[:8]}")
    save_bundle(folder, trained.network, manifest, trained.report_text, over=True)
    return replace(trained, manifest=manifest)


def train_on(
    cohort: Cohort,
    settings: Settings,
    recipe: Recipe,
    seed: int,
    synthetic: SyntheticSet | None = None,
    *,
    set_apart: bool = False,
    progress: Progress = no_progress,
    should_stop: ShouldStop = never_stop,
) -> Trained:
    """Snapshot, cross-validate, calibrate, and train on all lesions, or on those that are not locked. Raises as train_version."""
    simulated = is_simulated(cohort)
    if list(cohort.class_names) != settings.classes.names:
        raise InputError(
            f"The cohort's classes are {', '.join(cohort.class_names)}; the configured ones are "
            f"{', '.join(settings.classes.names)}. Set LESIONLABEL_CLASS_FILE to the cohort's class list."
        )
    training = cohort.subset(np.flatnonzero(~LockedPatients(settings).cut(cohort))) if set_apart else cohort
    check_size(training, recipe.n_folds)
    extra = None
    if synthetic is not None:
        extra = partial(synthetic.for_training, cohort.class_names, simulated)
        # Refused before the first fold has been trained.
        extra(cohort.patients)
    recipe = replace(recipe, training=replace(recipe.training, device=settings.device))
    take_snapshot(cohort, settings.snapshots_folder)

    report, share = None, 0.0
    if decided_blind(training).any():
        share = recipe.n_folds / (recipe.n_folds + 1)
        out_of_fold = cross_validate(
            training, recipe, seed, extra=extra, progress=part_of(progress, 0, share), should_stop=should_stop
        )
        report = make_report(out_of_fold, settings.classes)
    else:
        progress(0.0, "no lesion was decided before the model's answer was seen: training without an evaluation")
    final = fit(
        training,
        recipe,
        seed,
        run=recipe.n_folds + 1,
        sets=recipe.n_folds,
        joined=None if extra is None else extra(()),
        progress=part_of(progress, share, 1, "all lesions"),
        should_stop=should_stop,
    )
    now = datetime.now(UTC)
    manifest = Manifest(
        version=f"{now:%Y%m%dT%H%M%SZ}-{weights_digest(final.network)[:8]}",
        created=now.isoformat(timespec="seconds"),
        class_counts=training.counts(),
        trained_on="phantom" if simulated else "patients",
        patients=tuple(sorted({*training.patients, *(() if synthetic is None else synthetic.patients)})),
        snapshot=cohort.digest,
        config={
            **recipe.to_json(),
            "training": final.record(),
            "cohort_patients": len(set(training.patients)),
            "locked_patients": len(set(cohort.patients)) - len(set(training.patients)),
            "synthetic": None if synthetic is None else synthetic.describe(),
        },
        seed=seed,
        temperature=1.0 if report is None else report.temperature,
        evaluation=None if report is None else report.to_json(),
        code_version=code_version(),
    )
    return Trained(final.network, manifest, report)
