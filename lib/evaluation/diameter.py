"""A classifier on diameter alone, beside every report: what size gives away without a look at the picture."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler

from lesionlabel.lesions.cohort import Cohort

#: What a probability is taken to be at least, so that it has a logarithm.
SMALLEST = 1e-12


def diameter_only(cohort: Cohort, folds: NDArray[np.int64]) -> NDArray[np.int64]:
    """Out-of-fold class indices (n,) by diameter_log_probabilities, in the folds given."""
    predicted = np.empty(len(cohort), dtype=np.int64)
    for fold in np.unique(folds):
        here = folds == fold
        training, test = cohort.subset(np.flatnonzero(~here)), cohort.subset(np.flatnonzero(here))
        predicted[here] = diameter_log_probabilities(training, test).argmax(axis=1)
    return predicted


def diameter_log_probabilities(training: Cohort, test: Cohort) -> NDArray[np.float64]:
    """Logarithms of probabilities (test lesions, classes) of a logistic regression on log diameter and its square.

    The diameter is in mm where the pixel size of every training lesion is known, else in pixels. A test lesion of unknown pixel
    size then counts with the training lesions' median size.
    """
    spacings = np.array([lesion.context.spacing_mm for lesion in training])
    known = bool((spacings > 0).all())

    def log_diameters(cohort: Cohort) -> NDArray[np.float64]:
        usual = float(np.median(spacings)) if known else 1.0
        return np.log([[x.context.diameter_px * ((x.context.spacing_mm or usual) if known else 1.0)] for x in cohort])

    return one_number_log_probabilities(log_diameters(training), log_diameters(test), training)


def one_number_log_probabilities(training: NDArray[np.float64], test: NDArray[np.float64], cohort: Cohort) -> NDArray[np.float64]:
    """Logarithms of probabilities (test lesions, classes) of a logistic regression on a number (n, 1) and its square.

    cohort: the training lesions, whose classes are in the columns; one that it has no lesion of is improbable.
    """
    model = make_pipeline(StandardScaler(), PolynomialFeatures(2, include_bias=False), LogisticRegression())
    model.fit(training, cohort.labels)
    found = np.full((len(test), len(cohort.class_names)), SMALLEST)
    found[:, model.classes_] = np.maximum(model.predict_proba(test), SMALLEST)
    return np.log(found / found.sum(axis=1, keepdims=True))
