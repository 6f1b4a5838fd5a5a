"""A picture of the ROI laid back over its image: voxels on the file's own grid, nothing outside the ROI."""

from __future__ import annotations

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from scipy import ndimage

from lesionlabel.lesions.contour import Contour
from lesionlabel.lesions.roi import ROI_SIZE, Context
from lesionlabel.lesions.volume import Volume


def overlay(volume: Volume, contour: Contour, context: Context, picture: NDArray[np.float64]) -> sitk.Image:
    """The picture (64, 64) of the unchanged ROI of context as float32 voxels in the contour's slice, 0 outside the ROI.

    Every voxel whose centre lies in the ROI's square takes the picture's value there, linear between its pixels.
    """
    _, rows, columns = volume.geometry.shape
    step = context.diameter_px * (1 + 2 * context.unscaled_margin) / ROI_SIZE
    x0, y0 = contour.centre
    middle = (ROI_SIZE - 1) / 2
    u, v = (np.arange(columns) - x0) / step + middle, (np.arange(rows) - y0) / step + middle
    x, y = (np.flatnonzero(np.abs(along - middle) <= ROI_SIZE / 2) for along in (u, v))
    down, across = np.meshgrid(v[y], u[x], indexing="ij")
    values = ndimage.map_coordinates(picture, [down, across], order=1, mode="nearest")
    rows_, columns_ = np.meshgrid(y, x, indexing="ij")
    points = np.column_stack([columns_.ravel(), rows_.ravel(), np.full(values.size, contour.slice_index)])
    native = np.rint(volume.to_native(points)).astype(int)
    voxels = np.zeros(volume.native.shape, dtype=np.float32)
    voxels[native[:, 2], native[:, 1], native[:, 0]] = values.ravel()
    return on_native_grid(volume, voxels)


def on_native_grid(volume: Volume, voxels: NDArray[np.uint8] | NDArray[np.float32]) -> sitk.Image:
    """voxels (slices, rows, columns) with the geometry of the file."""
    image = sitk.GetImageFromArray(voxels)
    spacing = np.asarray(volume.native.spacing)
    image.SetSpacing(spacing.tolist())
    image.SetDirection((volume.native.affine[:3, :3] / spacing).ravel().tolist())
    image.SetOrigin(volume.native.affine[:3, 3].tolist())
    return image
