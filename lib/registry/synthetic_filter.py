"""Choosing among synthetic ROIs: those that a classifier is sure of, and that lie no farther from real lesions than real ones do.

Source: Xue et al. 2021 (HistoGAN, arXiv 2111.06399) select by label confidence and feature distance; the thresholds are ours.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist

from lesionlabel.augment.classic import originals
from lesionlabel.evaluation.crossval import is_simulated
from lesionlabel.lesions.cohort import Cohort
from lesionlabel.lesions.errors import InputError
from lesionlabel.registry.classifier import Classifier


@dataclass(frozen=True)
class FilterSettings:
    """least_confidence: probability of the ROI's own class, 0 to 1. farthest: percentile, 0 to 100, of the distances between real
    lesions of the class that a synthetic ROI's distance to its nearest may reach.
    """

    least_confidence: float = 0.5
    farthest: float = 95.0

    def __post_init__(self) -> None:
        if not 0 <= self.least_confidence <= 1 or not 0 < self.farthest <= 100:
            raise InputError(
                "The least confidence must be in [0, 1] and the farthest percentile in (0, 100], got "
                f"{self.least_confidence} and {self.farthest}."
            )


class SyntheticFilter:
    """Keeps or leaves out synthetic ROIs by a classifier's probabilities and features.

    reference: real lesions of each class that the distances are measured from. Raises InputError when a class has lesions of
    fewer than two patients there, when the classes differ, or when one has seen the phantom and the other patients.
    """

    def __init__(self, classifier: Classifier, reference: Cohort, settings: FilterSettings) -> None:
        if reference.class_names != classifier.class_names:
            raise InputError(
                f"The classifier tells apart {', '.join(classifier.class_names)}, the reference lesions are of "
                f"{', '.join(reference.class_names)}."
            )
        kind = "phantom" if is_simulated(reference) else "patients"
        if classifier.trained_on != kind:
            raise InputError(
                f"The serving classifier was trained on {classifier.trained_on}, the reference lesions are of the kind {kind!r}: "
                "simulated and real never choose together. Promote a classifier of the same kind, or give other lesions."
            )
        self.classifier, self.settings = classifier, settings
        self.patients = tuple(sorted({*classifier.manifest.patients, *reference.patients}))
        features = classifier.features(originals(reference)[:, 0].numpy())
        patients = np.array(reference.patients)
        self._real: dict[str, NDArray[np.float64]] = {}
        self.limits: dict[str, float] = {}
        for position, label in enumerate(reference.class_names):
            of_class = reference.labels == position
            self._real[label] = features[of_class]
            self.limits[label] = _limit(features[of_class], patients[of_class], label, settings.farthest)

    def keep(self, rois: NDArray[np.float32], label: str) -> NDArray[np.bool_]:
        """Which ROIs (n, 64, 64) of a class are kept, (n,)."""
        sure = self.classifier.probabilities(rois)[:, self.classifier.class_names.index(label)] >= self.settings.least_confidence
        near = cdist(self.classifier.features(rois), self._real[label]).min(axis=1) <= self.limits[label]
        return sure & near

    def record(self) -> dict[str, Any]:
        """What was chosen by, as JSON."""
        return {
            **asdict(self.settings),
            "classifier": self.classifier.version,
            "classifier_sha256": self.classifier.sha256,
            "trained_on": self.classifier.trained_on,
            "largest_distance": {label: round(limit, 6) for label, limit in self.limits.items()},
            "patients": list(self.patients),
        }


def _limit(features: NDArray[np.float64], patients: NDArray[np.str_], label: str, percentile: float) -> float:
    """The percentile of each real lesion's distance to the nearest lesion of another patient."""
    distances = cdist(features, features)
    distances[patients[:, None] == patients[None, :]] = np.inf
    if not len(features) or np.isinf(distances.min(axis=1)).any():
        raise InputError(
            f"Choosing ROIs of {label!r} needs reference lesions of at least two patients; there are {len(features)}."
        )
    return float(np.percentile(distances.min(axis=1), percentile))
