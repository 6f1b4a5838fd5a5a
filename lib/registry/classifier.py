"""A trained classifier ready to answer: verified weights, temperature, and where they come from."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.utils.memory_format import convert_conv2d_weight_memory_format

from lesionlabel.lesions.errors import InputError
from lesionlabel.networks.paper_cnn import INPUT_SIZE, PaperCNN
from lesionlabel.registry.manifest import Manifest, TrainedOn

#: ROIs that go through the network at once: bounds the memory of a large request.
CHUNK = 256


class Classifier:
    """Answers for ROIs. It holds no state that a call changes, so any number of threads may share one.

    version, trained_on, temperature: from the manifest. sha256: of the weights file. class_names: order of every
    probability vector. class_mix: share of each class that the probabilities assume.
    """

    def __init__(self, network: PaperCNN, manifest: Manifest, sha256: str, device: torch.device) -> None:
        # Channels last: max-pooling is vectorised there, and one click's five ROIs take a third of the time.
        self._network: PaperCNN = convert_conv2d_weight_memory_format(
            network.to(device).eval().requires_grad_(False), torch.channels_last
        )
        self._device = device
        self.manifest = manifest
        self.sha256 = sha256
        self.version: str = manifest.version
        self.trained_on: TrainedOn = manifest.trained_on
        self.class_names: tuple[str, ...] = manifest.class_names
        self.class_mix: dict[str, float] = manifest.class_mix
        self.temperature: float = manifest.temperature

    def logits(self, rois: NDArray[np.float32]) -> NDArray[np.float64]:
        """Logits (n, classes), before the temperature, of ROIs (n, 64, 64) in [0, 1]. Raises InputError for other input."""
        return self._run(rois, self._network.forward, len(self.class_names))

    def features(self, rois: NDArray[np.float32]) -> NDArray[np.float64]:
        """Dense features (n, 256) of ROIs (n, 64, 64) in [0, 1]. Raises InputError for other input."""
        return self._run(rois, self._network.features, self._network.head.in_features)

    def probabilities(self, rois: NDArray[np.float32]) -> NDArray[np.float64]:
        """Calibrated probabilities (n, classes), each row summing to 1, of ROIs (n, 64, 64) in [0, 1].

        Raises InputError for another shape, values outside [0, 1] or NaN.
        """
        return softmax(self.logits(rois) / self.temperature)

    def warm_up(self) -> None:
        """Answer once, so that the first who asks does not wait for what torch prepares at its first use."""
        self.logits(np.full((1, INPUT_SIZE, INPUT_SIZE), 0.5, dtype=np.float32))

    def predict(self, roi: NDArray[np.float32]) -> list[tuple[str, float]]:
        """Class names with their probability for one ROI (64, 64), most probable first."""
        row = self.probabilities(np.asarray(roi)[None])[0]
        return [(self.class_names[i], float(row[i])) for i in np.argsort(-row, kind="stable")]

    def _run(self, rois: NDArray[np.float32], layer, width: int) -> NDArray[np.float64]:
        rois = np.asarray(rois, dtype=np.float32)
        if rois.ndim != 3 or rois.shape[1:] != (INPUT_SIZE, INPUT_SIZE):
            raise InputError(f"ROIs must have shape (n, {INPUT_SIZE}, {INPUT_SIZE}), got {rois.shape}.")
        # NaN fails both comparisons.
        if rois.size and not (rois.min() >= 0 and rois.max() <= 1):
            raise InputError(f"ROIs must lie in [0, 1], got values from {rois.min()} to {rois.max()}: use cut_roi.")
        answers = np.empty((len(rois), width))
        with torch.inference_mode():
            for start in range(0, len(rois), CHUNK):
                images = torch.from_numpy(np.ascontiguousarray(rois[start : start + CHUNK]))[:, None].to(self._device)
                answers[start : start + CHUNK] = layer(images).double().cpu().numpy()
        return answers


def softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    """Probabilities of logits (n, classes), in float64."""
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    return shifted / shifted.sum(axis=1, keepdims=True)
