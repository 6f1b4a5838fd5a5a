"""The filter of one fold: its classifier on classic augmentation alone chooses among the DCGANs' ROIs."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from lesionlabel.evaluation.crossval import is_simulated
from lesionlabel.experiment.sets import Fold
from lesionlabel.lesions.files import write_atomically
from lesionlabel.networks.paper_cnn import PaperCNN
from lesionlabel.registry.bundle_folder import take_weights, weights_digest, weights_of
from lesionlabel.registry.classifier import Classifier
from lesionlabel.registry.manifest import Manifest, code_version
from lesionlabel.registry.synthetic_filter import FilterSettings, SyntheticFilter


def keep_network(network: PaperCNN, path: Path) -> None:
    """Write a fold's classifier, for the filter."""
    write_atomically(path, weights_of(network))


def choose(rois: dict[int, Tensor], fold: Fold, path: Path) -> dict[int, Tensor]:
    """Of each class's ROIs (n, 1, 64, 64) those that the fold's classifier keeps. path: what keep_network wrote.

    Raises IntegrityError when that is damaged.
    """
    names = fold.training.class_names
    network = PaperCNN(len(names))
    take_weights(network, path.read_bytes(), path)
    simulated = is_simulated(fold.training)
    manifest = Manifest(
        version=f"fold-{fold.seed}-{fold.number}",
        created="",
        class_counts=fold.training.counts(),
        trained_on="phantom" if simulated else "patients",
        patients=tuple(sorted(set(fold.training.patients))),
        snapshot=fold.training.digest,
        config={},
        seed=fold.seed,
        code_version=code_version(),
        temperature=1.0,
        evaluation=None,
    )
    classifier = Classifier(network, manifest, weights_digest(network), torch.device("cpu"))
    chosen_by = SyntheticFilter(classifier, fold.training, FilterSettings())
    return {index: images[torch.from_numpy(chosen_by.keep(images[:, 0].numpy(), names[index]))] for index, images in rois.items()}
