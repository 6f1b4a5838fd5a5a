"""Radiomic features of ROIs and the Fréchet distance between two sets of them, after FRD version 1.

Source: Konz, Osuala et al., Med Image Anal 2026, arXiv 2412.01496: features of the image and of its Laplacian-of-Gaussian
responses, z-scored by the reference set, Gaussians fitted to both sets, the logarithm of their squared Fréchet distance.

Numbers from here cannot be compared with published FRD. The authors' package frd-score 1.0.1 cannot be used: it needs
pyradiomics, whose only release that names this Python (3.1.0) does not build from PyPI, and it imports OpenCV. So these are 72
features of our own instead of its 464 (no wavelets, no run-length, size-zone or grey-tone-difference matrices), with fixed
grey-level bins, sigma in pixels of the ROI, and shrunk covariances.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.feature import graycomatrix, graycoprops
from torch import Tensor

from lesionlabel.lesions.errors import InputError

FloatArray = NDArray[np.float64]

#: Widths in pixels of the Laplacian of Gaussian. Its responses are multiplied by sigma², which makes their sizes alike.
SIGMAS = (1.0, 2.0, 4.0)
#: Grey-level bins, and what they span: the ROI's own range, and ± this for responses, which few pixels of a lesion exceed.
BINS, RESPONSE_RANGE = 32, 0.2
#: Energy is the mean square, kurtosis the excess, entropy in bits of the grey levels.
FIRST_ORDER = (
    "mean",
    "sd",
    "skewness",
    "kurtosis",
    "percentile 10",
    "median",
    "percentile 90",
    "interquartile range",
    "range",
    "mean absolute deviation",
    "energy",
    "entropy",
)
CO_OCCURRENCE = ("contrast", "dissimilarity", "homogeneity", "ASM", "correlation", "entropy")
IMAGES = ("original", *(f"LoG {sigma:g} px" for sigma in SIGMAS))
#: What the columns of radiomic_features are: 12 first-order and 6 co-occurrence features of each of 4 images.
FEATURE_NAMES = tuple(f"{image}, {name}" for image in IMAGES for name in (*FIRST_ORDER, *(f"GLCM {x}" for x in CO_OCCURRENCE)))

#: Angles of neighbours at distance 1; the matrices are symmetric, so these are all eight directions.
ANGLES = (0.0, np.pi / 4, np.pi / 2, 3 * np.pi / 4)
#: Below it a variance is that of a constant.
CONSTANT = 1e-12
#: Images whose features are computed at once.
CHUNK = 256


def radiomic_features(images: Tensor | NDArray[np.floating]) -> FloatArray:
    """FEATURE_NAMES of each ROI, (n, 72) float64; images: (n, 1, 64, 64) or another size, in [0, 1].

    About 2 ms a ROI on one core. Raises InputError for another shape or values outside [0, 1].
    """
    rois = np.asarray(images, dtype=np.float64)
    if rois.ndim != 4 or rois.shape[1] != 1 or min(rois.shape[2:]) < 2:
        raise InputError(f"Radiomic features need ROIs of shape (n, 1, rows, columns), got {rois.shape}.")
    if rois.size and not (rois.min() >= 0 and rois.max() <= 1):
        raise InputError(f"ROIs must lie in [0, 1], got values from {rois.min():.4g} to {rois.max():.4g}.")
    chunks = [_features_of(rois[start : start + CHUNK, 0]) for start in range(0, len(rois), CHUNK)]
    return np.concatenate([*chunks, np.empty((0, len(FEATURE_NAMES)))])


def frechet_distance(x: FloatArray, y: FloatArray, reference: FloatArray) -> float:
    """The squared Fréchet distance of Gaussians fitted to x (n, d) and y (m, d), both z-scored by reference (r, d); at least 0.

    The samples are far smaller than d × d, so a sample covariance is singular and its distance mostly noise. Both covariances are
    shrunk towards a multiple of the identity by as much as Ledoit and Wolf (2004) find best for their own sample size: well
    conditioned, and of the z-scored features' own variance. What chance adds still depends on n and m: compare only distances of
    equal sizes, and take the rows to be independent (one view a lesion). A feature that is constant in reference is left out.
    Raises InputError for fewer than two rows.
    """
    if min(len(x), len(y), len(reference)) < 2:
        raise InputError(f"A Fréchet distance needs at least 2 ROIs on each side, got {len(x)}, {len(y)} and {len(reference)}.")
    sd = reference.std(axis=0)
    kept = sd > CONSTANT**0.5
    middle, scale = reference.mean(axis=0)[kept], sd[kept]
    x, y = (x[:, kept] - middle) / scale, (y[:, kept] - middle) / scale
    cov_x, cov_y = shrunk_covariance(x), shrunk_covariance(y)
    # The trace of (cov_x cov_y)^(1/2) from the eigenvalues of a symmetric matrix that is similar to the product.
    values, vectors = np.linalg.eigh(cov_x)
    root = vectors * np.sqrt(np.maximum(values, 0))
    shared = np.sqrt(np.maximum(np.linalg.eigvalsh(root.T @ cov_y @ root), 0)).sum()
    apart = x.mean(axis=0) - y.mean(axis=0)
    return max(0.0, float(apart @ apart + np.trace(cov_x) + np.trace(cov_y) - 2 * shared))


def shrunk_covariance(x: FloatArray) -> FloatArray:
    """The covariance (d, d) of rows (n, d), shrunk as Ledoit and Wolf (2004) find best; scikit-learn's takes 25 times as long."""
    n, d = x.shape
    around = x - x.mean(axis=0)
    sample = around.T @ around / n
    mean_variance = np.trace(sample) / d
    size = (sample**2).sum()
    apart = size - d * mean_variance**2
    error = (((around**2).sum(axis=1) ** 2).sum() / n - size) / n
    share = min(error / apart, 1.0) if apart > CONSTANT else 0.0
    return (1 - share) * sample + share * mean_variance * np.eye(d)


def _features_of(rois: FloatArray) -> FloatArray:
    """Of ROIs (n, rows, columns)."""
    columns = []
    for image, low, high in ((rois, 0.0, 1.0), *((_response(rois, s), -RESPONSE_RANGE, RESPONSE_RANGE) for s in SIGMAS)):
        levels = np.clip((image - low) / (high - low) * BINS, 0, BINS - 1).astype(np.uint8)
        columns += [_first_order(image.reshape(len(rois), -1), levels.reshape(len(rois), -1)), _co_occurrence(levels)]
    return np.concatenate(columns, axis=1)


def _response(rois: FloatArray, sigma: float) -> FloatArray:
    """sigma² times the Laplacian of Gaussian of each ROI, the edge repeated outside."""
    along = [
        ndimage.gaussian_filter1d(
            ndimage.gaussian_filter1d(rois, sigma, axis=1, order=order, mode="nearest"),
            sigma,
            axis=2,
            order=2 - order,
            mode="nearest",
        )
        for order in (0, 2)
    ]
    return sigma**2 * (along[0] + along[1])


def _first_order(pixels: FloatArray, levels: NDArray[np.uint8]) -> FloatArray:
    """FIRST_ORDER of images as rows, and of their grey levels; skewness and excess kurtosis of a constant image are 0."""
    n, size = pixels.shape
    mean = pixels.mean(axis=1)
    around = pixels - mean[:, None]
    squares = around**2
    variance = squares.mean(axis=1)
    safe = np.where(variance > CONSTANT, variance, np.inf)
    low, p10, p25, median, p75, p90, high = np.percentile(pixels, [0, 10, 25, 50, 75, 90, 100], axis=1)
    counts = np.bincount((levels + BINS * np.arange(n)[:, None]).ravel(), minlength=n * BINS).reshape(n, BINS)
    return np.column_stack(
        [
            mean,
            np.sqrt(variance),
            (squares * around).mean(axis=1) / safe**1.5,
            np.where(variance > CONSTANT, (squares**2).mean(axis=1) / safe**2 - 3, 0),
            p10,
            median,
            p90,
            p75 - p25,
            high - low,
            np.abs(around).mean(axis=1),
            (pixels**2).mean(axis=1),
            _entropy(counts / size),
        ]
    )


def _co_occurrence(levels: NDArray[np.uint8]) -> FloatArray:
    """CO_OCCURRENCE of grey levels (n, rows, columns), from one matrix an image: the mean over all directions."""
    matrices = np.stack([graycomatrix(image, [1], ANGLES, BINS, symmetric=True, normed=True).mean(axis=3) for image in levels], 2)
    return np.column_stack([np.asarray(graycoprops(matrices, name))[:, 0] for name in CO_OCCURRENCE])


def _entropy(shares: FloatArray) -> FloatArray:
    """In bits, of each row."""
    return -(shares * np.log2(np.where(shares > 0, shares, 1))).sum(axis=1)
