"""What a version keeps from its training to say how sure it is: prediction sets, its lesions' features, and false alarms."""

from __future__ import annotations

import numpy as np
import torch

from lesionlabel.augment.classic import originals
from lesionlabel.evaluation.crossval import OutOfFold, decided_blind
from lesionlabel.evaluation.metrics import Interval
from lesionlabel.evaluation.prediction_set import NOMINAL, PredictionSets, fit_prediction_sets
from lesionlabel.evaluation.unlike import Familiar, false_alarms, numbered
from lesionlabel.lesions.cohort import Cohort
from lesionlabel.networks.paper_cnn import PaperCNN

NOT_TESTED = PredictionSets(NOMINAL, 0, 0, why_not="too few cases: no lesion may be tested")


def prediction_sets_of(result: OutOfFold) -> PredictionSets:
    """Sets from the lesions that were decided without sight of the model's answer, as the temperature is."""
    cohort = result.cohort.as_tested()
    chosen = decided_blind(cohort)
    patients = np.asarray(cohort.patients)[chosen].tolist()
    return fit_prediction_sets(
        result.logits[chosen], cohort.labels[chosen], patients, result.folds[chosen], len(cohort.class_names)
    )


def false_alarms_of(result: OutOfFold) -> Interval | None:
    """How often a held-out lesion of the cohort was warned about; None where a fold was too small to say."""
    percentiles: list[float] = []
    patients: list[str] = []
    for fold, record in enumerate(result.trained):
        found = record["held_out_percentiles"]
        if found is None:
            return None
        percentiles += found
        patients += np.asarray(result.cohort.patients)[result.folds == fold].tolist()
    return false_alarms(percentiles, patients)


def familiar_to(network: PaperCNN, cohort: Cohort, patients: tuple[str, ...]) -> Familiar:
    """The cohort's ROIs in the features of the network that trained on it. patients: the manifest's, which number them."""
    with torch.inference_mode():
        features = network.features(originals(cohort)).float().numpy()
    return Familiar(features, numbered(cohort.patients, patients))
