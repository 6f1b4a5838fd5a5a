"""A candidate against what serves, on lesions that neither has learned from: answers of both sides, and the gate's decision.

Weights are scored on patients that they have never seen. Where the champion has seen them, its recipe is run again without them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from lesionlabel.augment.classic import originals
from lesionlabel.evaluation.calibration import fit_temperature
from lesionlabel.evaluation.crossval import Recipe, decided_blind, headline_lesions
from lesionlabel.lesions.cohort import Cohort
from lesionlabel.lesions.errors import InputError, LeakError
from lesionlabel.lesions.splits import refuse_leak
from lesionlabel.networks.gans import Arm, require_arm
from lesionlabel.registry.classifier import Classifier
from lesionlabel.registry.fold_generators import asked_generators, join, make_asked
from lesionlabel.registry.gate import Decision, Evidence, Sides, decide
from lesionlabel.registry.gate_records import GateRecords
from lesionlabel.registry.locked import LockedPatients, testable
from lesionlabel.registry.manifest import Manifest
from lesionlabel.registry.retrain import forget
from lesionlabel.registry.training_parts import read_answers, read_network, run_part
from lesionlabel.registry.training_plan import TrainingPlan, make_plan, read_snapshot
from lesionlabel.registry.versions import Versions
from lesionlabel.settings import Settings
from lesionlabel.training.hooks import Progress, ShouldStop, never_stop, no_progress, part_of

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Rerun:
    """The champion's recipe on the candidate's lesions, folds and seed.

    network, profile, per_fold: of its generators; None without. parts: those whose answers are needed.
    """

    plan: TrainingPlan
    network: Arm | None
    profile: str
    per_fold: int
    parts: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Comparison:
    """Two versions about to be compared. known: the decision, if they were before. rerun: what must be trained for it."""

    settings: Settings
    candidate: Classifier
    champion: Classifier
    tested: Cohort
    evidence: Evidence
    look: int
    known: Decision | None
    rerun: Rerun | None

    def decide(self, plan: TrainingPlan | None) -> Decision:
        """The gate's decision, kept. plan: of the rerun, with its parts done. Raises InputError when one is missing, OSError."""
        if self.known is not None:
            return self.known
        theirs = self.champion.logits(_rois(self.tested)) / self.champion.temperature if plan is None else self._again(plan)
        manifest = self.candidate.manifest
        decision = decide(
            Sides(self.tested, _answers(self.candidate, self.tested, self.evidence), theirs),
            self.settings.classes,
            self.evidence,
            self.look,
            candidate=manifest.version,
            champion=self.champion.version,
            snapshot=manifest.snapshot,
            simulated=manifest.trained_on == "phantom",
        )
        decision = replace(decision, time=datetime.now(UTC).isoformat(timespec="seconds"))
        GateRecords(self.settings).add(decision, self.tested)
        return decision

    def _again(self, plan: TrainingPlan) -> FloatArray:
        """Logits of the champion's recipe: out of fold, or by the network that has learned from none of the tested patients."""
        training = plan.cohort(self.settings)
        out_of_fold = read_answers(self.settings, plan, training)
        training = training.as_tested()
        blind = decided_blind(training)
        patients = [lesion.patient for lesion, counts in zip(training, blind, strict=True) if counts]
        temperature = fit_temperature(out_of_fold.logits[blind], training.labels[blind], patients)
        if self.evidence == "recipes":
            at = {lesion.lesion_id: i for i, lesion in enumerate(training)}
            return out_of_fold.logits[[at[lesion.lesion_id] for lesion in self.tested]] / temperature
        network, _ = read_network(self.settings, plan, len(training.class_names))
        with torch.inference_mode():
            return network(originals(self.tested)).double().numpy() / temperature


def prepare(settings: Settings, version: str) -> Comparison:
    """What a comparison of a version with what serves needs, before anything is trained for it.

    Raises NotFoundError, NoModelError, IntegrityError, and InputError where the two cannot be compared: another version was
    compared on this snapshot, the snapshot is gone, no lesion may be tested, the candidate has seen locked patients, or the
    champion's recipe cannot be run again.
    """
    versions, records = Versions(settings), GateRecords(settings)
    info, champion = versions.get(version), versions.champion()
    candidate = versions.load(info.folder)
    if champion.version == version:
        raise InputError(f"{version} serves already: there is nothing to compare it with.")
    versions.refuse_unevaluated(info.manifest)
    cohort = read_snapshot(settings, info.manifest.snapshot)
    if list(cohort.class_names) != settings.classes.names:
        raise InputError(f"{version} chooses among {', '.join(cohort.class_names)}, which are not the configured classes.")
    as_tested = cohort.as_tested()
    if not decided_blind(as_tested).any():
        raise InputError("All lesions were decided after seeing the model's answer, or perhaps so: none may be tested.")
    locked = LockedPatients(settings).of(cohort)
    apart = locked & testable(as_tested)
    evidence: Evidence = "locked" if apart.any() else "recipes"
    tested = as_tested.subset(np.flatnonzero(apart if apart.any() else headline_lesions(as_tested) & ~locked))
    known = records.find(version, champion.version)
    if known is not None:
        return Comparison(settings, candidate, champion, tested, evidence, known.look, known, None)
    look = records.next_look(info.manifest.snapshot, evidence, tested)
    _answers(candidate, tested, evidence)
    rerun = None
    if set(champion.manifest.patients) & set(tested.patients):
        rerun = _rerun(settings, champion.manifest, info.manifest, cohort, evidence)
    return Comparison(settings, candidate, champion, tested, evidence, look, None, rerun)


def compare_with_champion(
    settings: Settings, version: str, *, progress: Progress = no_progress, should_stop: ShouldStop = never_stop
) -> tuple[Decision, Cohort]:
    """The gate's decision on a version against what serves, with the lesions that it rests on. Asked again, it is the same.

    What has to be trained for it is trained here, one part after the other. Raises as prepare, and StoppedError.
    """
    comparison = prepare(settings, version)
    rerun, plan = comparison.rerun, None
    if rerun is not None:
        progress(0.0, f"running the recipe of {comparison.champion.version} again")
        plan = _with_generators(settings, rerun, progress, should_stop)
        for done, part in enumerate(rerun.parts):
            hook = part_of(progress, done / len(rerun.parts), (done + 1) / len(rerun.parts), plan.part_name(part))
            run_part(settings, plan, part, progress=hook, should_stop=should_stop)
    decision = comparison.decide(plan)
    if plan is not None:
        forget(settings, plan)
    return decision, comparison.tested


def _with_generators(settings: Settings, rerun: Rerun, progress: Progress, should_stop: ShouldStop) -> TrainingPlan:
    if rerun.network is None:
        return rerun.plan
    asks = asked_generators(settings, rerun.plan, rerun.network, rerun.profile)
    made = [
        make_asked(settings, rerun.plan, ask, progress=part_of(progress, 0, 0, ask.name), should_stop=should_stop) for ask in asks
    ]
    joined, note = join(settings, rerun.plan.cohort(settings), asks, made, rerun.per_fold)
    if joined is None:
        raise InputError(f"The recipe of what serves cannot run again, and without its synthetic images it is another. {note}")
    return replace(rerun.plan, joined=joined)


def _rerun(settings: Settings, champion: Manifest, candidate: Manifest, cohort: Cohort, evidence: Evidence) -> Rerun:
    """The champion's recipe on the candidate's lesions. Raises InputError where a synthetic set from a file was part of it."""
    synthetic: Mapping[str, Any] | None = champion.config.get("synthetic")
    if synthetic is not None and "network" not in synthetic:
        raise InputError(
            f"{champion.version} was trained with a synthetic set and on patients that would test it. Its recipe would have to "
            "run again with generators that have not seen them, and a set does not say how to make such. An administrator may "
            "override with a reason."
        )
    recipe = _anywhere(Recipe.from_json((champion.evaluation or {})["recipe"]))
    plan = make_plan(cohort, settings, recipe, candidate.seed, set_apart=True)
    parts = tuple(range(plan.n_parts if evidence == "locked" else recipe.n_folds))
    if synthetic is None:
        return Rerun(plan, None, "", 0, parts)
    return Rerun(plan, require_arm(synthetic["network"]), synthetic["profile"], int(synthetic["per_fold"]), parts)


def _anywhere(recipe: Recipe) -> Recipe:
    """The recipe without the device that it ran on."""
    return replace(recipe, training=replace(recipe.training, device="auto"))


def _answers(candidate: Classifier, tested: Cohort, evidence: Evidence) -> FloatArray:
    """Logits of the candidate's weights for locked lesions, else of its cross-validation, by networks that had not seen them."""
    manifest = candidate.manifest
    if evidence == "locked":
        try:
            refuse_leak(manifest.patients, tested.patients)
        except LeakError:
            seen = len(set(manifest.patients) & set(tested.patients))
            raise InputError(
                f"{manifest.version} was trained before patients were locked and has seen {seen} of those who test. Train again."
            ) from None
        return candidate.logits(_rois(tested)) / manifest.temperature
    rows = {row["lesion_id"]: row["logits"] for row in (manifest.evaluation or {})["out_of_fold"]}
    return np.array([rows[lesion.lesion_id] for lesion in tested]) / manifest.temperature


def _rois(cohort: Cohort) -> NDArray[np.float32]:
    return originals(cohort)[:, 0].numpy()
