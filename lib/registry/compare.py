"""A candidate against what serves, on lesions that neither has learned from: answers of both sides, and the gate's decision.

Weights are scored on patients that they have never seen. Where the champion has seen them, its recipe is run again without them.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray

from lesionlabel.augment.classic import originals
from lesionlabel.evaluation.calibration import fit_temperature
from lesionlabel.evaluation.crossval import Recipe, cross_validate, decided_blind, fit, headline_lesions
from lesionlabel.lesions.cohort import Cohort, load_cohort
from lesionlabel.lesions.errors import InputError, IntegrityError, LeakError
from lesionlabel.lesions.splits import refuse_leak
from lesionlabel.registry.classifier import Classifier
from lesionlabel.registry.gate import Decision, Evidence, Sides, decide
from lesionlabel.registry.gate_records import GateRecords
from lesionlabel.registry.locked import LockedPatients, testable
from lesionlabel.registry.manifest import Manifest
from lesionlabel.registry.versions import Versions
from lesionlabel.settings import Settings
from lesionlabel.training.classifier import ClassifierConfig
from lesionlabel.training.hooks import Progress, ShouldStop, never_stop, no_progress

FloatArray = NDArray[np.float64]


def compare_with_champion(
    settings: Settings, version: str, *, progress: Progress = no_progress, should_stop: ShouldStop = never_stop
) -> tuple[Decision, Cohort]:
    """The gate's decision on a version against what serves, with the lesions that it rests on. Asked again, it is the same.

    Raises NotFoundError, NoModelError, IntegrityError, and InputError where the two cannot be compared: another version was
    compared on this snapshot, the snapshot is gone, no lesion may be tested, or the candidate has seen locked patients.
    """
    versions, records = Versions(settings), GateRecords(settings)
    info, champion = versions.get(version), versions.champion()
    candidate = versions.load(info.folder)
    if champion.version == version:
        raise InputError(f"{version} serves already: there is nothing to compare it with.")
    versions.refuse_unevaluated(info.manifest)
    cohort = _snapshot(settings, info.manifest)
    locked = LockedPatients(settings).of(cohort)
    apart = locked & testable(cohort)
    evidence: Evidence = "locked" if apart.any() else "recipes"
    tested = cohort.subset(np.flatnonzero(apart if apart.any() else headline_lesions(cohort) & ~locked))
    known = records.find(version, champion.version)
    if known is not None:
        return known, tested
    look = records.next_look(info.manifest.snapshot, evidence, tested)
    training = cohort.subset(np.flatnonzero(~locked))
    theirs = partial(_champion, champion, info.manifest, training, tested, evidence, settings.device)
    sides = Sides(tested, _candidate(candidate, tested, evidence), theirs(progress, should_stop))
    decision = decide(
        sides,
        settings.classes,
        evidence,
        look,
        candidate=version,
        champion=champion.version,
        snapshot=info.manifest.snapshot,
        simulated=info.manifest.trained_on == "phantom",
    )
    decision = replace(decision, time=datetime.now(UTC).isoformat(timespec="seconds"))
    records.add(decision, tested)
    return decision, tested


def _snapshot(settings: Settings, manifest: Manifest) -> Cohort:
    path = settings.snapshots_folder / f"{manifest.snapshot}.npz"
    if not path.exists():
        raise InputError(f"The lesions that {manifest.version} was trained on are gone ({path.name}). Train a version again.")
    cohort = load_cohort(path)
    if cohort.digest != manifest.snapshot:
        raise IntegrityError(
            f"{path} is not the snapshot that {manifest.version} was trained on: it was exchanged, so it is not used."
        )
    if list(cohort.class_names) != settings.classes.names:
        raise InputError(
            f"{manifest.version} chooses among {', '.join(cohort.class_names)}, which are not the configured classes."
        )
    if not decided_blind(cohort).any():
        raise InputError("All lesions were decided after seeing the model's answer, or perhaps so: none may be tested.")
    return cohort


def _candidate(candidate: Classifier, tested: Cohort, evidence: Evidence) -> FloatArray:
    """Logits of the candidate's weights for locked lesions, else of its cross-validation, by networks that had not seen them."""
    manifest = candidate.manifest
    if evidence == "locked":
        try:
            refuse_leak(manifest.patients, tested.patients)
        except LeakError as error:
            raise InputError(
                f"{manifest.version} was trained before patients were locked. Train a version again. {error}"
            ) from None
        return candidate.logits(_rois(tested)) / manifest.temperature
    rows = {row["lesion_id"]: row["logits"] for row in (manifest.evaluation or {})["out_of_fold"]}
    return np.array([rows[lesion.lesion_id] for lesion in tested]) / manifest.temperature


def _champion(
    champion: Classifier,
    theirs: Manifest,
    training: Cohort,
    tested: Cohort,
    evidence: Evidence,
    device: str,
    progress: Progress,
    should_stop: ShouldStop,
) -> FloatArray:
    """Logits of the champion's weights, or of its recipe on the candidate's lesions, folds and seed where they saw a patient."""
    if not set(champion.manifest.patients) & set(tested.patients):
        return champion.logits(_rois(tested)) / champion.temperature
    recipe = _recipe(champion.manifest, device)
    progress(0.0, f"running the recipe of {champion.version} again")
    out_of_fold = cross_validate(training, recipe, theirs.seed, progress=progress, should_stop=should_stop)
    blind = decided_blind(training)
    patients = [lesion.patient for lesion, counts in zip(training, blind, strict=True) if counts]
    temperature = fit_temperature(out_of_fold.logits[blind], training.labels[blind], patients)
    if evidence == "recipes":
        at = {lesion.lesion_id: i for i, lesion in enumerate(training)}
        return out_of_fold.logits[[at[lesion.lesion_id] for lesion in tested]] / temperature
    run = recipe.n_folds + 1
    network = fit(training, recipe, theirs.seed, run, recipe.n_folds, progress=progress, should_stop=should_stop).network
    with torch.inference_mode():
        return network(originals(tested)).double().numpy() / temperature


def _recipe(manifest: Manifest, device: str) -> Recipe:
    """The recipe of a version. Raises InputError where synthetic images were part of it."""
    if manifest.config.get("synthetic") is not None:
        raise InputError(
            f"{manifest.version} was trained with synthetic images and on patients that would test it, so its recipe would have "
            "to run again with generators of its own, which is not built. An administrator may override with a reason."
        )
    content = (manifest.evaluation or {})["recipe"]
    training = ClassifierConfig(**{**content["training"], "device": device})
    return Recipe(content["profile"], content["amount_per_fold"], content["n_folds"], training, tuple(content["reduced"]))


def _rois(cohort: Cohort) -> NDArray[np.float32]:
    return originals(cohort)[:, 0].numpy()
