"""The training set of a cohort: its own ROIs, and classic augmentations of them."""

from __future__ import annotations

import torch
from torch import Tensor

from lesionlabel.augment.classic import augment_cohort, originals
from lesionlabel.lesions.cohort import Cohort


def training_set(cohort: Cohort, amount: int, seed: int) -> tuple[Tensor, Tensor]:
    """Images (m, 1, 64, 64) float32 in [0, 1] and class indices (m,): every lesion's own ROI, and amount augmentations.

    The augmentations are in equal shares of the lesions. Raises InputError for a negative amount or seed.
    """
    images, labels = originals(cohort), torch.from_numpy(cohort.labels)
    augmented = augment_cohort(cohort, amount, seed)
    return torch.cat([images, augmented.images]), torch.cat([labels, labels[torch.from_numpy(augmented.lesion_index)]])
