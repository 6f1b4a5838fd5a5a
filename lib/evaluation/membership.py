"""Does a synthetic set tell which lesions its generator was trained on?

Training lesions that lie nearer to the synthetic set than held-out lesions do betray who was in the training. An interval that
covers .5 shows no leak by this one attack; it does not show that the generator is private.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from lesionlabel.evaluation.copies import FloatArray
from lesionlabel.evaluation.crossval import is_simulated
from lesionlabel.evaluation.metrics import Interval, lesion_weights, over_patients
from lesionlabel.evaluation.orbit import orbit_distances
from lesionlabel.evaluation.report import PHANTOM_SENTENCE
from lesionlabel.lesions.cohort import Cohort
from lesionlabel.lesions.errors import InputError
from lesionlabel.lesions.splits import refuse_leak
from lesionlabel.training.hooks import Progress, ShouldStop, never_stop, no_progress, part_of


@dataclass(frozen=True)
class Membership:
    """auc: chance that a training lesion lies nearer to the synthetic set than a held-out one, over lesions of one set. sets: of
    synthetic ROIs.
    """

    auc: Interval
    sets: int
    patients: int
    simulated: bool

    @property
    def leaks(self) -> bool:
        """Only a lower bound above .5, as it is printed, counts against a generator."""
        return round(self.auc.low, 4) > 0.5

    def to_json(self) -> dict[str, Any]:
        return {
            "auc": self.auc.to_json(),
            "sets": self.sets,
            "patients": self.patients,
            "leaks": self.leaks,
            "simulated": self.simulated,
        }

    def to_markdown(self) -> str:
        """One paragraph for a card."""
        verdict = (
            "Training lesions lie nearer to the synthetic ROIs than held-out ones do: the set tells who was in the training."
            if self.leaks
            else "No leak shown by this attack, which does not mean private."
        )
        text = (
            f"Membership AUC {self.auc.plain()} (95 % interval over {self.patients} patients; {self.sets} synthetic set(s); "
            f".5 is chance). {verdict}"
        )
        return f"{text} {PHANTOM_SENTENCE}\n" if self.simulated else f"{text}\n"


def membership_auc(
    pairs: Sequence[tuple[Tensor, Cohort, Cohort]],
    seed: int,
    *,
    progress: Progress = no_progress,
    should_stop: ShouldStop = never_stop,
) -> Membership:
    """The membership AUC of one or more synthetic sets, each with its generator's training lesions and lesions held out of it.

    pairs: of each fold and class (rois (n, 1, 64, 64) float32 in [0, 1], training, held out). A lesion's score is the distance of
    its nearest ROI, as in `orbit`; lesions are compared within a set only, since sets differ in how near they come to any lesion,
    and the comparisons of all sets are pooled. The seed draws the patients behind the interval; a patient with more than 5
    lesions weighs as 5. Raises InputError when a side is empty, LeakError when a patient is on both, StoppedError.
    """
    if not pairs or not all(len(training) and len(held_out) for _, training, held_out in pairs):
        raise InputError("The membership AUC needs a synthetic set, and of each set training and held-out lesions of its class.")
    for _, training, held_out in pairs:
        refuse_leak(training.patients, held_out.patients)
    everyone = {lesion.lesion_id: lesion for _, *sides in pairs for side in sides for lesion in side}
    position = {lesion_id: i for i, lesion_id in enumerate(everyone)}
    compared = []
    for number, (rois, training, held_out) in enumerate(pairs):
        both = Cohort((*training.lesions, *held_out.lesions), training.class_names)
        part = part_of(progress, number / len(pairs), (number + 1) / len(pairs), f"set {number + 1} of {len(pairs)}")
        score = orbit_distances(rois, both, progress=part, should_stop=should_stop).min(axis=0)
        inside, outside = score[: len(training), None], score[None, len(training) :]
        nearer = (inside < outside) + 0.5 * (inside == outside)
        index = np.array([position[lesion.lesion_id] for lesion in both])
        compared.append((index[: len(training)], index[len(training) :], nearer))

    def auc(weights: FloatArray) -> FloatArray:
        won, played = np.zeros(len(weights)), np.zeros(len(weights))
        for inside, outside, nearer in compared:
            won += ((weights[:, inside] @ nearer) * weights[:, outside]).sum(axis=1)
            played += weights[:, inside].sum(axis=1) * weights[:, outside].sum(axis=1)
        # A resample without either side says nothing.
        return np.divide(won, played, out=np.full(len(weights), 0.5), where=played > 0)

    patients = [lesion.patient for lesion in everyone.values()]
    interval = over_patients(auc, patients, lesion_weights(patients), np.random.default_rng(seed))
    simulated = is_simulated(Cohort(tuple(everyone.values()), pairs[0][1].class_names))
    return Membership(interval, len(pairs), len(set(patients)), simulated)
