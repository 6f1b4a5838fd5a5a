"""A trained classifier ready to answer: verified weights, temperature, and where they come from."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn.utils.memory_format import convert_conv2d_weight_memory_format

from lesionlabel.evaluation.unlike import Familiar
from lesionlabel.lesions.errors import InputError
from lesionlabel.networks.paper_cnn import INPUT_SIZE, PaperCNN
from lesionlabel.registry.manifest import Manifest, TrainedOn

#: ROIs that go through the network at once: bounds the memory of a large request.
CHUNK = 256


class Classifier:
    """Answers for ROIs. It holds no state that a call changes, so any number of threads may share one.

    version, trained_on, temperature: from the manifest. sha256: of the weights file. class_names: order of every
    probability vector. class_mix: share of each class that the probabilities assume. familiar: its training lesions, None in
    versions from before they were kept.
    """

    def __init__(
        self, network: PaperCNN, manifest: Manifest, sha256: str, device: torch.device, familiar: Familiar | None = None
    ) -> None:
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
        self.familiar = familiar
        self._patients = {name: number for number, name in enumerate(manifest.patients)}

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

    def look(self, rois: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Features (n, 256) and calibrated probabilities (n, classes) of ROIs (n, 64, 64) in [0, 1], from one pass.

        Raises InputError for other input.
        """
        width = self._network.head.in_features
        both = self._run(rois, self._features_and_logits, width + len(self.class_names))
        return both[:, :width], softmax(both[:, width:] / self.temperature)

    def percentile(self, features: NDArray[np.float64], patient: str | None = None) -> float | None:
        """How unlike the training lesions features (256,) are, 0 to 100; None where the version cannot say.

        patient: pseudonym of the patient whose ROI it is: lesions of that patient that trained are left out.
        """
        if self.familiar is None or not self.familiar.measures:
            return None
        return self.familiar.percentile(features, self._patients.get(patient or ""))

    def warm_up(self) -> None:
        """Answer once, so that the first who asks does not wait for what torch prepares at its first use."""
        features, _ = self.look(np.full((1, INPUT_SIZE, INPUT_SIZE), 0.5, dtype=np.float32))
        self.percentile(features[0])

    def predict(self, roi: NDArray[np.float32]) -> list[tuple[str, float]]:
        """Class names with their probability for one ROI (64, 64), most probable first."""
        row = self.probabilities(np.asarray(roi)[None])[0]
        return [(self.class_names[i], float(row[i])) for i in np.argsort(-row, kind="stable")]

    def _features_and_logits(self, images: torch.Tensor) -> torch.Tensor:
        features = self._network.features(images)
        return torch.cat([features, self._network.head(features)], dim=1)

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
