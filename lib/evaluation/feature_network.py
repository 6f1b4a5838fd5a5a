"""The features that image quality is measured in: the paper's network, trained on the fold's training patients alone.

So nothing of a held-out patient is in it. It favours training ROIs slightly, though: their class lies where it learned to put
it, held-out lesions lie less neatly. The noise floor, which is of training ROIs, and a generator that learned from the same
lesions are favoured alike against the held-out reference; figures in different folds are in different features.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lesionlabel.lesions.cohort import Cohort
from lesionlabel.networks.paper_cnn import PaperCNN
from lesionlabel.training.classifier import ClassifierConfig, train_classifier
from lesionlabel.training.dataset import training_set
from lesionlabel.training.hooks import Progress, ShouldStop, never_stop, no_progress

#: ROIs (n, 1, 64, 64) float32 in [0, 1] to their features, (n, d).
Features = Callable[[Tensor], NDArray[np.float64]]

#: ROIs that go through the network at once.
CHUNK = 256


@dataclass(frozen=True, eq=False)
class FoldFeatures:
    """Features of a network, with the patients it has seen, on whom nothing may be measured as held out.

    Called with ROIs (n, 1, 64, 64) it gives the network's dense layer after ReLU, (n, 256), divided by unit, so that squares are
    1 on average over the training ROIs: KID's kernel adds 1 to the product and would else mean something else for each network.
    """

    network: PaperCNN
    unit: float
    patients: frozenset[str]

    def __call__(self, images: Tensor) -> NDArray[np.float64]:
        return _dense(self.network, images) / self.unit


def fold_features(
    training: Cohort,
    config: ClassifierConfig,
    amount: int,
    *,
    progress: Progress = no_progress,
    should_stop: ShouldStop = never_stop,
) -> FoldFeatures:
    """Train the paper's network to tell apart the classes of a fold's training patients, for its features.

    training: lesions of all classes. amount: classic augmentations beside their own ROIs. The config's seed draws augmentations
    and weights. Raises what train_classifier raises.
    """
    augment_seed, train_seed = (int(s) for s in np.random.SeedSequence([config.seed, 1]).generate_state(2))
    images, labels = training_set(training, amount, augment_seed)
    trained = train_classifier(
        images,
        labels,
        replace(config, seed=train_seed),
        n_classes=len(training.class_names),
        progress=progress,
        should_stop=should_stop,
    )
    unit = float(np.sqrt((_dense(trained.network, images) ** 2).mean()))
    return FoldFeatures(trained.network, unit or 1.0, frozenset(training.patients))


def _dense(network: PaperCNN, images: Tensor) -> NDArray[np.float64]:
    with torch.inference_mode():
        return torch.cat([network.features(chunk) for chunk in images.split(CHUNK)]).double().numpy()
