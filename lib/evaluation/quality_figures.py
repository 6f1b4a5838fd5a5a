"""The quality figures of a sample of ROIs against held-out reals, on all lesions and on each part that an interval leaves."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial.distance import cdist
from torch import Tensor

from lesionlabel.evaluation.distribution import polynomial_kernel, prdc
from lesionlabel.evaluation.feature_network import Features
from lesionlabel.evaluation.pairs import Between, across, among_lesions, euclidean
from lesionlabel.evaluation.radiomics import frechet_distance, radiomic_features

FloatArray = NDArray[np.float64]
Kept = NDArray[np.bool_]

#: The columns of what of_draws yields.
OF_DRAWS = ("precision", "recall", "density", "coverage", "radiomics")


@dataclass(frozen=True, eq=False)
class Sample:
    """ROIs as pixels (n, 4096), features (n, d) and radiomics (n, 72).

    lesion: (n,) lesion of each, from 0. draws: (views, lesions) the ROI of each lesion in each draw.
    """

    pixels: FloatArray
    features: FloatArray
    radiomics: FloatArray
    lesion: NDArray[np.int64]
    draws: NDArray[np.int64]


def take_sample(images: Tensor, lesion: NDArray[np.int64], views: int, features: Features) -> Sample:
    """A sample of ROIs (n, 1, 64, 64) of lesions (n,), numbered from 0 without a gap.

    Draw j takes each lesion's ROI j, or begins again where it has fewer.
    """
    shares = np.bincount(lesion)
    first = np.cumsum(shares) - shares
    draws = np.argsort(lesion, kind="stable")[first + np.arange(views)[:, None] % shares]
    return Sample(images.flatten(1).double().numpy(), features(images), radiomic_features(images), lesion, draws)


def of_pairs(sample: Sample, reference: Sample, kept: Kept, kept_reference: Kept) -> dict[str, FloatArray]:
    """KID and the diversities from all pairs of ROIs of different lesions, (resamples,) each.

    kept, kept_reference: (resamples, lesions) which lesions stay in.
    """

    def among(values: FloatArray, reference_values: FloatArray, between: Between) -> tuple[FloatArray, FloatArray]:
        own, real = among_lesions(values, sample.lesion, between), among_lesions(reference_values, reference.lesion, between)
        return own.means(kept, kept), real.means(kept_reference, kept_reference)

    own_kernel, real_kernel = among(sample.features, reference.features, polynomial_kernel)
    shared = across(sample.features, sample.lesion, reference.features, reference.lesion, polynomial_kernel)
    own, real = among(sample.features, reference.features, euclidean)
    own_pixels, real_pixels = among(sample.pixels, reference.pixels, euclidean)
    return {
        "kid": own_kernel + real_kernel - 2 * shared.means(kept, kept_reference),
        "feature_diversity": own / real,
        "pixel_diversity": own_pixels / real_pixels,
    }


def of_draws(sample: Sample, reference: Sample, kept: Kept, kept_reference: Kept, k: int) -> Iterator[FloatArray]:
    """OF_DRAWS of each draw, (resamples, 5), from one ROI of each lesion that stays in; k nearest neighbours."""
    for rows, reference_rows in zip(sample.draws, reference.draws, strict=True):
        x, real = sample.features[rows], reference.features[reference_rows]
        among_real, among_x, over = cdist(real, real), cdist(x, x), cdist(real, x)
        found = np.empty((len(kept), len(OF_DRAWS)))
        for number, (mine, theirs) in enumerate(zip(kept, kept_reference, strict=True)):
            shares = prdc(among_real[np.ix_(theirs, theirs)], among_x[np.ix_(mine, mine)], over[np.ix_(theirs, mine)], k)
            distance = frechet_distance(
                sample.radiomics[rows[mine]],
                reference.radiomics[reference_rows[theirs]],
                reference.radiomics[theirs[reference.lesion]],
            )
            found[number] = (*shares, distance)
        yield found
