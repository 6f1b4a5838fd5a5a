"""From an experiment's outcomes to its findings: figures of every training set, the comparisons fixed beforehand, the verdict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax
from scipy.stats import t as student

# The slope alone: measure_calibration's resamples and null draws would take a minute for all training sets.
from lesionlabel.evaluation.calibration import slopes_of
from lesionlabel.evaluation.metrics import Interval, lesion_weights
from lesionlabel.experiment.findings import Comparison, Findings, PointFigures
from lesionlabel.experiment.outcomes import FloatArray, Outcomes
from lesionlabel.experiment.plan import Plan, Point, Profile, Schedule
from lesionlabel.experiment.statistics import (
    ALPHA,
    Resamples,
    by_patient,
    detectable,
    draw_resamples,
    holm,
    majority_vote,
    sign_flip,
)
from lesionlabel.lesions.classes import ClassList
from lesionlabel.lesions.errors import InputError

IntArray = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class _Tested:
    """The lesions that count: their places in the cohort, class indices and patients, with the draws that all figures share."""

    at: IntArray
    labels: IntArray
    patients: list[str]
    resamples: Resamples


def analyse(outcomes: Outcomes, classes: ClassList, seed: int) -> Findings:
    """Everything that is concluded from the outcomes. seed: of the draws behind intervals and tests, the same for all figures.

    Only lesions in outcomes.tested count, but for the primary comparison with weaker proof. Probabilities are the networks' own,
    without a temperature. Raises InputError when no lesion may be tested, when classes are not the cohort's, or when an answer is
    missing.
    """
    cohort = outcomes.cohort
    if list(cohort.class_names) != classes.names:
        raise InputError(
            f"The experiment's classes are {', '.join(cohort.class_names)}, but {', '.join(classes.names)} were given. "
            "Give the class list that it was run with."
        )
    if not outcomes.tested.any():
        raise InputError(
            f"All {len(cohort)} lesions were decided after seeing the model's answer, or perhaps so, so none may be tested. "
            "Curate lesions with the model's answer hidden."
        )
    tested = _tested(outcomes, outcomes.tested, seed)
    figures = {key: _figures(outcomes, *key, tested, classes) for key in outcomes.logits}

    def compare(schedule: Schedule, first: Point, second: Point) -> Comparison | None:
        if first == second or (schedule, first) not in figures or (schedule, second) not in figures:
            return None
        # The same flips for all, so that no p depends on which other arms were run.
        return _compare(figures[schedule, first], figures[schedule, second], tested, np.random.default_rng([seed, 1]))

    primary, weaker = compare("steps", *outcomes.plan.profile.primary), None
    if primary is not None and (outcomes.decided_blind & ~outcomes.tested).any():
        everyone = _tested(outcomes, outcomes.decided_blind, seed)
        first, second = (_figures(outcomes, "steps", point, everyone, classes) for point in (primary.first, primary.second))
        weaker = _compare(first, second, everyone, np.random.default_rng([seed, 1]))
    secondary = [found for pair in secondary_pairs(outcomes.plan.profile) if (found := compare(*pair)) is not None]
    corrected = holm([comparison.p for comparison in secondary])
    return Findings(
        figures=tuple(figures.values()),
        primary=primary,
        with_weaker_proof=weaker,
        secondary=tuple(replace(one, p_holm=p) for one, p in zip(secondary, corrected, strict=True)),
        chosen_as_in_the_paper=_chosen_as_in_the_paper(list(figures.values())),
        verdict=verdict(primary, outcomes.plan, opinion_only=outcomes.opinion_only),
    )


def secondary_pairs(profile: Profile) -> list[tuple[Schedule, Point, Point]]:
    """The comparisons beside the primary one, fixed before anything is trained; those whose arms were not run are skipped.

    At the fixed amounts: every arm that adds to classic augmentation against classic alone; other generators' arms against
    duplicates; classic against what does without it; and the primary pair under the paper's epochs.
    """
    amounts = profile.fixed_classic, profile.fixed_added
    classic, duplicates = Point("classic", profile.fixed_classic), Point("duplicates", *amounts)
    adding = ("dcgan", "acgan", "modern", "filtered", "duplicates", "oracle")
    without = [Point("classic"), Point("synthetic", 0, profile.fixed_added)]
    without += [Point(arm) for arm in ("discriminator", "words", "mean", "diameter")]
    return [
        *(("steps", Point(arm, *amounts), classic) for arm in adding),
        *(("steps", Point(arm, *amounts), duplicates) for arm in ("acgan", "modern", "filtered")),
        *(("steps", classic, point) for point in without),
        ("epochs", *profile.primary),
    ]


def verdict(primary: Comparison | None, plan: Plan, *, opinion_only: bool = False) -> str:
    """What the primary comparison says, in one plain sentence. opinion_only: no tested lesion is proven but by readers."""
    tail = "."
    if plan.simulated:
        tail = "; this is one cohort of simulated lesions, and a phantom result says nothing about patients."
    if plan.profile.demonstration:
        tail = f"; trained far too little to say anything about the method{tail}"
    if opinion_only:
        tail = f"; no lesion is proven by pathology, follow-up or other imaging, so that this rests on readers' opinion{tail}"
    if primary is None:
        first, second = plan.profile.primary
        return f"Nothing is concluded: {first.title} or {second.title} was not run, or did not finish, at equal steps{tail}"
    first, second = primary.first.title, primary.second.title
    value, low, high = (
        round(100 * x, 1) + 0.0 for x in (primary.difference.value, primary.difference.low, primary.difference.high)
    )
    found = f"{value:+.1f} points [{low:.1f}, {high:.1f}], {_p(primary.p)}"
    if len(plan.seeds) == 1:
        found += ", of one seed, so that the interval ignores what another would bring"
    if primary.p < ALPHA:
        direction = "better" if primary.difference.value > 0 else "worse"
        return f"{first} is {direction} than {second}: {found}{tail}"
    if primary.detectable < 1:
        unseen = f"differences below {100 * primary.detectable:.1f} points could not have been seen"
    else:
        unseen = "no difference, however large, could have been seen"
    return f"No difference shown between {first} and {second}: {found}; {unseen}{tail}"


def _tested(outcomes: Outcomes, which: NDArray[np.bool_], seed: int) -> _Tested:
    at, cohort = np.flatnonzero(which), outcomes.cohort
    patients = [cohort.patients[i] for i in at]
    resamples = draw_resamples(patients, len(outcomes.plan.seeds), np.random.default_rng([seed, 0]))
    return _Tested(at, cohort.labels[at], patients, resamples)


def _figures(outcomes: Outcomes, schedule: Schedule, point: Point, tested: _Tested, classes: ClassList) -> PointFigures:
    logits = outcomes.logits[schedule, point][:, tested.at]
    if np.isnan(logits).any():
        raise InputError(f"{point.title} under {schedule} has no answer for some lesions: the run is not finished. Resume it.")
    labels, draws = tested.labels, tested.resamples
    probabilities = softmax(logits, axis=2)
    predicted = probabilities.argmax(axis=2)
    right = predicted == labels
    truth = np.eye(len(classes))[labels]
    log_losses = -np.log(np.maximum(probabilities[:, np.arange(len(labels)), labels], 1e-12))
    sensitivities = np.stack([draws.means(right, labels == c) for c in range(len(classes)) if (labels == c).any()])
    confusion = np.zeros((len(classes), len(classes)))
    shares = np.broadcast_to(draws.lesions[0] / len(predicted), predicted.shape)
    np.add.at(confusion, (np.broadcast_to(labels, predicted.shape), predicted), shares)
    of = float(draws.lesions[0].sum())
    every = range(len(classes))
    accuracies = draws.means(right)
    return PointFigures(
        schedule=schedule,
        point=point,
        accuracy=draws.interval(accuracies, of),
        of_seeds=tuple(float(x) for x in accuracies[0]),
        sensitivity=tuple(draws.mean(right, labels == c) for c in every),
        specificity=tuple(draws.mean(predicted != c, labels != c) for c in every),
        # A class that no drawn patient has is left out of that draw's mean.
        macro_sensitivity=draws.interval(np.nanmean(sensitivities, axis=0), of),
        auc=tuple(draws.auc(probabilities[:, :, c], labels == c) for c in every),
        malignant_called_benign=draws.mean(
            np.isin(predicted, classes.benign_indices()), np.isin(labels, classes.malignant_indices())
        ),
        confusion=confusion,
        log_loss=draws.interval(draws.means(log_losses), of),
        brier=draws.interval(draws.means(((probabilities - truth) ** 2).sum(axis=2)), of),
        slope=_slope(probabilities, right, tested),
        fresh=_fresh(outcomes.fresh.get((schedule, point)), outcomes.plan.profile.fresh),
        right=right,
    )


def _slope(probabilities: FloatArray, right: NDArray[np.bool_], tested: _Tested) -> float | None:
    """One calibration slope for the answers of all seeds together, each seed weighing as a share of a lesion.

    None where all are right or all wrong: any slope would do.
    """
    if right.all() or not right.any():
        return None
    seeds = len(right)
    log_p = np.log(np.maximum(probabilities, 1e-12)).reshape(-1, probabilities.shape[2])
    weights = np.tile(lesion_weights(tested.patients) / seeds, seeds)
    slope = float(slopes_of(log_p, np.tile(tested.labels, seeds), weights[None])[0])
    return slope if np.isfinite(slope) else None


def _fresh(accuracies: FloatArray | None, lesions: int) -> Interval | None:
    """Mean accuracy on fresh lesions of networks (seeds, folds), with the interval of Student's t over networks.

    The networks share those lesions, so their sampling error is added in full. Networks of a seed share training data, and all
    share the cohort, which the interval ignores.
    """
    if accuracies is None or accuracies.size < 2:
        return None
    mean, n = float(accuracies.mean()), accuracies.size
    error = np.sqrt(accuracies.var(ddof=1) / n + mean * (1 - mean) / lesions)
    low, high = np.clip(mean + student.ppf([0.025, 0.975], n - 1) * error, 0, 1)
    return Interval(mean, float(low), float(high), float(lesions))


def _compare(first: PointFigures, second: PointFigures, tested: _Tested, rng: np.random.Generator) -> Comparison:
    draws, patients = tested.resamples, tested.patients
    difference = draws.means(first.right.astype(float) - second.right)
    vote = majority_vote(first.right, second.right)
    return Comparison(
        schedule=first.schedule,
        first=first.point,
        second=second.point,
        difference=draws.interval(difference, float(draws.lesions[0].sum())),
        p=sign_flip(by_patient(first.right, second.right, patients).differences, rng),
        p_holm=None,
        won=vote.won,
        lost=vote.lost,
        mcnemar=vote.p,
        discordance=float(draws.means(first.right != second.right)[0].mean()),
        detectable=detectable(first.right, second.right, patients),
    )


def _chosen_as_in_the_paper(figures: Sequence[PointFigures]) -> tuple[Point, ...]:
    """Of the classic and the DCGAN arm, the point with the best reported accuracy; under epochs where these were run.

    The smallest amount where several are best.
    """
    schedule = "epochs" if any(one.schedule == "epochs" for one in figures) else "steps"
    chosen: list[Point] = []
    for arm in ("classic", "dcgan"):
        of_arm = sorted((f for f in figures if f.schedule == schedule and f.point.arm == arm), key=lambda f: f.point)
        if of_arm:
            chosen.append(max(of_arm, key=lambda f: f.accuracy.value).point)
    return tuple(chosen)


def _p(p: float) -> str:
    """As "p = .55", "p = .012" or "p < .001"."""
    if p < 0.001:
        return "p < .001"
    if p > 0.995:
        return "p = 1"
    return f"p = {p:.{2 if p >= 0.1 else 3}f}".replace("0.", ".")
