"""Has a generator memorised the lesions it was trained on? Fit, unfit, or cannot be tested: never simply passed.

One class at a time. The distance is that of `orbit`, the signs those of `copies`, the baseline that of `held_out`, and
`memorisation_controls` tells whether the check can find copies of this class at all: smooth lesions have little to copy.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from lesionlabel.evaluation.copies import ALLOWED_EXCESS, EXPECTED, Nearest, Signs, find_nearest, look_for_copies
from lesionlabel.evaluation.crossval import is_simulated
from lesionlabel.evaluation.held_out import Baseline, the_class
from lesionlabel.evaluation.memorisation_controls import LEAST_FOUND, MOST_ALARMS, PLANTED, Controls, run_controls
from lesionlabel.evaluation.orbit import orbit_distances
from lesionlabel.evaluation.outcome import Outcome
from lesionlabel.evaluation.report import PHANTOM_SENTENCE
from lesionlabel.lesions.cohort import Cohort
from lesionlabel.lesions.errors import InputError
from lesionlabel.training.hooks import Progress, ShouldStop, never_stop, no_progress, part_of
from lesionlabel.training.images import require_images

#: Held-out lesions, pooled over folds, and synthetic ROIs below which there is no verdict.
LEAST_LESIONS = 50
LEAST_ROIS = 50


@dataclass(frozen=True, eq=False)
class Memorisation:
    """The check of one class. reason: why that outcome, in words.

    nearest: ratio and training lesion (index) of each synthetic ROI. signs: None where training lesions or baseline have too few
    patients for a ratio. controls: None where the baseline is too small for any.
    """

    label: str
    outcome: Outcome
    reason: str
    simulated: bool
    lesion_ids: tuple[str, ...]
    patients: int
    nearest: Nearest
    signs: Signs | None
    baseline: Baseline
    controls: Controls | None

    def to_json(self) -> dict[str, Any]:
        signs = self.signs
        return {
            "label": self.label,
            "outcome": str(self.outcome),
            "reason": self.reason,
            "simulated": self.simulated,
            "synthetic_rois": len(self.nearest.ratios),
            "training_lesions": len(self.lesion_ids),
            "training_patients": self.patients,
            "copy_rate": None if signs is None else round(signs.copy_rate, 4),
            "excess_lower_bound": None if signs is None else round(signs.lower - EXPECTED, 4),
            "most_attracting": None
            if signs is None
            else {
                "lesion_id": self.lesion_ids[signs.lesion],
                "share": round(signs.share, 4),
                "limit": round(signs.limit, 4),
            },
            "baseline": self.baseline.to_json(),
            "controls": None if self.controls is None else self.controls.to_json(),
        }

    def to_markdown(self) -> str:
        """The outcome with its reason, the figures behind it, and the controls, for a card."""
        parts = [f"**Memorisation, {self.label}: {self.outcome}.** {self.reason}"]
        if self.signs is not None and self.baseline.threshold is not None:
            parts.append(_figures_text(self, self.signs, self.baseline.threshold.plain()))
        if self.controls is not None:
            parts.append(self.controls.to_markdown())
        if self.simulated:
            parts.append(PHANTOM_SENTENCE)
        return "\n\n".join(parts) + "\n"


def check_memorisation(
    synthetic: Tensor,
    training: Cohort,
    baseline: Baseline,
    seed: int,
    repeats: int = 100,
    *,
    progress: Progress = no_progress,
    should_stop: ShouldStop = never_stop,
) -> Memorisation:
    """Whether synthetic ROIs of one class copy the lesions of that class that their generator was trained on.

    synthetic: (n, 1, 64, 64) float32 in [0, 1]. training: those lesions. baseline: of the same class. The seed draws resamples
    and controls, of which there are so many repeats. Raises InputError for other images or several classes, StoppedError.
    """
    require_images(synthetic)
    _check_class(training, baseline, repeats)
    comparing, controlling = part_of(progress, 0.0, 0.8), part_of(progress, 0.8, 1.0)
    distances = orbit_distances(synthetic, training, progress=comparing, should_stop=should_stop)
    nearest = find_nearest(distances, training.patients)
    return check_nearest(nearest, training, baseline, seed, repeats, progress=controlling, should_stop=should_stop)


def check_nearest(
    nearest: Nearest,
    training: Cohort,
    baseline: Baseline,
    seed: int,
    repeats: int = 100,
    *,
    progress: Progress = no_progress,
    should_stop: ShouldStop = never_stop,
) -> Memorisation:
    """check_memorisation where the nearest training lesion of each synthetic ROI is known already."""
    label = _check_class(training, baseline, repeats)
    patients = len(set(training.patients))
    signs = None
    if patients > 1 and baseline.threshold is not None:
        rng = np.random.default_rng([seed, 0])
        signs = look_for_copies(nearest, baseline.threshold.value, baseline.limits(training), rng)
    reason = _too_little(len(nearest.ratios), patients, baseline)
    if signs is None or reason:
        outcome, controls = Outcome.CANNOT_BE_TESTED, None
        if signs is not None and signs.unfit:
            # Too little to call a generator fit is enough to keep one out.
            outcome, reason = Outcome.UNFIT, f"On what little there is, the ROIs copy. {reason}"
    else:
        size = len(nearest.ratios)
        controls = run_controls(baseline, size, repeats, seed, progress=progress, should_stop=should_stop)
        outcome, reason = _judge(signs, controls)
    return Memorisation(
        label=label,
        outcome=outcome,
        reason=reason,
        simulated=baseline.simulated or is_simulated(training),
        lesion_ids=tuple(lesion.lesion_id for lesion in training),
        patients=patients,
        nearest=nearest,
        signs=signs,
        baseline=baseline,
        controls=controls,
    )


def _check_class(training: Cohort, baseline: Baseline, repeats: int) -> str:
    """The class that is checked."""
    label = the_class(training)
    if label != baseline.label or repeats < 1:
        raise InputError(
            f"Training lesions of class {label!r} need a baseline of the same class and at least 1 repeat of the controls, "
            f"got {baseline.label!r} and {repeats}."
        )
    return label


def _too_little(n_rois: int, patients: int, baseline: Baseline) -> str:
    """Why there can be no verdict whatever the ROIs show, or nothing."""
    if patients < 2:
        return "All training lesions are of one patient, and a copy is told by being nearer to one patient than to any other."
    if baseline.n_lesions < LEAST_LESIONS:
        return f"The threshold would rest on {baseline.n_lesions} held-out lesions; at least {LEAST_LESIONS} are needed."
    if n_rois < LEAST_ROIS:
        return f"There are {n_rois} synthetic ROIs; at least {LEAST_ROIS} are needed."
    return ""


def _judge(signs: Signs, controls: Controls) -> tuple[Outcome, str]:
    """The outcome and its reason. What is found counts even where the check often finds nothing."""
    found = []
    if signs.copies:
        found.append(
            f"{_percent(signs.copy_rate)} of its ROIs are as near to one training patient as only {_percent(EXPECTED)} of "
            f"held-out real lesions are; even the lower bound exceeds that by more than {100 * ALLOWED_EXCESS:.0f} points."
        )
    if signs.one_attracts:
        found.append(
            f"{_percent(signs.share)} of its ROIs are nearest to one training lesion; {_percent(signs.limit)} are allowed."
        )
    alarming = (
        f"The check called {_percent(controls.alarms)} of sets of held-out real lesions unfit, more than {_percent(MOST_ALARMS)}."
    )
    if found:
        return Outcome.UNFIT, " ".join(found if controls.few_alarms else [*found, alarming])
    if not controls.few_alarms:
        return Outcome.CANNOT_BE_TESTED, alarming
    power = f"{_percent(controls.found[-1])} of sets with {_percent(PLANTED[-1])} planted copies"
    if not controls.enough_found:
        return (
            Outcome.CANNOT_BE_TESTED,
            f"The check found only {power}, fewer than {_percent(LEAST_FOUND)}: no sign means nothing.",
        )
    return (
        Outcome.FIT,
        f"No sign of copying, in a check that found {power}. Fewer copies, or copies of one "
        "lesion alone, can go unseen, and fit is not private.",
    )


def _figures_text(check: Memorisation, signs: Signs, threshold: str) -> str:
    baseline = check.baseline
    return (
        f"{len(check.nearest.ratios)} synthetic ROIs against {len(check.lesion_ids)} training lesions of {check.patients} "
        f"patients. Below the threshold {threshold} (distance to the nearest over that to the nearest of another patient; the "
        f"5th percentile of {baseline.n_lesions} held-out real lesions): {_percent(signs.copy_rate)}; lower 95 % bound of the "
        f"excess over {_percent(EXPECTED)}: {100 * (signs.lower - EXPECTED):+.1f} points, {100 * ALLOWED_EXCESS:.0f} allowed. "
        f"Nearest to one lesion: at most {_percent(signs.share)}, {_percent(signs.limit)} allowed, three times its share of "
        "held-out lesions (at that share's upper 95 % bound, because most lesions get none by chance)."
    )


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"
