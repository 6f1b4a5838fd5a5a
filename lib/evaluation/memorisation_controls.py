"""Does the memorisation check work for a class? It is tried on real lesions, with no copies and with known shares of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from lesionlabel.evaluation.copies import IntArray, Nearest, expect, find_nearest, look_for_copies
from lesionlabel.evaluation.held_out import Baseline, hold_out
from lesionlabel.lesions.splits import patient_folds
from lesionlabel.training.hooks import Progress, ShouldStop, StoppedError, never_stop, no_progress

#: Shares of copies that are planted.
PLANTED = (0.05, 0.1, 0.2)
#: Of the largest planted share's mixtures, how many must be found; of sets without copies, how many may be called unfit.
LEAST_FOUND = 0.8
MOST_ALARMS = 0.05
#: ROIs in a mixture at most: more would repeat the planted copies of a small class.
LARGEST_MIXTURE = 500


@dataclass(frozen=True)
class Controls:
    """How often the check called a set unfit, in so many repeats with size ROIs each.

    alarms: of held-out real lesions without copies. found: with each share of PLANTED as copies of any training lesions.
    found_one: with the largest of these as copies of a single lesion.
    """

    repeats: int
    size: int
    alarms: float
    found: tuple[float, ...]
    found_one: float

    @property
    def enough_found(self) -> bool:
        return self.found[-1] >= LEAST_FOUND

    @property
    def few_alarms(self) -> bool:
        return self.alarms <= MOST_ALARMS

    def to_json(self) -> dict[str, Any]:
        return {
            "repeats": self.repeats,
            "size": self.size,
            "held_out_alarms": round(self.alarms, 4),
            "planted_found": {f"{share:.0%}": round(found, 4) for share, found in zip(PLANTED, self.found, strict=True)},
            "one_lesion_planted_found": {f"{PLANTED[-1]:.0%}": round(self.found_one, 4)},
        }

    def to_markdown(self) -> str:
        """One paragraph."""
        found = ", ".join(f"{100 * f:.0f} % at {100 * share:.0f} %" for share, f in zip(PLANTED, self.found, strict=True))
        return (
            f"Controls, {self.repeats} repeats with {self.size} ROIs each: sets of held-out real lesions were called unfit in "
            f"{100 * self.alarms:.0f} %; with planted copies of training lesions in {found}; where all were of one lesion, in "
            f"{100 * self.found_one:.0f} % at {100 * PLANTED[-1]:.0f} %."
        )


def run_controls(
    baseline: Baseline,
    size: int,
    repeats: int,
    seed: int,
    *,
    progress: Progress = no_progress,
    should_stop: ShouldStop = never_stop,
) -> Controls:
    """The whole check on sets of size ROIs, at most LARGEST_MIXTURE, made of a baseline's lesions.

    Each repeat draws new folds of the patients. The lesions of the first are the set, against the lesions of the others;
    threshold and limits come from the lesions of the others, each held out of its own fold's training, so no lesion judges
    itself.
    Raises InputError when there are fewer patients than folds, StoppedError.
    """
    size = min(size, LARGEST_MIXTURE)
    unfit = []
    for repeat in range(repeats):
        if should_stop():
            raise StoppedError(f"The controls were stopped after {repeat} of {repeats} repeats.")
        progress(repeat / repeats, f"controls, repeat {repeat + 1} of {repeats}")
        unfit.append(_repeat(baseline, size, np.random.default_rng([seed, repeat])))
    alarms, *found, found_one = (float(rate) for rate in np.mean(unfit, axis=0))
    return Controls(repeats, size, alarms, tuple(found), found_one)


def _repeat(baseline: Baseline, size: int, rng: np.random.Generator) -> list[bool]:
    """Which sets are called unfit: without copies, with each share of PLANTED, with the last as copies of one lesion."""
    patients = np.asarray(baseline.patients)
    n_folds = len(set(baseline.folds.tolist()))
    folds = patient_folds(np.zeros(len(patients), dtype=np.int64), baseline.patients, n_folds, rng)
    tested = folds == 0
    training = np.flatnonzero(~tested)
    nearest = hold_out(baseline.distances, baseline.patients, folds)
    expected = expect(nearest, folds, ~tested)
    real = Nearest(nearest.ratios[tested].ravel(), nearest.lesions[tested].ravel())

    def copies_of(lesions: IntArray) -> Nearest:
        planted = baseline.planted[lesions][:, :, training].reshape(-1, len(training))
        found = find_nearest(planted, patients[training].tolist())
        return Nearest(found.ratios, training[found.lesions])

    def called_unfit(copies: Nearest, share: float) -> bool:
        mixture = _mix(real, copies, round(share * size), size, rng)
        return look_for_copies(mixture, expected.threshold, expected.limits, rng).unfit

    every, one = copies_of(training), copies_of(rng.choice(training, size=1))
    return [called_unfit(every, share) for share in (0.0, *PLANTED)] + [called_unfit(one, PLANTED[-1])]


def _mix(real: Nearest, copies: Nearest, n_copies: int, size: int, rng: np.random.Generator) -> Nearest:
    """size ROIs, n_copies of them copies. Each is drawn as often as any other of its kind, give or take one."""
    planted = np.resize(rng.permutation(len(copies.ratios)), n_copies)
    rest = np.resize(rng.permutation(len(real.ratios)), size - n_copies)
    return Nearest(
        np.concatenate([copies.ratios[planted], real.ratios[rest]]), np.concatenate([copies.lesions[planted], real.lesions[rest]])
    )
