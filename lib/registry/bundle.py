"""A classifier version on disk: a MONAI-bundle folder with safetensors weights, a manifest of hashes, and a model card."""

from __future__ import annotations

import importlib.metadata
import json
from pathlib import Path

from lesionlabel.lesions.errors import InputError
from lesionlabel.networks.device import pick_device
from lesionlabel.networks.paper_cnn import PaperCNN
from lesionlabel.registry.bundle_folder import CARD_NAME, load_weights, write_bundle
from lesionlabel.registry.card import inference_config, metadata, model_card
from lesionlabel.registry.classifier import Classifier
from lesionlabel.registry.manifest import Manifest, read_manifest


def save_bundle(
    folder: Path, network: PaperCNN, manifest: Manifest, evaluation_text: str = "", *, over: bool = False
) -> Manifest:
    """Write the bundle so that a reader finds all of it or nothing. Returns the manifest with every file's hash.

    evaluation_text: Markdown for the card. over: whether a bundle already in folder gives way. Raises InputError when the
    weights are not finite, do not fit the classes, or the folder exists.
    """
    if network.n_classes != len(manifest.class_names):
        raise InputError(f"The network answers for {network.n_classes} classes, the manifest names {manifest.class_names}.")
    versions = {name: importlib.metadata.version(name) for name in ("monai", "torch", "numpy", "safetensors", "lesionlabel")}
    files = {
        "configs/metadata.json": _json(metadata(manifest, versions)),
        "configs/inference.json": _json(inference_config(manifest)),
        CARD_NAME: model_card(manifest, evaluation_text).encode(),
    }
    return write_bundle(folder, network, manifest, files, over=over)


def load_classifier(folder: Path, device: str = "cpu", manifest_sha256: str | None = None) -> Classifier:
    """The classifier in folder, every file checked against the manifest before anything of it is used.

    manifest_sha256: what the manifest itself must hash to, as it was promoted.

    Raises NoModelError when there is none, IntegrityError (naming the file) when one differs from its hash or the weights do
    not fit the network, InputError for a device that is not there.
    """
    manifest = read_manifest(folder, Manifest, manifest_sha256)
    network = PaperCNN(len(manifest.class_names))
    sha256 = load_weights(folder, manifest, network)
    return Classifier(network, manifest, sha256, pick_device(device))


def _json(content: dict) -> bytes:
    return (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode()
