"""How many images a training set holds, and how many steps and epochs a network is trained on it."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from lesionlabel.augment.classic import PAPER_RECIPE
from lesionlabel.experiment.outcomes import Outcomes
from lesionlabel.experiment.plan import NOT_TRAINED, Point, Schedule


class Size(NamedTuple):
    """Means over seeds and folds."""

    images: float
    steps: float
    epochs: float


def training_size(outcomes: Outcomes, schedule: Schedule, point: Point) -> Size | None:
    """What a point was trained on and how long; None for an arm that trains no network of the classifier's kind.

    Of the filtered arm it is what was asked for: a class of which the filter keeps nothing brings fewer.
    """
    if point.arm in NOT_TRAINED:
        return None
    profile = outcomes.plan.profile
    sets = profile.folds - 1
    sizes: list[Size] = []
    for folds in outcomes.folds:
        for fold in range(profile.folds):
            lesions = int(np.count_nonzero(folds != fold))
            images = point.added * sets
            if point.arm != "synthetic":
                share, rest = divmod(point.classic * sets, max(lesions, 1))
                most = PAPER_RECIPE.per_lesion
                images += lesions + min(share + 1, most) * rest + min(share, most) * (lesions - rest)
            per_epoch = math.ceil(images / profile.batch)
            steps = profile.steps if schedule == "steps" else profile.epochs * per_epoch
            sizes.append(Size(images, steps, steps / max(per_epoch, 1)))
    return Size(*(float(mean) for mean in np.mean(sizes, axis=0)))
