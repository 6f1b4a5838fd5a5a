"""A classifier version on disk: a MONAI-bundle folder with safetensors weights, a manifest of hashes, and a model card."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
from pathlib import Path

from lesionlabel.evaluation.unlike import Familiar
from lesionlabel.lesions.errors import InputError
from lesionlabel.networks.device import pick_device
from lesionlabel.networks.paper_cnn import PaperCNN
from lesionlabel.registry.bundle_folder import CARD_NAME, WEIGHTS_NAME, take_weights, write_bundle
from lesionlabel.registry.card import inference_config, metadata, model_card
from lesionlabel.registry.classifier import Classifier
from lesionlabel.registry.familiar_file import FAMILIAR_NAME, familiar_bytes, read_familiar
from lesionlabel.registry.manifest import Manifest, read_manifest, verify_files


def save_bundle(
    folder: Path,
    network: PaperCNN,
    manifest: Manifest,
    evaluation_text: str = "",
    familiar: Familiar | None = None,
    *,
    over: bool = False,
) -> Manifest:
    """Write the bundle so that a reader finds all of it or nothing. Returns the manifest with every file's hash.

    evaluation_text: Markdown for the card. familiar: the training lesions in the network's features, patients numbered as in the
    manifest. over: whether a bundle already in folder gives way. Raises InputError when the weights are not finite, do not fit
    the classes, or the folder exists.
    """
    if network.n_classes != len(manifest.class_names):
        raise InputError(f"The network answers for {network.n_classes} classes, the manifest names {manifest.class_names}.")
    versions = {name: importlib.metadata.version(name) for name in ("monai", "torch", "numpy", "safetensors", "lesionlabel")}
    files = {
        "configs/metadata.json": _json(metadata(manifest, versions)),
        "configs/inference.json": _json(inference_config(manifest)),
        CARD_NAME: model_card(manifest, evaluation_text).encode(),
    }
    if familiar is not None:
        files[FAMILIAR_NAME] = familiar_bytes(familiar)
    return write_bundle(folder, network, manifest, files, over=over)


def load_classifier(folder: Path, device: str = "cpu", manifest_sha256: str | None = None) -> Classifier:
    """The classifier in folder, every file checked against the manifest before anything of it is used.

    manifest_sha256: what the manifest itself must hash to, as it was promoted.

    Raises NoModelError when there is none, IntegrityError (naming the file) when one differs from its hash or the weights do
    not fit the network, InputError for a device that is not there.
    """
    manifest = read_manifest(folder, Manifest, manifest_sha256)
    network = PaperCNN(len(manifest.class_names))
    files = verify_files(folder, manifest, required=(WEIGHTS_NAME,))
    take_weights(network, files[WEIGHTS_NAME], folder / WEIGHTS_NAME)
    familiar = read_familiar(files[FAMILIAR_NAME], folder / FAMILIAR_NAME) if FAMILIAR_NAME in files else None
    return Classifier(network, manifest, hashlib.sha256(files[WEIGHTS_NAME]).hexdigest(), pick_device(device), familiar)


def _json(content: dict) -> bytes:
    return (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode()
