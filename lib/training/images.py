"""The one check of what any training or measurement is given."""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor

from lesionlabel.lesions.errors import InputError
from lesionlabel.lesions.roi import ROI_SIZE


def require_images(images: Tensor) -> None:
    """Raise InputError unless images are ROIs (n, 1, 64, 64), float32, in [0, 1], at least one."""
    if images.ndim != 4 or images.shape[1:] != (1, ROI_SIZE, ROI_SIZE) or images.dtype != torch.float32 or not len(images):
        raise InputError(
            f"ROIs must have shape (n, 1, {ROI_SIZE}, {ROI_SIZE}) in float32, at least one; "
            f"got {tuple(images.shape)} in {images.dtype}."
        )
    low, high = float(images.min()), float(images.max())
    if not (low >= 0 and high <= 1):
        raise InputError(
            f"ROIs must lie in [0, 1], got values from {low} to {high}: use cut_roi or cut_rois, or map what a generator made."
        )


def require_labels(labels: Tensor, n_images: int, n_classes: int | None) -> int:
    """The number of classes, the largest label + 1 if None. Raises InputError unless labels are n_images indices below it."""
    if labels.shape != (n_images,):
        raise InputError(f"{n_images} images need as many labels, got shape {tuple(labels.shape)}.")
    wanted = int(labels.max()) + 1 if n_classes is None else n_classes
    if int(labels.min()) < 0 or int(labels.max()) >= wanted:
        raise InputError(f"Labels must be class indices from 0 to {wanted - 1}, got {int(labels.min())} to {int(labels.max())}.")
    return wanted


def images_digest(images: Tensor, labels: Tensor | None) -> str:
    """SHA-256 of the images and their labels, by which a checkpoint knows its training."""
    digest = hashlib.sha256(images.contiguous().numpy().tobytes())
    if labels is not None:
        digest.update(labels.to(torch.int64).numpy().tobytes())
    return digest.hexdigest()
