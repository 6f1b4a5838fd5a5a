"""The training set of every arm, in one fold of one seed. Draws are shared by all arms, so that arms differ in nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lesionlabel.augment.classic import PAPER_RECIPE, augment_cohort, equal_shares, originals
from lesionlabel.experiment.plan import Point
from lesionlabel.lesions.cohort import Cohort
from lesionlabel.lesions.splits import patient_folds, refuse_leak


@dataclass(frozen=True, eq=False)
class Fold:
    """One fold of one seed's partition.

    training, test: its lesions, of different patients. at: (test lesions,) their places in the cohort.
    most: the largest classic amount that any point asks for, of which the smaller ones are parts. sets: folds that train, each of
    which brings a point's amounts.
    """

    training: Cohort
    test: Cohort
    at: NDArray[np.int64]
    seed: int
    number: int
    most: int
    sets: int

    def seeds(self, what: int, count: int) -> list[int]:
        """Numbers to draw with, the same for all arms."""
        return [int(s) for s in np.random.SeedSequence([self.seed, self.number, what]).generate_state(count)]

    @cached_property
    def classic(self) -> tuple[Tensor, NDArray[np.int64]]:
        """The largest classic amount: images (n, 1, 64, 64), and the lesion of each (n,)."""
        made = augment_cohort(self.training, self.most * self.sets, self.seeds(0, 1)[0])
        return made.images, made.lesion_index

    def images(self, point: Point, synthetic: Mapping[int, Tensor] | None = None) -> tuple[Tensor, Tensor]:
        """Images (n, 1, 64, 64) float32 in [0, 1] and class indices (n,) of a point's training set.

        synthetic: by class index, ROIs of which the first are taken, as many of each class; those of duplicates are not needed.
        """
        parts: list[tuple[Tensor, Tensor]] = []
        labels = torch.from_numpy(self.training.labels)
        images, lesion = self.classic
        taken = self._nested(point.classic * self.sets)
        classic = images[taken], labels[torch.from_numpy(lesion[taken])]
        # Synthetic ROIs alone are what they are: no real one beside them.
        if point.arm != "synthetic":
            parts += [(originals(self.training), labels), classic]
        if point.arm == "duplicates":
            parts.append(self._copies(*classic, point))
        elif point.added:
            assert synthetic is not None
            parts += [
                (rois[: self.of_class(point, index)], torch.full((min(len(rois), self.of_class(point, index)),), index))
                for index, rois in synthetic.items()
            ]
        return torch.cat([part for part, _ in parts]), torch.cat([part for _, part in parts])

    def of_class(self, point: Point, index: int) -> int:
        """How many of what a point adds are of a class: equal shares, what is left over to the first."""
        share, rest = divmod(point.added * self.sets, len(self.training.class_names))
        return share + (index < rest)

    def _nested(self, amount: int) -> NDArray[np.int64]:
        """Which images of the largest amount make a smaller one: the first of each lesion's, as augment_cohort would have it."""
        shares = equal_shares(self.training, amount, self.seeds(0, 1)[0], PAPER_RECIPE.per_lesion)
        _, lesion = self.classic
        rank = np.arange(len(lesion)) - np.searchsorted(lesion, lesion)
        return np.flatnonzero(rank < shares[lesion])

    def _copies(self, images: Tensor, labels: Tensor, point: Point) -> tuple[Tensor, Tensor]:
        """Exact copies of the classic images, as many of each class as the other arms have synthetic ones."""
        rng = np.random.default_rng(self.seeds(1, 1))
        chosen: list[NDArray[np.int64]] = []
        for index in range(len(self.training.class_names)):
            of_class = np.flatnonzero(labels.numpy() == index)
            wanted = self.of_class(point, index)
            rounds = -(-wanted // max(len(of_class), 1))
            chosen.append(np.concatenate([rng.permutation(of_class) for _ in range(rounds)] or [of_class[:0]])[:wanted])
        taken = torch.from_numpy(np.concatenate(chosen))
        return images[taken], labels[taken]


def cut_fold(cohort: Cohort, n_folds: int, seed: int, number: int, most: int) -> Fold:
    """The fold of that number of the seed's partition. Raises InputError, LeakError as patient_folds and refuse_leak."""
    folds = partition(cohort, n_folds, seed)
    training, at = cohort.subset(np.flatnonzero(folds != number)), np.flatnonzero(folds == number)
    test = cohort.subset(at)
    refuse_leak(training.patients, test.patients)
    return Fold(training, test, at, seed, number, most, n_folds - 1)


def partition(cohort: Cohort, n_folds: int, seed: int) -> NDArray[np.int64]:
    """The fold of each lesion, (n,), by patient; the generators of a fold are trained on the same partition."""
    return patient_folds(cohort.labels, cohort.patients, n_folds, np.random.default_rng([seed, 0]))
