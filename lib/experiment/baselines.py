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
from lesionlabel.evaluation.diameter import log_diameters, one_number_model
from lesionlabel.lesions.cohort import Cohort

FloatArray = NDArray[np.float64]
#: Training lesions, test lesions, seed -> logarithms of probabilities (test lesions, classes).
Baseline = Callable[[Cohort, Cohort, int], FloatArray]

#: Side of a patch in ROI pixels, pixels between two, numbers kept of each, words, and how many are chosen of them.
PATCH, STEP, COMPONENTS, WORDS, CHOSEN = 9, 4, 20, 150, 75
#: Patches that the words are made from, drawn among all.
LEARNED_FROM = 20_000


def words(training: Cohort, test: Cohort, seed: int) -> FloatArray:
    """A bag of visual words: patches of the ROI, a dictionary of them, a histogram for each ROI, a support vector machine.

    The machine's decisions go through a softmax: they rank, and are no calibrated probabilities.
    """
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
    return _by_class(machine.decision_function(histograms(asked)[:, chosen]), machine.classes_, training)


def mean(training: Cohort, test: Cohort, seed: int) -> FloatArray:
    """A logistic regression on the mean HU of the disc with the lesion's centre and diameter, and its square."""
    return _one_number(_mean_hu(training), _mean_hu(test), training)


def diameter(training: Cohort, test: Cohort, seed: int) -> FloatArray:
    """A logistic regression on log diameter and its square."""
    both = log_diameters(Cohort((*training.lesions, *test.lesions), training.class_names))
    return _one_number(both[: len(training)], both[len(training) :], training)


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
        inside = np.hypot(columns - context.centre[0], rows - context.centre[1]) <= context.diameter_px / 2
        found.append([float(context.hu[inside].mean())])
    return np.array(found)


def _one_number(training: FloatArray, test: FloatArray, cohort: Cohort) -> FloatArray:
    model = one_number_model().fit(training, cohort.labels)
    return _by_class(np.log(np.maximum(model.predict_proba(test), 1e-12)), model.classes_, cohort)


def _by_class(scores: FloatArray, classes: NDArray[np.int64], cohort: Cohort) -> FloatArray:
    """Logarithms of probabilities in the cohort's order of classes; of two, a machine gives one decision for the second."""
    scores = np.column_stack([-scores, scores]) / 2 if scores.ndim == 1 else scores
    found = np.full((len(scores), len(cohort.class_names)), -30.0)
    found[:, classes] = scores
    return log_softmax(found, axis=1)
