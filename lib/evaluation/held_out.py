"""The baseline of the memorisation check: what real lesions that a generator did not see look like to it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lesionlabel.augment.classic import augment_cohort
from lesionlabel.evaluation.copies import Expected, FloatArray, IntArray, Nearest, expect, fifth_percentile, find_nearest
from lesionlabel.evaluation.crossval import is_simulated
from lesionlabel.evaluation.metrics import RESAMPLES, Interval
from lesionlabel.evaluation.orbit import orbit_distances
from lesionlabel.evaluation.planting import plant_copies
from lesionlabel.lesions.cohort import Cohort
from lesionlabel.lesions.errors import InputError
from lesionlabel.training.hooks import Progress, ShouldStop, never_stop, no_progress, part_of


@dataclass(frozen=True, eq=False)
class Baseline:
    """The held-out lesions of one class, each against the lesions of the other folds, with all distances for the controls.

    distances: (lesions, draws, lesions) of classic augmentations of each lesion from every lesion. planted: the same of
    copies of each lesion. nearest: of the augmentations among the lesions outside their fold, (lesions, draws). threshold:
    the 5th percentile of their ratios with its 95 % interval over lesions; None where no fold's training has two patients.
    """

    label: str
    simulated: bool
    lesion_ids: tuple[str, ...]
    patients: tuple[str, ...]
    folds: IntArray
    distances: NDArray[np.float32]
    planted: NDArray[np.float32]
    nearest: Nearest
    threshold: Interval | None
    expected: Expected

    @property
    def n_lesions(self) -> int:
        """Held-out lesions with a ratio."""
        return int(np.isfinite(self.nearest.ratios).all(axis=1).sum())

    def limits(self, training: Cohort) -> FloatArray:
        """The share of ROIs that each lesion of a cohort may attract; for one not in the baseline, what any lesion may."""
        known = dict(zip(self.lesion_ids, self.expected.limits, strict=True))
        most = float(self.expected.limits.max(initial=0.0))
        return np.array([known.get(lesion.lesion_id, most) for lesion in training])

    def to_json(self) -> dict[str, Any]:
        ratios = self.nearest.ratios[np.isfinite(self.nearest.ratios)]
        return {
            "label": self.label,
            "simulated": self.simulated,
            "held_out_lesions": self.n_lesions,
            "patients": len(set(self.patients)),
            "folds": len(set(self.folds.tolist())),
            "draws": self.distances.shape[1],
            "threshold": None if self.threshold is None else self.threshold.to_json(),
            "ratio_quartiles": np.percentile(ratios, [25, 50, 75]).round(4).tolist() if ratios.size else None,
            "largest_share": round(self.expected.largest_share, 4),
        }


def held_out_baseline(
    cohort: Cohort,
    folds: IntArray,
    seed: int,
    draws: int = 4,
    *,
    progress: Progress = no_progress,
    should_stop: ShouldStop = never_stop,
) -> Baseline:
    """The baseline of one class: draws augmentations of each lesion against the lesions of the other folds, and as many copies.

    cohort: of one class. folds: (lesions,) fold of each, all lesions of a patient in one. The seed draws the augmentations, the
    copies and the resamples of the interval. Raises InputError for several classes, no lesion, folds that do not fit or split a
    patient; StoppedError.
    """
    label = the_class(cohort)
    patients = cohort.patients
    if folds.shape != (len(cohort),) or len(set(zip(patients, folds.tolist(), strict=True))) != len(set(patients)) or draws < 1:
        raise InputError(
            f"A baseline needs the fold of each of {len(cohort)} lesions, all of a patient's in the same, and at least 1 draw; "
            f"got folds of shape {folds.shape} and {draws} draw(s). Take the folds from patient_folds."
        )
    augment_seed, plant_seed, resample_seed = (int(s) for s in np.random.SeedSequence(seed).generate_state(3))
    real = augment_cohort(cohort, draws * len(cohort), augment_seed).images
    planted = plant_copies(cohort, draws, plant_seed)
    first, second = part_of(progress, 0.0, 0.5), part_of(progress, 0.5, 1.0)
    shape = (len(cohort), draws, len(cohort))
    distances = orbit_distances(real, cohort, progress=first, should_stop=should_stop).reshape(shape)
    nearest = hold_out(distances, patients, folds)
    return Baseline(
        label=label,
        simulated=is_simulated(cohort),
        lesion_ids=tuple(lesion.lesion_id for lesion in cohort),
        patients=tuple(patients),
        folds=folds,
        distances=distances,
        planted=orbit_distances(planted, cohort, progress=second, should_stop=should_stop).reshape(shape),
        nearest=nearest,
        threshold=_threshold(nearest.ratios, np.random.default_rng(resample_seed)),
        expected=expect(nearest, folds, np.isfinite(nearest.ratios).all(axis=1)),
    )


def the_class(cohort: Cohort) -> str:
    """The class of all lesions of a cohort. Raises InputError when they have several, or when there is none."""
    counts = Counter(lesion.label for lesion in cohort)
    if len(counts) != 1:
        raise InputError(f"The memorisation check takes one class at a time, got {dict(counts)}. Take a subset of the cohort.")
    return next(iter(counts))


def hold_out(distances: NDArray[np.float32], patients: Sequence[str], folds: IntArray) -> Nearest:
    """The nearest lesion of each draw among the lesions outside its lesion's fold: ratios and lesions (lesions, draws).

    distances: (lesions, draws, lesions). Ratios are NaN where fewer than two patients are outside.
    """
    ratios = np.full(distances.shape[:2], np.nan)
    lesions = np.zeros(distances.shape[:2], dtype=np.int64)
    names = np.asarray(patients)
    for fold in np.unique(folds):
        here, training = folds == fold, np.flatnonzero(folds != fold)
        if len(training):
            found = find_nearest(distances[here][:, :, training].reshape(-1, len(training)), names[training].tolist())
            ratios[here] = found.ratios.reshape(-1, distances.shape[1])
            lesions[here] = training[found.lesions].reshape(-1, distances.shape[1])
    return Nearest(ratios, lesions)


def _threshold(ratios: FloatArray, rng: np.random.Generator) -> Interval | None:
    """The 5th percentile with its interval: lesions are drawn with replacement, each with all its draws."""
    value = fifth_percentile(ratios)
    if math.isnan(value):
        return None
    known = ratios[np.isfinite(ratios).all(axis=1)]
    drawn = [fifth_percentile(known[rng.integers(len(known), size=len(known))]) for _ in range(RESAMPLES)]
    low, high = np.percentile(drawn, [2.5, 97.5])
    return Interval(value, float(low), float(high), float(len(known)))
