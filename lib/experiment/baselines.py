"""Classifiers without a network, beside the paper's: a bag of visual words, the lesion's mean HU alone, its diameter alone.

Source: Frid-Adar et al. 2018, section V, which compares with a bag of visual words whose words are chosen by mutual information
(Diamant et al. 2017). The paper gives none of its numbers; ours are below, fixed beforehand and tuned on nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax
from sklearn.cluster import MiniBatchKMeans
from sklearn.decomposition import PCA
from sklearn.feature_selection import mutual_info_classif
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from lesionlabel.augment.classic import originals
from lesionlabel.evaluation.calibration import fit_temperature
from lesionlabel.evaluation.diameter import diameter_log_probabilities, one_number_log_probabilities
from lesionlabel.lesions.cohort import Cohort
from lesionlabel.lesions.splits import patient_folds

FloatArray = NDArray[np.float64]
#: Training lesions, test lesions, seed -> logarithms of probabilities (test lesions, classes).
Baseline = Callable[[Cohort, Cohort, int], FloatArray]

#: Side of a patch in ROI pixels, pixels between two, numbers kept of each, words, and how many are chosen of them.
PATCH, STEP, COMPONENTS, WORDS, CHOSEN = 9, 4, 20, 150, 75
#: Patches that the words are made from, drawn among all.
LEARNED_FROM = 20_000
#: Of the temperature.
INNER_FOLDS = 3


def words(training: Cohort, test: Cohort, seed: int) -> FloatArray:
    """A bag of visual words: patches of the ROI, a dictionary of them, a histogram for each ROI, a support vector machine.

    Its decisions are logits at one temperature, fitted on decisions for training lesions by machines that have not seen their
    patients. Where the training lesions are too few for that, it is 1.
    """
    labels, patients = training.labels, training.patients
    decisions = np.zeros((len(training), len(training.class_names)))
    if len(set(patients)) < INNER_FOLDS:
        return log_softmax(_decisions(training, test, seed), axis=1)
    inner = patient_folds(labels, patients, INNER_FOLDS, np.random.default_rng(seed))
    for number in range(INNER_FOLDS):
        here = inner == number
        if len(np.unique(labels[~here])) < 2:
            return log_softmax(_decisions(training, test, seed), axis=1)
        rest, asked = training.subset(np.flatnonzero(~here)), training.subset(np.flatnonzero(here))
        decisions[here] = _decisions(rest, asked, seed)
    return log_softmax(_decisions(training, test, seed) / fit_temperature(decisions, labels, patients), axis=1)


def _decisions(training: Cohort, test: Cohort, seed: int) -> FloatArray:
    """Decisions (test lesions, classes) of a machine on histograms of words; very low for a class without a training lesion."""
    rng = np.random.default_rng(seed)
    patches, asked = _patches(training), _patches(test)
    every = patches.reshape(-1, patches.shape[-1])
    drawn = every[rng.permutation(len(every))[:LEARNED_FROM]]
    project = make_pipeline(StandardScaler(), PCA(COMPONENTS, whiten=True, random_state=0)).fit(drawn)
    dictionary: Any = MiniBatchKMeans(WORDS, random_state=int(rng.integers(2**31))).fit(project.transform(drawn))

    def histograms(of: FloatArray) -> FloatArray:
        named = dictionary.predict(project.transform(of.reshape(-1, of.shape[-1]))).reshape(of.shape[:2])
        return np.array([np.bincount(row, minlength=WORDS) for row in named]) / of.shape[1]

    bags, labels = histograms(patches), training.labels
    told = mutual_info_classif(bags, labels, random_state=int(rng.integers(2**31)))
    chosen = np.sort(np.argsort(-told, kind="stable")[:CHOSEN])
    machine = make_pipeline(StandardScaler(), SVC(decision_function_shape="ovr")).fit(bags[:, chosen], labels)
    scores = machine.decision_function(histograms(asked)[:, chosen])
    # Of two classes a machine gives one decision, for the second.
    scores = np.column_stack([-scores, scores]) / 2 if scores.ndim == 1 else scores
    found = np.full((len(scores), len(training.class_names)), -30.0)
    found[:, machine.classes_] = scores
    return found


def mean(training: Cohort, test: Cohort, seed: int) -> FloatArray:
    """A logistic regression on the mean HU of the disc with the lesion's centre and diameter, and its square."""
    return one_number_log_probabilities(_mean_hu(training), _mean_hu(test), training)


def diameter(training: Cohort, test: Cohort, seed: int) -> FloatArray:
    """A logistic regression on log diameter and its square."""
    return diameter_log_probabilities(training, test)


BASELINES: Mapping[str, Baseline] = MappingProxyType({"words": words, "mean": mean, "diameter": diameter})


def _patches(cohort: Cohort) -> FloatArray:
    """Patches of each ROI without their mean, and that mean beside them, (lesions, patches, PATCH² + 1)."""
    rois = originals(cohort)[:, 0].double().numpy()
    windows = np.lib.stride_tricks.sliding_window_view(rois, (1, PATCH, PATCH))[:, ::STEP, ::STEP]
    flat = windows.reshape(len(rois), -1, PATCH * PATCH)
    level = flat.mean(axis=2, keepdims=True)
    return np.concatenate([flat - level, level], axis=2)


def _mean_hu(cohort: Cohort) -> FloatArray:
    found = []
    for lesion in cohort:
        context = lesion.context
        rows, columns = np.indices(context.hu.shape)
        distance = np.hypot(columns - context.centre[0], rows - context.centre[1])
        # Of a lesion that holds no pixel's centre, the nearest one.
        inside = distance <= max(context.diameter_px / 2, float(distance.min()))
        found.append([float(context.hu[inside].mean())])
    return np.array(found)
