"""A classifier on diameter alone, beside every report: what size gives away without a look at the picture."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import PolynomialFeatures, StandardScaler

from lesionlabel.lesions.cohort import Cohort


def one_number_model() -> Pipeline:
    """A logistic regression on a number and its square, unfitted."""
    return make_pipeline(StandardScaler(), PolynomialFeatures(2, include_bias=False), LogisticRegression())


def log_diameters(cohort: Cohort) -> NDArray[np.float64]:
    """(n, 1) logarithms of the diameters in mm, or in pixels where one lesion's pixel size is not known."""
    known = all(x.context.spacing_mm > 0 for x in cohort)
    return np.log([[x.context.diameter_px * (x.context.spacing_mm if known else 1)] for x in cohort])


def diameter_only(cohort: Cohort, folds: NDArray[np.int64]) -> NDArray[np.int64]:
    """Out-of-fold class indices (n,) of a logistic regression on log diameter and its square, in the folds given."""
    diameters = log_diameters(cohort)
    predicted = np.empty(len(cohort), dtype=np.int64)
    for fold in np.unique(folds):
        here = folds == fold
        model = one_number_model()
        model.fit(diameters[~here], cohort.labels[~here])
        predicted[here] = model.predict(diameters[here])
    return predicted
