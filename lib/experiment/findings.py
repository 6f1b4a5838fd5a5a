"""What is concluded from an experiment's outcomes: figures of every training set, comparisons, and the verdict."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lesionlabel.evaluation.metrics import Interval
from lesionlabel.experiment.plan import Point, Schedule


@dataclass(frozen=True, eq=False)
class PointFigures:
    """Figures of one training set, means over seeds; intervals over patients, seeds resampled inside.

    of_seeds: accuracy of each seed. sensitivity, specificity, auc: by class, None where no tested lesion bears on it; auc of one
    class against the rest. macro_sensitivity: mean over classes. confusion: (true, predicted), weighted lesions, mean over seeds.
    slope: of the calibration, 1 is best, below 1 too sure, None where it cannot be fitted. fresh: accuracy on fresh phantom
    lesions, over seeds and folds. right: (seeds, tested lesions).
    """

    schedule: Schedule
    point: Point
    accuracy: Interval
    of_seeds: tuple[float, ...]
    sensitivity: tuple[Interval | None, ...]
    specificity: tuple[Interval | None, ...]
    macro_sensitivity: Interval
    auc: tuple[Interval | None, ...]
    malignant_called_benign: Interval | None
    confusion: NDArray[np.float64]
    log_loss: Interval
    brier: Interval
    slope: float | None
    fresh: Interval | None
    right: NDArray[np.bool_]


@dataclass(frozen=True)
class Comparison:
    """One training set against another, on the same lesions, seeds and folds.

    difference: accuracy of the first less that of the second. p: two-sided sign-flip permutation over patients. p_holm: corrected
    over all secondary comparisons, None for the primary. won, lost: lesions that only the first or only the second has right by
    the seeds' majority vote, mcnemar: the exact test of those. discordance: mean share of lesions on which the two differ.
    detectable: the smallest difference that this sample would have shown with a power of 80 %.
    """

    schedule: Schedule
    first: Point
    second: Point
    difference: Interval
    p: float
    p_holm: float | None
    won: int
    lost: int
    mcnemar: float
    discordance: float
    detectable: float


@dataclass(frozen=True, eq=False)
class Findings:
    """figures: of every schedule and point. primary: None where one of its arms was not run.

    with_weaker_proof: the primary comparison on all lesions decided blind; None where everything rests on these.
    chosen_as_in_the_paper: of the classic and the DCGAN arm, the point with the best reported accuracy, which is optimistic.
    verdict: one plain sentence that follows from the primary comparison.
    """

    figures: tuple[PointFigures, ...]
    primary: Comparison | None
    with_weaker_proof: Comparison | None
    secondary: tuple[Comparison, ...]
    chosen_as_in_the_paper: tuple[Point, ...]
    verdict: str
