"""A classifier version on disk: a MONAI-bundle folder with safetensors weights, a manifest of hashes, and a model card."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

import safetensors
import safetensors.torch
import torch

from lesionlabel.lesions.errors import InputError, IntegrityError
from lesionlabel.lesions.files import sync
from lesionlabel.networks.device import pick_device
from lesionlabel.networks.paper_cnn import PaperCNN
from lesionlabel.registry.card import CARD_NAME, WEIGHTS_NAME, inference_config, metadata, model_card
from lesionlabel.registry.classifier import Classifier
from lesionlabel.registry.manifest import MANIFEST_NAME, Manifest, read_manifest, verify_files

PHANTOM_LICENSE = """The weights in this folder were trained on simulated images and hold no patient data.

Licensed under the Apache License, Version 2.0 (the "License"); you may not use them except in compliance with the License.
You may obtain a copy of the License at

    http://www.apache.org/licenses/LICENSE-2.0

Unless required by applicable law or agreed to in writing, they are distributed on an "AS IS" BASIS, WITHOUT WARRANTIES OR
CONDITIONS OF ANY KIND, either express or implied. See the License for the specific language governing permissions and
limitations.
"""
SITE_LICENSE = """The weights in this folder were trained on patients of the site that made them. No licence comes with them: that
site decides who may use them and where they may go. Weights can reveal what they were trained on.
"""


def weights_digest(network: PaperCNN) -> str:
    """SHA-256 of the network's weights as save_bundle writes them."""
    return hashlib.sha256(_weights(network)).hexdigest()


def save_bundle(
    folder: Path, network: PaperCNN, manifest: Manifest, evaluation_text: str = "", *, over: bool = False
) -> Manifest:
    """Write the bundle so that a reader finds all of it or nothing. Returns the manifest with every file's hash.

    evaluation_text: Markdown for the card. over: whether a bundle already in folder gives way. Raises InputError when the
    weights are not finite, do not fit the classes, or the folder exists.
    """
    if network.n_classes != len(manifest.class_names):
        raise InputError(f"The network answers for {network.n_classes} classes, the manifest names {manifest.class_names}.")
    if not all(bool(torch.isfinite(value).all()) for value in network.state_dict().values()):
        raise InputError("The network holds NaN or infinite weights, so it is not kept. Train again with a lower learning rate.")
    if folder.exists() and not over:
        raise InputError(f"{folder} exists already. A version is never overwritten.")
    versions = {name: importlib.metadata.version(name) for name in ("monai", "torch", "numpy", "safetensors", "lesionlabel")}
    files = {
        WEIGHTS_NAME: _weights(network),
        "configs/metadata.json": _json(metadata(manifest, versions)),
        "configs/inference.json": _json(inference_config(manifest)),
        CARD_NAME: model_card(manifest, evaluation_text).encode(),
        "LICENSE": (PHANTOM_LICENSE if manifest.trained_on == "phantom" else SITE_LICENSE).encode(),
    }
    manifest = replace(manifest, files={name: hashlib.sha256(content).hexdigest() for name, content in files.items()})
    _write_folder(folder, {**files, MANIFEST_NAME: manifest.to_json()})
    return manifest


def load_classifier(folder: Path, device: str = "cpu", manifest_sha256: str | None = None) -> Classifier:
    """The classifier in folder, every file checked against the manifest before anything of it is used.

    manifest_sha256: what the manifest itself must hash to, as it was promoted.

    Raises NoModelError when there is none, IntegrityError (naming the file) when one differs from its hash or the weights do
    not fit the network, InputError for a device that is not there.
    """
    manifest = read_manifest(folder, manifest_sha256)
    weights = verify_files(folder, manifest, required=(WEIGHTS_NAME,))[WEIGHTS_NAME]
    network = PaperCNN(len(manifest.class_names))
    try:
        network.load_state_dict(safetensors.torch.load(weights), strict=True)
    except (RuntimeError, ValueError, safetensors.SafetensorError) as error:
        raise IntegrityError(f"{folder / WEIGHTS_NAME} does not fit the network: {error}.") from error
    return Classifier(network, manifest, hashlib.sha256(weights).hexdigest(), pick_device(device))


def _weights(network: PaperCNN) -> bytes:
    return safetensors.torch.save(
        {name: value.detach().float().cpu().contiguous() for name, value in network.state_dict().items()}
    )


def _json(content: dict) -> bytes:
    return (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode()


def _write_folder(folder: Path, files: dict[str, bytes]) -> None:
    """Write files into a temporary folder beside, fsync, rename."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    try:
        for name, content in files.items():
            path = temporary / name
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
        temporary.chmod(0o755)
        for part in [temporary, *(p for p in temporary.rglob("*") if p.is_dir())]:
            sync(part)
        if folder.exists():
            old = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
            os.replace(folder, old)
            os.replace(temporary, folder)
            shutil.rmtree(old)
        else:
            temporary.rename(folder)
        sync(folder.parent)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise
