"""What the two networks of a GAN minimise, by arm.

DCGAN and modern: cross-entropy of real or generated, the generator's in the non-saturating form (Goodfellow et al. 2014). ACGAN
(Odena et al. 2017): the same plus the cross-entropy of the class, which both minimise. Modern: every sixteenth step the penalty
on the discriminator's gradient at real pictures (R1, Mescheder et al. 2018), lazily as in Karras et al. 2020.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from lesionlabel.networks.gans import Arm

#: What a discriminator returns: logits of being real (n,), logits of the classes (n, n_classes).
Judged = tuple[Tensor, Tensor]


def discriminator_loss(arm: Arm, real: Judged, made: Judged, real_labels: Tensor | None, made_labels: Tensor | None) -> Tensor:
    """The discriminator's loss, a scalar float32. Labels: class indices, for the ACGAN."""
    seen, fooled = real[0].float(), made[0].float()
    source = _is(seen, 1) + _is(fooled, 0)
    if arm == "acgan" and real_labels is not None and made_labels is not None:
        source = source + functional.cross_entropy(real[1].float(), real_labels)
        source = source + functional.cross_entropy(made[1].float(), made_labels)
    return source


def generator_loss(arm: Arm, made: Judged, made_labels: Tensor | None) -> Tensor:
    """The generator's loss, a scalar float32."""
    fooled = made[0].float()
    source = _is(fooled, 1)
    if arm == "acgan" and made_labels is not None:
        source = source + functional.cross_entropy(made[1].float(), made_labels)
    return source


def gradient_penalty(real: Tensor, scores: Tensor, weight: float) -> Tensor:
    """Half of weight times the mean squared gradient of the scores (n,) at the real pictures (n, 1, side, side), a scalar."""
    (gradient,) = torch.autograd.grad(scores.sum(), real, create_graph=True)
    return weight / 2 * gradient.square().sum(dim=(1, 2, 3)).mean()


def _is(logits: Tensor, truth: int) -> Tensor:
    return functional.binary_cross_entropy_with_logits(logits, torch.full_like(logits, truth))
