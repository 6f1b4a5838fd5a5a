"""The steps of the jobs, without the engine that runs them: each takes plain values and gives plain values.

A step may be done twice, when its worker is killed after it and before that was noted; it then gives the same.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from lesionlabel.jobs.gate_page import gate_page_path, write_gate_page
from lesionlabel.jobs.journal import Journal, Part
from lesionlabel.jobs.work import Work
from lesionlabel.lesions.cohort import Cohort
from lesionlabel.lesions.errors import InputError, IntegrityError, NoModelError
from lesionlabel.networks.gans import require_arm
from lesionlabel.registry.compare import prepare
from lesionlabel.registry.fold_generators import GeneratorAsk, asked_generators, join
from lesionlabel.registry.gate import Decision, GateOutcome
from lesionlabel.registry.gate_records import GateRecords
from lesionlabel.registry.profiles import find_profile
from lesionlabel.registry.retrain import PROFILES, forget, forget_old, keep_version, needed_parts, run_parts
from lesionlabel.registry.training_plan import TrainingPlan, make_plan, read_snapshot
from lesionlabel.registry.versions import Versions
from lesionlabel.training.hooks import Progress, ShouldStop

#: What a job says of who promoted a version.
BY = "LesionLabel"
#: Weights of parts, in trainings of a classifier.
GENERATOR_WEIGHT, SMALL = 4.0, 0.1


def begin(work: Work, progress: Progress, _stop: ShouldStop, job_id: str, asked: dict[str, Any]) -> dict[str, Any]:
    """Take the snapshot and say what has to be made. asked: {"studies" or "snapshot": …, "params": {…}}."""
    job, params = Journal(work.settings, job_id), asked["params"]
    progress(0.0, "reading curated lesions")
    forget_old(work.settings)
    cohort = _lesions(work, asked)
    recipe = find_profile(PROFILES, params["profile"])
    plan = make_plan(cohort, work.settings, recipe, int(params["seed"]), set_apart=True)
    asks, notes = _generators(work, plan, params)
    parts = [(part, f"part-{part + 1}") for part in needed_parts(work.settings, plan)]
    job.plan([Part("lesions", "curated lesions", SMALL)])
    job.plan([Part(generator_part(ask.to_json()), f"{ask.name} without fold {ask.fold + 1}", GENERATOR_WEIGHT) for ask in asks])
    job.plan([Part("joined", "synthetic images", SMALL)] if asks else [])
    job.plan([Part(name, plan.part_name(part), 1.0) for part, name in parts])
    job.plan([Part("version", "calibration and report", SMALL), Part("gate", "gate", SMALL), Part("end", "end", SMALL)])
    training = plan.cohort(work.settings)
    progress(1.0, f"{_count(cohort)}, {len(training)} of which train")
    return {"plan": plan.to_json(), "asks": [ask.to_json() for ask in asks], "notes": notes, "parts": parts}


def begin_generator(work: Work, progress: Progress, _stop: ShouldStop, job_id: str, asked: dict[str, Any]) -> dict[str, Any]:
    """Take the snapshot for one generator. asked: as in begin, with {"trainer": its name}."""
    job, params = Journal(work.settings, job_id), asked["params"]
    progress(0.0, "reading curated lesions")
    cohort = _lesions(work, asked)
    seed, network = int(params["seed"]), require_arm(params["network"])
    # The recipe is of no matter here; the plan says which lesions and folds.
    plan = make_plan(cohort, work.settings, PROFILES["quick"], seed, set_apart=True)
    ask = GeneratorAsk(asked["trainer"], network, params["profile"], seed, 0)
    job.plan([Part("lesions", "curated lesions", SMALL), Part("generator", ask.name, GENERATOR_WEIGHT)])
    progress(1.0, _count(cohort))
    return {"plan": plan.to_json(), "ask": ask.to_json(), "lesions": len(cohort)}


def join_generators(
    work: Work,
    progress: Progress,
    _stop: ShouldStop,
    plan: dict[str, Any],
    asks: list[dict[str, Any]],
    made: list[dict[str, str]],
    per_fold: int | None,
) -> dict[str, Any]:
    """The plan with what the generators bring, or without, and a sentence on it."""
    begun = TrainingPlan.from_json(plan)
    given = [GeneratorAsk.from_json(ask) for ask in asks]
    joined, note = join(work.settings, begun.cohort(work.settings), given, made, per_fold)
    progress(1.0, note)
    return {"plan": replace(begun, joined=joined).to_json(), "note": note}


def keep(work: Work, progress: Progress, stop: ShouldStop, plan: dict[str, Any], notes: list[str]) -> dict[str, Any]:
    """Calibrate, report, and keep the candidate version."""
    progress(0.0, "calibrating")
    whole = TrainingPlan.from_json(plan)
    # All are done, unless another run of the same training has ended meanwhile and cleaned up.
    run_parts(work.settings, whole, should_stop=stop)
    info, trained = keep_version(work.settings, whole, tuple(notes))
    progress(1.0, f"candidate {info.version}")
    counts = trained.manifest.class_counts
    return {"version": info.version, "lesions": sum(counts.values()), "counts": counts, "notes": notes}


def begin_gate(work: Work, progress: Progress, _stop: ShouldStop, job_id: str, version: str) -> dict[str, Any]:
    """What the comparison needs: {"champion": …, "rerun": None or what is to be trained}; or the reason why there is none."""
    if not Versions(work.settings).promotions():
        progress(1.0, "nothing was promoted before, so there is nothing to compare with")
        return {"outcome": "not compared", "reasons": ["No version was promoted before: there is nothing to compare with."]}
    progress(0.0, "comparing with what serves")
    try:
        comparison = prepare(work.settings, version)
        champion, rerun = comparison.champion.version, comparison.rerun
        asks = () if rerun is None or rerun.network is None else _rerun_generators(work, rerun)
    except (InputError, NoModelError, IntegrityError) as error:
        # The candidate is there all the same.
        return _not_compared(progress, work.in_words(error))
    if rerun is None:
        Journal(work.settings, job_id).plan([Part("decision", "decision", SMALL)])
        progress(1.0, "its weights answer for what serves")
        return {"champion": champion, "rerun": None}
    progress(0.0, "running the recipe of what serves again")
    names = [(part, f"rerun-{part + 1}") for part in rerun.parts]
    job = Journal(work.settings, job_id)
    job.plan([Part(generator_part(ask.to_json()), f"{ask.name} without fold {ask.fold + 1}", GENERATOR_WEIGHT) for ask in asks])
    job.plan([Part(name, f"what serves, {rerun.plan.part_name(part)}", 1.0) for part, name in names])
    job.plan([Part("decision", "decision", SMALL)])
    what = {"plan": rerun.plan.to_json(), "per_fold": rerun.per_fold, "asks": [ask.to_json() for ask in asks], "parts": names}
    return {"champion": champion, "rerun": what}


def decide(
    work: Work,
    progress: Progress,
    stop: ShouldStop,
    version: str,
    champion: str,
    plan: dict[str, Any] | None,
    may_promote: bool,
) -> dict[str, Any]:
    """The gate's decision against the champion that the comparison began with, its page, and an automatic promotion."""
    decision = GateRecords(work.settings).find(version, champion)
    # Once it is decided nothing else matters: this step may be done again after the version was promoted.
    if decision is None:
        try:
            comparison = prepare(work.settings, version)
        except (InputError, NoModelError, IntegrityError) as error:
            return _not_compared(progress, work.in_words(error))
        if comparison.champion.version != champion or (comparison.rerun is None) != (plan is None):
            return _not_compared(progress, f"What serves is no longer {champion}. Compare {version} again.")
        decision = comparison.decide(None if plan is None else TrainingPlan.from_json(plan))
        write_gate_page(work.settings, decision, comparison.tested)
    reasons = list(decision.reasons)
    promoted = False
    if may_promote and not stop():
        try:
            promoted = _promoted(work, decision)
        except InputError as error:
            reasons.append(f"It was not promoted. {work.in_words(error)}")
    progress(1.0, f"{decision.outcome}{', promoted' if promoted else ''}. {' '.join(reasons)}")
    return {
        "outcome": decision.outcome,
        "regime": decision.regime,
        "champion": decision.champion,
        "reasons": reasons,
        "won": len(decision.won),
        "lost": len(decision.lost),
        "page": gate_page_path(work.settings, decision).name,
        "promoted": promoted,
    }


def _not_compared(progress: Progress, why: str) -> dict[str, Any]:
    progress(1.0, why)
    return {"outcome": "not compared", "reasons": [why]}


def end(work: Work, progress: Progress, _stop: ShouldStop, made: dict[str, Any], plan: dict[str, Any]) -> None:
    """Remove what was on the way."""
    forget(work.settings, TrainingPlan.from_json(plan))
    progress(1.0, f"{made['version']}: {made['gate']['outcome']}")


def clean(work: Work, _progress: Progress, _stop: ShouldStop, plan: dict[str, Any]) -> None:
    """Remove what the champion's recipe has left."""
    forget(work.settings, TrainingPlan.from_json(plan))


def generator_part(ask: dict[str, Any]) -> str:
    """The name of a generator's part."""
    return f"{ask['name']}-{ask['fold'] + 1}"


def _promoted(work: Work, decision: Decision) -> bool:
    """Let the candidate serve where the site has said so and the evidence is of the strongest kind, but never a second time.

    Raises InputError when something else stands against it.
    """
    versions = Versions(work.settings)
    info = versions.get(decision.candidate)
    if info.was_promoted:
        # By this step before its worker was killed; or by a person, who may have taken it back.
        return info.is_champion
    if not (work.settings.auto_promote and decision.regime == "A" and decision.outcome is GateOutcome.PASS):
        return False
    if decision.dropped:
        raise InputError(
            f"{decision.dropped} lesion(s) that were decided blind count no more since a model's answer was seen, so the test "
            "favours what models get right: a person decides. 'lesionlabel readers disagreements' lists those that are open."
        )
    versions.promote(decision.candidate, BY, "It passed the gate in regime A, and promotion is automatic here.")
    return True


def _generators(work: Work, plan: TrainingPlan, params: dict[str, Any]) -> tuple[tuple[GeneratorAsk, ...], list[str]]:
    """The generators that the parameters ask for. With auto, too few patients are no error but a note."""
    if params["synthetic"] == "none":
        return (), []
    network = require_arm("dcgan" if params["synthetic"] == "auto" else params["synthetic"])
    try:
        return asked_generators(work.settings, plan, network, params["profile"]), []
    except InputError as error:
        if params["synthetic"] != "auto":
            raise
        return (), [f"Trained without synthetic images: {error}"]


def _rerun_generators(work: Work, rerun: Any) -> tuple[GeneratorAsk, ...]:
    return asked_generators(work.settings, rerun.plan, rerun.network, rerun.profile)


def _lesions(work: Work, asked: dict[str, Any]) -> Cohort:
    if "snapshot" in asked:
        return read_snapshot(work.settings, asked["snapshot"])
    # Loads MONAI Label and with it MONAI, which takes several seconds that a worker's start should not.
    from lesionlabel.datastore.cohort import cohort_of_studies

    kind = asked["params"]["kind"]
    return cohort_of_studies(Path(asked["studies"]), work.settings, None if kind == "any" else kind)


def _count(cohort: Cohort) -> str:
    counts = ", ".join(f"{count} {name}" for name, count in cohort.counts().items())
    return f"{len(cohort)} lesions ({counts}) of {len(set(cohort.patients))} patients"
