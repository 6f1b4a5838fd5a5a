"""What an experiment has found before anything is concluded from it: answers for every lesion, and what was measured beside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from lesionlabel.experiment.plan import Plan, Point, Schedule
from lesionlabel.lesions.cohort import Cohort

FloatArray = NDArray[np.float64]


class Size(NamedTuple):
    """How many images a network was trained on and how long, means over seeds and folds."""

    images: float
    steps: float
    epochs: float


@dataclass(frozen=True, eq=False)
class FoldGenerators:
    """The generators of one network in one fold of one seed.

    patients: pseudonyms of all whom they have seen. samples: (n, 64, 64) in [0, 1] of each class. quality, memorisation: reports
    by class, membership: one, as `evaluation.generator_report` gives them; None where they were not measured. diversity: of each
    class, as a share of the real ROIs', after the last step.
    """

    network: str
    seed: int
    fold: int
    patients: tuple[str, ...]
    samples: Mapping[str, NDArray[np.float32]]
    seconds: float
    diversity: Mapping[str, float]
    quality: Mapping[str, Any] | None = None
    memorisation: Mapping[str, Any] | None = None
    membership: Mapping[str, Any] | None = None


@dataclass(frozen=True, eq=False)
class Outcomes:
    """Answers of every training set to lesions that it had not seen.

    folds: (seeds, lesions) the fold that each lesion was tested in. logits: (seeds, lesions, classes) by schedule and point; of
    NOT_TRAINED arms they are under "steps" only and hold logarithms of probabilities. fresh: accuracy on fresh phantom lesions,
    (seeds, folds), where there are such. features: (lesions, 256) of the last layer but one, under "steps" in the first seed,
    for two points. sizes: of what trained, by schedule and point, none for NOT_TRAINED arms. tested: (lesions,) those that every
    figure rests on, as headline_lesions gives them. decided_blind: (lesions,) those decided without sight of the model's answer,
    of which tested may leave out some whose proof is weak. seconds: by part of the work, summed over processes.
    warnings: what a reader should know of the cohort.
    """

    cohort: Cohort
    plan: Plan
    folds: NDArray[np.int64]
    logits: Mapping[tuple[Schedule, Point], FloatArray]
    fresh: Mapping[tuple[Schedule, Point], FloatArray]
    features: Mapping[Point, FloatArray]
    sizes: Mapping[tuple[Schedule, Point], Size]
    generators: Sequence[FoldGenerators]
    tested: NDArray[np.bool_]
    decided_blind: NDArray[np.bool_]
    seconds: Mapping[str, float]
    wall_seconds: float
    warnings: tuple[str, ...] = field(default=())

    @property
    def opinion_only(self) -> bool:
        """Whether the tested lesions have no proof but readers' opinion."""
        return not any(lesion.proof.is_strong for lesion, counts in zip(self.cohort, self.tested, strict=True) if counts)
