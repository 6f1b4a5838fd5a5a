"""From a cohort to a candidate version: snapshot, cross-validation, temperature, final training, bundle.

The command and the background jobs both call this. It never changes what serves.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from types import MappingProxyType

from lesionlabel.evaluation.crossval import Recipe, decided_blind, is_simulated
from lesionlabel.evaluation.report import Report, make_report
from lesionlabel.evaluation.unlike import Familiar
from lesionlabel.lesions.cohort import Cohort
from lesionlabel.lesions.errors import InputError, NotFoundError
from lesionlabel.networks.paper_cnn import PaperCNN
from lesionlabel.registry.bundle import save_bundle
from lesionlabel.registry.bundle_folder import weights_digest
from lesionlabel.registry.certainty import NOT_TESTED, false_alarms_of, familiar_to, prediction_sets_of
from lesionlabel.registry.joined import describe, keep_set, parents, seen_by
from lesionlabel.registry.manifest import Manifest
from lesionlabel.registry.profiles import TRIAL, find_profile
from lesionlabel.registry.synthetic_set import SyntheticSet
from lesionlabel.registry.training_parts import read_answers, read_network, run_part
from lesionlabel.registry.training_plan import SetFile, TrainingPlan, make_plan, read_snapshot, require_same_code
from lesionlabel.registry.version_store import VersionInfo
from lesionlabel.registry.versions import Versions
from lesionlabel.settings import Settings
from lesionlabel.training.classifier import ClassifierConfig
from lesionlabel.training.hooks import Progress, ShouldStop, never_stop, no_progress, part_of

#: What can be asked for. "paper" is Frid-Adar's schedule and takes about an hour on two cores; "quick" takes minutes; "trial"
#: shows in seconds that everything works, and its versions never serve.
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
        TRIAL: Recipe(
            profile=TRIAL,
            amount_per_fold=30,
            training=ClassifierConfig(epochs=None, steps=60, batch=16, learning_rate=4e-3),
            reduced=("60 steps on 30 augmentations a fold: for trying out that everything works, never for use",),
        ),
    }
)


#: Seconds for which what a training has finished waits to be taken up again.
KEPT_S = 14 * 24 * 3600.0
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
    familiar: Familiar

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

    Locked patients' lesions do not train. synthetic: images that join every training set. A run that was stopped goes on. Raises
    InputError when the cohort or the profile cannot be used, UnfitError, LeakError when a generator behind synthetic has seen a
    patient of the cohort, DivergedError, StoppedError.
    """
    plan = make_plan(cohort, settings, find_profile(PROFILES, profile), seed, set_apart=True)
    if synthetic is not None:
        # Refused before the first fold has been trained.
        synthetic.for_training(cohort.class_names, is_simulated(cohort), plan.cohort(settings).patients)
        plan = replace(plan, joined=SetFile(synthetic.digest))
        keep_set(settings, plan, synthetic)
    run_parts(settings, plan, progress=progress, should_stop=should_stop)
    kept = keep_version(settings, plan)
    forget(settings, plan)
    return kept


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
    plan = make_plan(cohort, settings, find_profile(PROFILES, profile), seed)
    run_parts(settings, plan, progress=progress, should_stop=should_stop)
    trained = assemble(settings, plan)
    manifest = replace(trained.manifest, version=f"starter-{weights_digest(trained.network)[:8]}")
    save_bundle(folder, trained.network, manifest, trained.report_text, trained.familiar, over=True)
    forget(settings, plan)
    return replace(trained, manifest=manifest)


def needed_parts(settings: Settings, plan: TrainingPlan) -> range:
    """The parts that a version needs: folds only where a lesion may be tested, and the training on all lesions."""
    first = 0 if decided_blind(plan.cohort(settings).as_tested()).any() else plan.recipe.n_folds
    return range(first, plan.n_parts)


def run_parts(
    settings: Settings, plan: TrainingPlan, *, progress: Progress = no_progress, should_stop: ShouldStop = never_stop
) -> None:
    """Do all parts of the plan, one after the other. Raises as run_part."""
    parts = needed_parts(settings, plan)
    for done, part in enumerate(parts):
        hook = part_of(progress, done / len(parts), (done + 1) / len(parts), plan.part_name(part))
        run_part(settings, plan, part, progress=hook, should_stop=should_stop)


def keep_version(settings: Settings, plan: TrainingPlan, notes: tuple[str, ...] = ()) -> tuple[VersionInfo[Manifest], Trained]:
    """Keep what the parts have made as a candidate version. Done twice, the version is the same.

    notes: sentences on how it was trained, for the card.
    """
    require_same_code(plan)
    trained = assemble(settings, plan, notes)
    versions = Versions(settings)
    with suppress(NotFoundError):
        return versions.get(trained.manifest.version), trained
    return versions.add(trained.network, trained.manifest, trained.report_text, trained.familiar), trained


def forget(settings: Settings, plan: TrainingPlan) -> None:
    """Remove what the plan's parts have left behind."""
    shutil.rmtree(plan.folder(settings), ignore_errors=True)


def forget_old(settings: Settings) -> None:
    """Remove what trainings have left behind that nobody has taken up for two weeks."""
    if not settings.training_folder.is_dir():
        return
    for path in settings.training_folder.iterdir():
        with suppress(OSError):
            if time.time() - path.stat().st_mtime > KEPT_S:
                shutil.rmtree(path) if path.is_dir() else path.unlink()


def assemble(settings: Settings, plan: TrainingPlan, notes: tuple[str, ...] = ()) -> Trained:
    """The network, its report, calibration and manifest, from finished parts. Raises InputError when one is missing."""
    training = plan.cohort(settings)
    network, record = read_network(settings, plan, len(training.class_names))
    report = None
    if len(needed_parts(settings, plan)) > 1:
        report = make_report(read_answers(settings, plan, training), settings.classes)
    ended = record.pop("ended")
    locked = len(set(read_snapshot(settings, plan.snapshot).patients)) - len(set(training.patients))
    patients = tuple(sorted({*training.patients, *seen_by(plan, settings)}))
    manifest = Manifest(
        version=f"{datetime.fromisoformat(ended):%Y%m%dT%H%M%SZ}-{weights_digest(network)[:8]}",
        created=ended,
        class_counts=training.counts(),
        trained_on="phantom" if is_simulated(training) else "patients",
        patients=patients,
        snapshot=plan.snapshot,
        config={
            **plan.recipe.to_json(),
            "training": record,
            "cohort_patients": len(set(training.patients)),
            "locked_patients": locked,
            "synthetic": describe(plan, settings),
            "notes": list(notes),
        },
        seed=plan.seed,
        temperature=1.0 if report is None else report.temperature,
        evaluation=None if report is None else report.to_json(),
        code_version=plan.code,
        parents=parents(plan),
        prediction_sets=NOT_TESTED if report is None else prediction_sets_of(report.out_of_fold),
        false_alarms=None if report is None else false_alarms_of(report.out_of_fold),
    )
    return Trained(network, manifest, report, familiar_to(network, training, patients))
