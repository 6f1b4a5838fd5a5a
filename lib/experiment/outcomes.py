"""What an experiment has found before anything is concluded from it: answers for every lesion, and what was measured beside."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lesionlabel.experiment.plan import Plan, Point, Schedule
from lesionlabel.lesions.cohort import Cohort

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class FoldGenerators:
    """The generators of one network in one fold of one seed.

    patients: pseudonyms of all whom they have seen. samples: (n, 64, 64) in [0, 1] of each class. quality, memorisation: reports
    by class, membership, learned: one each, as `evaluation.generator_report` gives them; None where they were not measured.
    """

    network: str
    seed: int
    fold: int
    patients: tuple[str, ...]
    samples: Mapping[str, NDArray[np.float32]]
    seconds: float
    quality: Mapping[str, Any] | None = None
    memorisation: Mapping[str, Any] | None = None
    membership: Mapping[str, Any] | None = None


@dataclass(frozen=True, eq=False)
class Outcomes:
    """Answers of every training set to lesions that it had not seen.

    folds: (seeds, lesions) the fold that each lesion was tested in. logits: (seeds, lesions, classes) by schedule and point; of
    NOT_TRAINED arms they are under "steps" only and hold logarithms of probabilities. fresh: accuracy on fresh phantom lesions,
    (seeds, folds), where the cohort is simulated. features: (lesions, 256) of the last layer but one, under "steps" in the first
    seed, for two points. tested: (lesions,) those decided without sight of the model's answer; no other counts in a figure.
    seconds: by part of the work, summed over processes. warnings: what a reader should know of the cohort.
    """

    cohort: Cohort
    plan: Plan
    folds: NDArray[np.int64]
    logits: Mapping[tuple[Schedule, Point], FloatArray]
    fresh: Mapping[tuple[Schedule, Point], FloatArray]
    features: Mapping[Point, FloatArray]
    generators: Sequence[FoldGenerators]
    tested: NDArray[np.bool_]
    seconds: Mapping[str, float]
    wall_seconds: float
    warnings: tuple[str, ...] = field(default=())
