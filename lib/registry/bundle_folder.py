"""A version on disk: a folder with safetensors weights, a licence, and a manifest with the hash of every file."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path

import safetensors
import safetensors.torch
import torch
from torch import nn

from lesionlabel.lesions.errors import InputError, IntegrityError
from lesionlabel.lesions.files import sync
from lesionlabel.registry.manifest import MANIFEST_NAME, M, VersionManifest, verify_files

WEIGHTS_NAME = "models/model.safetensors"
CARD_NAME = "docs/README.md"
PHANTOM_LICENSE = """The weights in this folder were trained on simulated images and hold no patient data.

Licensed under the Apache License, Version 2.0 (the "License"); you may not use them except in compliance with the License.
You may obtain a copy of the License at

    http://www.apache.org/licenses/LICENSE-2.0

Unless required by applicable law or agreed to in writing, they are distributed on an "AS IS" BASIS, WITHOUT WARRANTIES OR
CONDITIONS OF ANY KIND, either express or implied. See the License for the specific language governing permissions and
limitations.
"""
SITE_LICENSE = """The weights in this folder were trained on patients of the site that made them. No licence comes with them: that
site decides who may use them and where they may go. Weights can reveal what they were trained on, and a generator's page of
pictures shows lesions of patients.
"""


def weights_of(network: nn.Module) -> bytes:
    """The network's weights and buffers as safetensors."""
    tensors = {name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()}
    return safetensors.torch.save({n: v.float() if v.is_floating_point() else v for n, v in tensors.items()})


def weights_digest(network: nn.Module) -> str:
    """SHA-256 of the network's weights as write_bundle writes them."""
    return hashlib.sha256(weights_of(network)).hexdigest()


def write_bundle(folder: Path, network: nn.Module, manifest: M, files: dict[str, bytes], *, over: bool = False) -> M:
    """Write network, files and licence so that a reader finds all of it or nothing. Returns the manifest with every file's hash.

    over: whether a bundle already in folder gives way. Raises InputError when a weight is not finite or the folder exists.
    """
    if not all(bool(torch.isfinite(value).all()) for value in network.state_dict().values()):
        raise InputError("The network holds NaN or infinite weights, so it is not kept. Train again with a lower learning rate.")
    if folder.exists() and not over:
        raise InputError(f"{folder} exists already. A version is never overwritten.")
    licence = PHANTOM_LICENSE if manifest.trained_on == "phantom" else SITE_LICENSE
    files = {WEIGHTS_NAME: weights_of(network), "LICENSE": licence.encode(), **files}
    manifest = replace(manifest, files={name: hashlib.sha256(content).hexdigest() for name, content in files.items()})
    _write_folder(folder, {**files, MANIFEST_NAME: manifest.to_json()})
    return manifest


def load_weights(folder: Path, manifest: VersionManifest, network: nn.Module) -> str:
    """Give the network the bundle's weights, once every file matches its hash. Returns the SHA-256 of the weights.

    Raises IntegrityError (naming the file) when one differs from its hash or the weights do not fit the network.
    """
    weights = verify_files(folder, manifest, required=(WEIGHTS_NAME,))[WEIGHTS_NAME]
    take_weights(network, weights, folder / WEIGHTS_NAME)
    return hashlib.sha256(weights).hexdigest()


def take_weights(network: nn.Module, weights: bytes, path: Path) -> None:
    """Give the network what weights_of made. Raises IntegrityError, naming path, when it does not fit."""
    try:
        network.load_state_dict(safetensors.torch.load(weights), strict=True)
    except (RuntimeError, ValueError, safetensors.SafetensorError) as error:
        raise IntegrityError(f"{path} does not fit the network: {error}.") from error


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
