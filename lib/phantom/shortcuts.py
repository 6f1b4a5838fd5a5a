"""Whether anything but the lesion gives its class away: features that must not, and how well simple models do with them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from scipy.stats import binomtest
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from lesionlabel.lesions.cohort import Cohort
from lesionlabel.lesions.roi import Context

FloatArray = NDArray[np.float64]

#: What is masked out: a disc of this many diameters and mm around the lesion's centre. A reader's contour is off by up to
#: .08 d and an edge reaches 2 σ = .16 d beyond it, so that this is the least that hides all of a lesion.
MASK_SHARE, MASK_MM = 0.72, 2.0
GRID = 12


def _distances(context: Context) -> FloatArray:
    rows, columns = np.indices(context.hu.shape)
    return np.hypot(columns - context.centre[0], rows - context.centre[1])


def _outside(context: Context) -> NDArray[np.bool_]:
    reach = MASK_SHARE * context.diameter_px + MASK_MM / context.spacing_mm
    return np.asarray(_distances(context) > reach)


def masked_picture(context: Context) -> FloatArray:
    """The surroundings without the lesion: block means of HU on a GRID × GRID raster (-1 where masked), and their statistics."""
    hu = np.clip(context.hu, -150, 250).astype(np.float64)
    outside = _outside(context)
    cells = [np.arange(size) * GRID // size for size in hu.shape]
    index = cells[0][:, None] * GRID + cells[1][None, :]
    count = np.bincount(index[outside], minlength=GRID * GRID)
    total = np.bincount(index[outside], weights=hu[outside], minlength=GRID * GRID)
    raster = np.where(count > 0, total / np.maximum(count, 1), -1.0)
    seen = hu[outside]
    return np.array([*raster, seen.mean(), seen.std(), *np.percentile(seen, [5, 25, 50, 75, 95])])


def diameter(context: Context) -> FloatArray:
    return np.array([context.diameter_px * context.spacing_mm])


def position(context: Context) -> FloatArray:
    """Where the centre falls between pixels, and the size of the picture around it."""
    return np.array([*(np.asarray(context.centre) % 1.0), *context.hu.shape])


def noise(context: Context) -> FloatArray:
    """SD of the difference of neighbouring pixels outside the lesion."""
    pairs = _outside(context)[:, 1:] & _outside(context)[:, :-1]
    return np.array([1.4826 * np.median(np.abs(np.diff(context.hu, axis=1)[pairs]))])


def thickness(context: Context) -> FloatArray:
    """Sampling: pixel size, and how alike neighbouring pixels outside the lesion are."""
    hu = context.hu - ndimage.uniform_filter(context.hu, 9)
    pairs = _outside(context)[:, 1:] & _outside(context)[:, :-1]
    return np.array([context.spacing_mm, np.corrcoef(hu[:, 1:][pairs], hu[:, :-1][pairs])[0, 1]])


def liver_mean(context: Context) -> FloatArray:
    seen = context.hu[_outside(context)]
    return np.array([np.median(seen[(seen > 20) & (seen < 200)])])


def lesion_summary(context: Context) -> FloatArray:
    """What is allowed to tell: mean and SD inside the lesion, and how steep its edge is (HU per mm)."""
    share = _distances(context) / context.diameter_px
    inside = context.hu[share < 0.38]
    inner, outer = context.hu[(share > 0.38) & (share < 0.48)], context.hu[(share > 0.52) & (share < 0.62)]
    return np.array(
        [inside.mean(), inside.std(), (outer.mean() - inner.mean()) / (0.14 * context.diameter_px * context.spacing_mm)]
    )


#: What alone must not tell the class.
FORBIDDEN: dict[str, Callable[[Context], FloatArray]] = {
    "lesion masked out": masked_picture,
    "diameter": diameter,
    "position": position,
    "noise": noise,
    "thickness": thickness,
    "liver mean": liver_mean,
}


@dataclass(frozen=True)
class Guess:
    """accuracy and its 95 % Wilson interval under patient-grouped cross-validation; majority: share of the largest class."""

    accuracy: float
    low: float
    high: float
    majority: float

    @property
    def covers_majority(self) -> bool:
        return self.low <= self.majority <= self.high

    @property
    def beats_majority(self) -> bool:
        return self.low > self.majority


def guess_class(
    cohort: Cohort,
    features: Callable[[Context], FloatArray],
    model: Literal["forest", "logistic"] = "forest",
    folds: int = 5,
    seed: int = 0,
) -> Guess:
    """How well a simple model names the class from features alone, patients never on both sides."""
    table = np.stack([features(lesion.context) for lesion in cohort])
    if model == "forest":
        leaf = max(5, len(cohort) // 40)
        classifier = RandomForestClassifier(200, min_samples_leaf=leaf, max_features="sqrt", random_state=seed, n_jobs=1)
    else:
        classifier = make_pipeline(StandardScaler(), LogisticRegression(C=1.0, max_iter=2000))
    predicted = cross_val_predict(classifier, table, cohort.labels, groups=cohort.patients, cv=GroupKFold(folds))
    right = int(np.sum(predicted == cohort.labels))
    interval = binomtest(right, len(cohort)).proportion_ci(0.95, method="wilson")
    majority = float(np.bincount(cohort.labels).max() / len(cohort))
    return Guess(right / len(cohort), float(interval.low), float(interval.high), majority)
