"""The paper's ACGAN: one generator for all classes, and a discriminator that also names the class.

Source: Frid-Adar et al. 2018, section III-B, after Odena et al. 2017, whose changes to the discriminator the paper leaves out.
The paper does not give the size of the class embedding; ours is 50.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from lesionlabel.networks.dcgan import PAPER_WIDTH, DCGANDiscriminator, DCGANGenerator
from lesionlabel.networks.weights import allocate, draw_normal

EMBEDDING = 50


class ACGANGenerator(DCGANGenerator):
    """Noise (n, 100) uniform in [-1, 1] and class indices (n,) to ROIs (n, 1, 64, 64) in (-1, 1).

    The DCGAN's generator with the class's learned embedding joined to the noise.
    """

    def __init__(
        self, n_classes: int, width: int = PAPER_WIDTH, generator: torch.Generator | None = None, embedding: int = EMBEDDING
    ) -> None:
        super().__init__(width, generator, conditions=embedding)
        with torch.device("meta"):
            self.embedding = nn.Embedding(n_classes, embedding)
        allocate(self.embedding)
        draw_normal(self.embedding, generator)

    def forward(self, z: Tensor, labels: Tensor | None = None, noise: list[Tensor] | None = None) -> Tensor:
        """ROIs of noise z (n, 100) and class indices labels (n,)."""
        if labels is None:
            raise TypeError("The ACGAN's generator needs class indices.")
        return super().forward(torch.cat([z, self.embedding(labels)], dim=1))


class ACGANDiscriminator(DCGANDiscriminator):
    """The DCGAN's discriminator with one more logit per class."""

    def __init__(self, n_classes: int, width: int = PAPER_WIDTH, generator: torch.Generator | None = None) -> None:
        super().__init__(width, generator, n_classes)
