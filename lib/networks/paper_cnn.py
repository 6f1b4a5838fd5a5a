"""The paper's classifier: three convolutions with valid padding, dense 256, one logit per class.

Source: Frid-Adar et al. 2018, section III; "about 1.3 M parameters" holds for valid padding only. The paper does not give the
initial weights: ours are Glorot-uniform with zero bias.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

#: Side of the input in pixels and width of the dense layer.
INPUT_SIZE = 64
FEATURES = 256


class PaperCNN(nn.Module):
    """64 × 64 ROI in [0, 1] to logits. 1,273,347 parameters for three classes.

    Valid padding and pooling by two leave out the last two rows and columns of a ROI: no logit depends on them.

    The scalar mean of the training images is a buffer, so it is stored with the weights and cannot drift from them. Without a
    generator all weights are zero: a network that nobody trained never looks as if it had an opinion.
    """

    mean: Tensor

    def __init__(self, n_classes: int = 3, generator: torch.Generator | None = None) -> None:
        super().__init__()
        self.n_classes = n_classes
        # On the meta device layers are made without drawing from the global generator.
        with torch.device("meta"):
            self.conv1 = nn.Conv2d(1, 32, 3)
            self.conv2 = nn.Conv2d(32, 64, 3)
            self.conv3 = nn.Conv2d(64, 128, 3)
            self.dense = nn.Linear(128 * 6 * 6, FEATURES)
            self.head = nn.Linear(FEATURES, n_classes)
        self.to_empty(device="cpu")
        self.register_buffer("mean", torch.zeros(()))
        for parameter in self.parameters():
            if parameter.dim() > 1 and generator is not None:
                nn.init.xavier_uniform_(parameter, generator=generator)
            else:
                nn.init.zeros_(parameter)

    def features(self, images: Tensor) -> Tensor:
        """Dense features after ReLU, (n, 256), of images (n, 1, 64, 64) in [0, 1]."""
        x = images - self.mean
        for layer in (self.conv1, self.conv2, self.conv3):
            # Pooling first gives the same values as ReLU first and leaves ReLU a quarter of the work.
            x = functional.relu(functional.max_pool2d(layer(x), 2))
        return functional.relu(self.dense(x.flatten(1)))

    def forward(self, images: Tensor, dropout: float = 0.0, generator: torch.Generator | None = None) -> Tensor:
        """Logits (n, n_classes) of images (n, 1, 64, 64) in [0, 1].

        dropout: share of features dropped, in training only; drawn from generator, which must be on the images' device.
        """
        features = self.features(images)
        if dropout > 0:
            kept = torch.rand(features.shape, generator=generator, device=features.device) >= dropout
            features = features * kept.to(features.dtype) / (1 - dropout)
        return self.head(features)
