"""The gate: whether a candidate may take the champion's place. Pass, fail, or not enough evidence, by rules fixed beforehand.

Regime A, at least 100 locked lesions of every class: each class is shown to lose less than the margin. Regime B, at least 30: the
mean over classes is, and no class loses the margin. Regime C, any class below 30 or no locked lesion: nothing passes on its own.
Everywhere a candidate fails that is shown to be worse, or that calls more malignant lesions benign.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax

from lesionlabel.evaluation.metrics import draw_patients, lesion_weights
from lesionlabel.evaluation.noninferiority import MARGIN, MarginTest, against_margin, pair, planned_power
from lesionlabel.lesions.classes import ClassList
from lesionlabel.lesions.cohort import BIASED, Cohort

FloatArray = NDArray[np.float64]

#: One-sided, of everything that is shown in one look at new lesions; the k-th look at the same ones has ALPHA / 2^k.
ALPHA = 0.05
#: Locked lesions of every class that regimes A and B need.
LEAST_A, LEAST_B = 100, 30
RESAMPLES = 2000

Regime = Literal["A", "B", "C"]
#: On what the two were compared: locked lesions, with the weights that would serve; or out-of-fold answers, with recipes.
Evidence = Literal["locked", "recipes"]


class GateOutcome(StrEnum):
    """What the gate says of a candidate."""

    PASS = "pass"
    FAIL = "fail"
    NOT_ENOUGH = "not enough evidence"


@dataclass(frozen=True)
class Swap:
    """A lesion that only one side had right, or that only the candidate called benign."""

    lesion_id: str
    patient: str
    label: str
    candidate: str
    champion: str


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What was decided of a candidate, and on what.

    look: which look at these lesions it was, from 1. alpha: one-sided, of this look. powers: of the test on each class, and
    "all" of the one on their mean, for two equal classifiers of the usual discordance, by the numbers of lesions alone.
    classes, mean: candidate against champion. log_loss: candidate less champion with its one-sided bounds. harmed: malignant
    lesions that the candidate calls benign and the champion does not. without_harm: the outcome if a reader accepts each of them.
    dropped: as in Cohort; with any, nothing is promoted automatically.
    """

    candidate: str
    champion: str
    snapshot: str
    evidence: Evidence
    regime: Regime
    look: int
    alpha: float
    lesions: dict[str, int]
    patients: int
    powers: dict[str, float]
    classes: dict[str, MarginTest]
    mean: MarginTest
    log_loss: tuple[float, float, float]
    outcome: GateOutcome
    without_harm: GateOutcome
    reasons: tuple[str, ...]
    won: tuple[Swap, ...]
    lost: tuple[Swap, ...]
    harmed: tuple[Swap, ...]
    spared: int
    simulated: bool
    time: str = field(default="")
    dropped: int = 0

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> Decision:
        """Read what to_json wrote. Raises KeyError, TypeError or ValueError when it is not complete."""
        swaps = {name: tuple(Swap(**one) for one in content[name]) for name in ("won", "lost", "harmed")}
        return cls(
            **{
                **content,
                **swaps,
                "classes": {name: MarginTest(**one) for name, one in content["classes"].items()},
                "mean": MarginTest(**content["mean"]),
                "log_loss": tuple(content["log_loss"]),
                "reasons": tuple(content["reasons"]),
                "outcome": GateOutcome(content["outcome"]),
                "without_harm": GateOutcome(content["without_harm"]),
            }
        )


@dataclass(frozen=True, eq=False)
class Sides:
    """The tested lesions, and logits (n, classes) of both sides, each already divided by its temperature."""

    lesions: Cohort
    candidate: FloatArray
    champion: FloatArray


def regime_of(evidence: Evidence, counts: Sequence[int]) -> Regime:
    """The regime for so many tested lesions of each class."""
    least = min(counts, default=0)
    if evidence != "locked" or least < LEAST_B:
        return "C"
    return "A" if least >= LEAST_A else "B"


def decide(
    sides: Sides,
    classes: ClassList,
    evidence: Evidence,
    look: int,
    *,
    candidate: str,
    champion: str,
    snapshot: str,
    simulated: bool,
) -> Decision:
    """Compare the two sides and say what follows. look: from 1; each halves what may be called shown."""
    lesions, labels, patients = sides.lesions, sides.lesions.labels, np.asarray(sides.lesions.patients)
    alpha = ALPHA / 2**look
    theirs = [sides.candidate.argmax(axis=1), sides.champion.argmax(axis=1)]
    right = [answers == labels for answers in theirs]
    of_class = [labels == index for index in range(len(classes))]
    pairs = [pair(right[0][here], right[1][here], patients[here].tolist()) for here in of_class]
    by_class = {name: against_margin([one], alpha) for name, one in zip(classes.names, pairs, strict=True)}
    mean = against_margin(pairs, alpha)
    counts = {name: int(here.sum()) for name, here in zip(classes.names, of_class, strict=True)}
    regime = regime_of(evidence, list(counts.values()))
    log_loss = _log_loss(sides, alpha)
    benign = [np.isin(answers, classes.benign_indices()) & np.isin(labels, classes.malignant_indices()) for answers in theirs]

    def swaps(which: NDArray[np.bool_]) -> tuple[Swap, ...]:
        names = classes.names
        return tuple(
            Swap(x.lesion_id, x.patient, x.label, names[int(theirs[0][i])], names[int(theirs[1][i])])
            for i, x in ((i, lesions.lesions[i]) for i in np.flatnonzero(which))
        )

    harmed, spared = benign[0] & ~benign[1], int((benign[1] & ~benign[0]).sum())
    without_harm, reasons = _judge(by_class, mean, log_loss, regime, alpha, evidence)
    outcome = without_harm
    if harmed.sum() > spared:
        outcome = GateOutcome.FAIL
        reasons.insert(
            0, f"It calls {int(harmed.sum())} malignant lesion(s) benign that the champion does not, and spares {spared}."
        )
    if lesions.dropped:
        reasons.append(f"{lesions.dropped} lesion(s) that were decided blind count no more since an answer was seen. {BIASED}")
    return Decision(
        candidate=candidate,
        champion=champion,
        snapshot=snapshot,
        evidence=evidence,
        regime=regime,
        look=look,
        alpha=alpha,
        lesions=counts,
        patients=len(set(patients.tolist())),
        powers={name: planned_power([n], alpha) for name, n in counts.items()}
        | {"all": planned_power(list(counts.values()), alpha)},
        classes=by_class,
        mean=mean,
        log_loss=log_loss,
        outcome=outcome,
        without_harm=without_harm,
        reasons=tuple(reasons),
        won=swaps(right[0] & ~right[1]),
        lost=swaps(right[1] & ~right[0]),
        harmed=swaps(harmed),
        spared=spared,
        simulated=simulated,
        dropped=lesions.dropped,
    )


def _judge(
    by_class: dict[str, MarginTest],
    mean: MarginTest,
    log_loss: tuple[float, float, float],
    regime: Regime,
    alpha: float,
    evidence: Evidence,
) -> tuple[GateOutcome, list[str]]:
    """The outcome but for the veto on malignant lesions called benign, with its reasons."""
    points = {name: f"{100 * one.difference:+.1f} points" for name, one in by_class.items()}
    # Any class may bring a failure, so each has its share of what a look may get wrong.
    worse = [
        f"{name} is shown to be worse ({points[name]})" for name, one in by_class.items() if one.p_worse < alpha / len(by_class)
    ]
    if mean.p_worse < alpha:
        worse.append(f"the mean sensitivity is shown to be worse ({100 * mean.difference:+.1f} points)")
    if log_loss[1] > 0:
        worse.append(f"its log loss is shown to be higher ({log_loss[0]:+.3f})")
    if regime == "B":
        worse += [f"{name} loses the margin ({points[name]})" for name, one in by_class.items() if one.difference <= -MARGIN]
    if worse:
        return GateOutcome.FAIL, [f"{one[0].upper()}{one[1:]}." for one in worse]
    if regime == "C":
        why = (
            "no locked lesions can be set apart yet"
            if evidence == "recipes"
            else f"fewer than {LEAST_B} locked lesions of a class"
        )
        return GateOutcome.NOT_ENOUGH, [
            f"Regime C, {why}: an administrator and a reader decide, after seeing every lesion below."
        ]
    if regime == "B":
        if mean.p_not_worse < alpha:
            return GateOutcome.PASS, [f"The mean sensitivity is shown to lose less than {100 * MARGIN:.0f} points."]
        return GateOutcome.NOT_ENOUGH, [f"It is not shown that the mean sensitivity loses less than {100 * MARGIN:.0f} points."]
    open_ = [name for name, one in by_class.items() if one.p_not_worse >= alpha]
    if not open_:
        return GateOutcome.PASS, [f"Every class is shown to lose less than {100 * MARGIN:.0f} points."]
    return GateOutcome.NOT_ENOUGH, [f"It is not shown that {', '.join(open_)} loses less than {100 * MARGIN:.0f} points."]


def _log_loss(sides: Sides, alpha: float) -> tuple[float, float, float]:
    """Mean log loss of the candidate less the champion's, with one-sided bounds over patients drawn with replacement."""
    rows, labels, patients = np.arange(len(sides.lesions)), sides.lesions.labels, sides.lesions.patients
    loss = [-log_softmax(logits, axis=1)[rows, labels] for logits in (sides.candidate, sides.champion)]
    weights, difference = lesion_weights(patients), loss[0] - loss[1]
    drawn = weights * draw_patients(patients, RESAMPLES, np.random.default_rng(0))
    low, high = np.quantile(drawn @ difference / drawn.sum(axis=1), [alpha, 1 - alpha])
    return float(weights @ difference / weights.sum()), float(low), float(high)
