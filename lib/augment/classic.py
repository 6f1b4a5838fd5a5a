"""Classic augmentation of a cohort: equal shares of each lesion, in nested amounts.

Source: Frid-Adar et al. 2018, sections III-A and IV: groups of 500 to 15,000 ROIs a fold, the same number from each lesion.
"""

from __future__ import annotations

import hashlib
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lesionlabel.augment.apply import cut_all
from lesionlabel.augment.draw import Recipe, draw_placements, inward_only, lesion_stream
from lesionlabel.augment.record import AugmentRecord
from lesionlabel.lesions.cohort import Cohort
from lesionlabel.lesions.errors import InputError
from lesionlabel.lesions.roi import ROI_SIZE, Context, Placement, cut_roi

PAPER_RECIPE = Recipe()


class Augmented(NamedTuple):
    """images: (n, 1, 64, 64) float32 in [0, 1]. lesion_index: (n,) position of each in the cohort. records: n of them."""

    images: Tensor
    lesion_index: NDArray[np.int64]
    records: list[AugmentRecord]


def originals(cohort: Cohort) -> Tensor:
    """The unchanged ROI of each lesion, (n, 1, 64, 64) float32 in [0, 1]; no augmentation is one of them."""
    rois = np.array([cut_roi(lesion.context) for lesion in cohort], dtype=np.float32)
    return torch.from_numpy(rois.reshape(-1, 1, ROI_SIZE, ROI_SIZE))


def equal_shares(cohort: Cohort, amount: int, seed: int, most: int) -> NDArray[np.int64]:
    """How many ROIs each lesion gives, (lesions,): amount // lesions, at most most, and one more each of the first of them.

    Who comes first is drawn from the seed and the lesion's id, so a larger amount takes no share away.
    """
    share, rest = divmod(amount, max(len(cohort), 1))
    turn = [hashlib.sha256(f"{seed}:{lesion.lesion_id}".encode()).digest() for lesion in cohort]
    shares = np.full(len(cohort), share, dtype=np.int64)
    shares[sorted(range(len(cohort)), key=turn.__getitem__)[:rest]] += 1
    return np.minimum(shares, most)


def augment_cohort(
    cohort: Cohort,
    amount: int,
    seed: int,
    recipe: Recipe = PAPER_RECIPE,
    device: torch.device | str | None = None,
) -> Augmented:
    """amount augmented ROIs in equal shares, in the cohort's order; fewer when that is more than every lesion's recipe gives.

    For one seed a smaller amount is part of a larger one, and a lesion's own draws depend on no other lesion. Raises
    InputError for a negative amount or seed, or an amount of no lesions.
    """
    if amount < 0 or (amount and not len(cohort)):
        raise InputError(f"{amount} augmentations cannot be made of {len(cohort)} lesions.")
    shares = equal_shares(cohort, amount, seed, recipe.per_lesion)
    jobs: list[tuple[Context, list[Placement]]] = []
    records: list[AugmentRecord] = []
    for lesion, share in zip(cohort, shares, strict=True):
        rng = lesion_stream(seed, lesion.lesion_id)
        placements = draw_placements(lesion.context, recipe, rng)
        taken = [int(i) for i in rng.permutation(recipe.per_lesion)[:share]]
        jobs.append((lesion.context, [placements[i] for i in taken]))
        limited = inward_only(lesion.context)
        records += [AugmentRecord(lesion.lesion_id, seed, i, placements[i], limited) for i in taken]
    return Augmented(cut_all(jobs, device), np.repeat(np.arange(len(cohort)), shares), records)
