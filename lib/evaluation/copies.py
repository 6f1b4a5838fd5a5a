"""Two signs that ROIs copy the lesions a generator was trained on: too many are too near, or one lesion is nearest too often.

A picture can be near to a lesion because such lesions are common. So what counts is how much nearer its nearest lesion is than
the nearest lesion of any other patient: a copy is near to one patient alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from statsmodels.stats.proportion import proportion_confint

from lesionlabel.evaluation.metrics import RESAMPLES

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

#: Share of held-out real lesions that lie below the threshold, by its definition.
EXPECTED = 0.05
#: How far the lower bound of the copy rate may exceed that.
ALLOWED_EXCESS = 0.05
#: How many times its share among held-out lesions a training lesion may attract.
ATTRACTION = 3.0


class Nearest(NamedTuple):
    """Which lesion each ROI is nearest to. lesions: (n,) its index.

    ratios: (n,) its distance over that of the nearest lesion of another patient, in [0, 1]; NaN where there is one patient only.
    """

    ratios: FloatArray
    lesions: IntArray


class Expected(NamedTuple):
    """What held-out real lesions show. threshold: the 5th percentile of their ratios, NaN where there is none.

    limits: (lesions,) the share of ROIs that each training lesion may be nearest to. largest_share: the largest share of
    held-out lesions that any lesion is nearest to.
    """

    threshold: float
    limits: FloatArray
    largest_share: float


@dataclass(frozen=True)
class Signs:
    """What a set of ROIs shows.

    copy_rate: share with a ratio below the threshold. lower: its one-sided 95 % lower bound. lesion: the index of the training
    lesion that comes nearest to its limit or exceeds it most. share: of the ROIs nearest to it. limit: what it may have.
    """

    copy_rate: float
    lower: float
    lesion: int
    share: float
    limit: float

    @property
    def copies(self) -> bool:
        return self.lower - EXPECTED > ALLOWED_EXCESS

    @property
    def one_attracts(self) -> bool:
        return self.share > self.limit

    @property
    def unfit(self) -> bool:
        return self.copies or self.one_attracts


def find_nearest(distances: NDArray[np.floating], patients: Sequence[str]) -> Nearest:
    """The nearest lesion of each ROI. distances: (n, lesions). patients: of each lesion; a patient is no rival to itself."""
    _, owner = np.unique(np.asarray(patients), return_inverse=True)
    lesions = distances.argmin(axis=1)
    others = np.where(owner == owner[lesions][:, None], np.inf, distances).min(axis=1)
    ratios = distances.min(axis=1) / np.maximum(others, np.finfo(np.float32).tiny)
    return Nearest(np.where(np.isfinite(others), ratios, np.nan).astype(np.float64), lesions)


def fifth_percentile(ratios: FloatArray) -> float:
    """The threshold: NaN, below which nothing lies, where no ratio is known."""
    known = ratios[np.isfinite(ratios)]
    return float(np.percentile(known, 100 * EXPECTED)) if known.size else math.nan


def expect(nearest: Nearest, folds: IntArray, among: NDArray[np.bool_]) -> Expected:
    """What the lesions among, each held out of its fold's training, lead to expect of others.

    nearest: ratios and lesions (lesions, draws), of draws of each lesion against the lesions outside its fold. folds, among:
    (lesions,). A lesion's share is that of the held-out lesions that it was in training for. Of 20 to 40 held-out lesions most
    training lesions get none, by chance; three times nothing would forbid them the first hit. So a lesion's own share is
    taken at its upper 95 % Wilson bound, but never above the largest share that any lesion was seen to get.
    """
    in_training = (folds[None, :] != folds[:, None]) & among[:, None]
    hits = (nearest.lesions[:, :, None] == np.arange(len(folds))).mean(axis=1)
    could, did = in_training.sum(axis=0), (hits * in_training).sum(axis=0)
    tried = could > 0
    largest = float((did[tried] / could[tried]).max(initial=0.0))
    upper = np.full(len(folds), largest)
    # 90 % on both sides is 95 % on the upper.
    upper[tried] = np.minimum(largest, proportion_confint(did[tried], could[tried], alpha=0.1, method="wilson")[1])
    return Expected(fifth_percentile(nearest.ratios[among]), ATTRACTION * upper, largest)


def look_for_copies(nearest: Nearest, threshold: float, limits: FloatArray, rng: np.random.Generator) -> Signs:
    """Both signs in a set of ROIs. nearest: (n,). limits: (lesions,). rng draws the training lesions behind the lower bound.

    The training lesions that are nearest to any ROI are drawn with replacement, each with all its ROIs.
    """
    below = nearest.ratios < threshold
    attracting, owner = np.unique(nearest.lesions, return_inverse=True)
    rois, copies = np.bincount(owner), np.bincount(owner, weights=below)
    drawn = rng.multinomial(len(attracting), np.full(len(attracting), 1 / len(attracting)), size=RESAMPLES)
    lower = float(np.percentile((drawn @ copies) / (drawn @ rois), 5))
    shares = rois / len(below)
    worst = int(np.argmax(shares / limits[attracting]))
    lesion = int(attracting[worst])
    return Signs(float(below.mean()), lower, lesion, float(shares[worst]), float(limits[lesion]))
