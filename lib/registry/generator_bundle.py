"""A generator version on disk: safetensors weights, a manifest of hashes, a card, and a page of pictures."""

from __future__ import annotations

from pathlib import Path

from lesionlabel.lesions.errors import InputError
from lesionlabel.networks.device import pick_device
from lesionlabel.networks.gans import Generator, build_generator
from lesionlabel.registry.bundle_folder import CARD_NAME, load_weights, write_bundle
from lesionlabel.registry.generator import LesionGenerator
from lesionlabel.registry.generator_card import PICTURES_NAME, generator_card
from lesionlabel.registry.generator_manifest import GeneratorManifest
from lesionlabel.registry.manifest import read_manifest


def save_generator(
    folder: Path, network: Generator, manifest: GeneratorManifest, report_text: str, pictures: bytes, *, over: bool = False
) -> GeneratorManifest:
    """Write the bundle so that a reader finds all of it or nothing. Returns the manifest with every file's hash.

    report_text: Markdown for the card. pictures: a PNG page. Raises InputError when the weights are not finite, the width is
    another than the manifest's, or the folder exists and over is not set.
    """
    if network.width != manifest.width:
        raise InputError(f"The network has width {network.width}, the manifest says {manifest.width}.")
    files = {CARD_NAME: generator_card(manifest, report_text).encode(), PICTURES_NAME: pictures}
    return write_bundle(folder, network, manifest, files, over=over)


def load_generator(folder: Path, device: str = "cpu", manifest_sha256: str | None = None) -> LesionGenerator:
    """The generator in folder, every file checked against the manifest before anything of it is used.

    manifest_sha256: what the manifest itself must hash to, as it was promoted. Raises NoModelError when there is none,
    IntegrityError (naming the file) when one differs from its hash or the weights do not fit the network.
    """
    manifest = read_manifest(folder, GeneratorManifest, manifest_sha256)
    network = build_generator(manifest.arm, manifest.width, len(manifest.class_names))
    sha256 = load_weights(folder, manifest, network)
    return LesionGenerator(network, manifest, sha256, pick_device(device))
