"""How unlike anything curated a ROI is: its distance from the training lesions in the network's features, as a percentile.

The distance is that to the nearest training lesion of another patient. The training lesions' own distances are the scale, each
from the lesions of all other patients: a patient's own lesions never make a ROI look familiar. Nearest neighbours assume nothing
about how features are spread (Sun et al. 2022, ICML), which a Gaussian for each class does (Lee et al. 2018, NeurIPS); the
nearest one found most on simulated sets that no figure is from. What the warning finds is measured by benchmarks/unlike.py, and
of other sets nothing is claimed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from lesionlabel.evaluation.metrics import Interval, lesion_weights, wilson
from lesionlabel.lesions.errors import InputError

FloatArray = NDArray[np.float64]

#: From this percentile on there is a warning.
WARN_FROM = 95.0
#: Below so many training lesions the percentile means too little to be told.
LEAST_LESIONS = 60


@dataclass(frozen=True, eq=False)
class Familiar:
    """The training lesions as their network sees them. features: (n, width) float32. patients: (n,) int64, a number each."""

    features: NDArray[np.float32]
    patients: NDArray[np.int64]

    def __post_init__(self) -> None:
        if self.features.ndim != 2 or self.patients.shape != self.features.shape[:1]:
            raise InputError(f"{len(self.patients)} patients do not fit features of the shape {self.features.shape}.")
        if not np.all(np.isfinite(self.features)):
            raise InputError("The features of the training lesions hold NaN or infinite values.")

    @property
    def measures(self) -> bool:
        """Whether there are enough lesions for a percentile."""
        return len(self.patients) >= LEAST_LESIONS and len(np.unique(self.patients)) > 1

    @cached_property
    def scale(self) -> FloatArray:
        """The distance of each training lesion, (n,), from the lesions of all other patients."""
        return np.array([self._distance(f, p) for f, p in zip(self.features, self.patients, strict=True)])

    def percentile(self, features: FloatArray, patient: int | None = None) -> float:
        """How many of a hundred training lesions are nearer to the others than features (width,) are; at most 100.

        patient: number of the patient whose ROI it is, where that patient trained.
        """
        nearer = int((self.scale < self._distance(features.astype(np.float32), patient)).sum())
        return 100 * nearer / len(self.scale)

    def _distance(self, features: NDArray[np.float32], patient: int | None) -> float:
        squares = self._squares - 2 * (self.features @ features) + features @ features
        if patient is not None:
            squares = squares[self.patients != patient]
        return float(np.sqrt(max(squares.min(), 0.0)))

    @cached_property
    def _squares(self) -> NDArray[np.float32]:
        return np.einsum("nf,nf->n", self.features, self.features)


def numbered(patients: Sequence[str], known: Sequence[str]) -> NDArray[np.int64]:
    """The place of each patient among those known, (n,)."""
    place = {name: number for number, name in enumerate(known)}
    return np.array([place[name] for name in patients], dtype=np.int64)


def held_out_percentiles(training: FloatArray, patients: Sequence[str], held_out: FloatArray) -> list[float] | None:
    """The percentile of each held-out lesion in a network that has not seen its patient; None where there are too few to say.

    training: features (n, width) of the lesions that trained it. held_out: of those that did not.
    """
    familiar = Familiar(training.astype(np.float32), numbered(patients, sorted(set(patients))))
    return [round(familiar.percentile(row), 1) for row in held_out] if familiar.measures else None


def false_alarms(percentiles: Sequence[float], patients: Sequence[str]) -> Interval:
    """The share of held-out curated lesions that the warning is given for. Patients weigh as in all figures."""
    return wilson(np.asarray(percentiles) >= WARN_FROM, lesion_weights(patients))
