"""The click segmenter's bundle on disk: safetensors weights, a manifest of hashes, and a card."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from lesionlabel.clicks.segmenter import ClickSegmenter
from lesionlabel.networks.click_unet import ClickUNet
from lesionlabel.registry.bundle_folder import CARD_NAME, load_weights, write_bundle
from lesionlabel.registry.card import NOT_CLINICAL, PHANTOM_SAYS_NOTHING
from lesionlabel.registry.manifest import VersionManifest, read_manifest


@dataclass(frozen=True, kw_only=True)
class SegmenterManifest(VersionManifest):
    """The manifest of a click segmenter. Its one class is "lesion", counted in scenes. width: of its network.

    evaluation: what was measured on simulated scenes of abdomens that it did not see.
    """

    FORMAT: ClassVar[str] = "lesionlabel-segmenter-2"
    ADVICE: ClassVar[str] = "It comes with the package: install LesionLabel again."

    width: int
    evaluation: dict[str, Any]

    @classmethod
    def _own(cls, content: dict[str, Any]) -> dict[str, Any]:
        return {"width": int(content["width"]), "evaluation": dict(content["evaluation"])}


def save_segmenter(
    folder: Path, network: ClickUNet, manifest: SegmenterManifest, evaluation_text: str, *, over: bool = False
) -> SegmenterManifest:
    """Write the bundle so that a reader finds all of it or nothing. Returns the manifest with every file's hash.

    Raises InputError when a weight is not finite, or the folder exists and over is not set.
    """
    return write_bundle(folder, network, manifest, {CARD_NAME: _card(manifest, evaluation_text).encode()}, over=over)


def load_segmenter(folder: Path) -> ClickSegmenter:
    """The click segmenter in folder, every file checked against the manifest before anything of it is used.

    Raises NoModelError when there is none, IntegrityError (naming the file) when one differs from its hash or does not fit.
    """
    manifest = read_manifest(folder, SegmenterManifest)
    network = ClickUNet(manifest.width)
    load_weights(folder, manifest, network)
    return ClickSegmenter(network, manifest.version)


def _card(manifest: SegmenterManifest, evaluation_text: str) -> str:
    return f"""# LesionLabel click segmenter {manifest.version}

**{NOT_CLINICAL}** It outlines the lesion of the liver under a click, in CT. Look at every outline before you use it.

## What it is

A U-Net of width {manifest.width} over 96 × 96 windows of the clicked slice and its neighbours, with the clicks as channels
(`lesionlabel.networks.click_unet`); it looks at three scales, then twice more closely (`lesionlabel.clicks.segmenter`).

## What it was trained on

Simulated: {manifest.class_counts["lesion"]} lesions of widely varied looks in scenes of simulated abdomens
(`lesionlabel.clicks`). No patient's image. {PHANTOM_SAYS_NOTHING}

## How good it is on simulated scenes of abdomens that it did not see

{evaluation_text.strip()}

More, and what one real CT shows: docs/segmenter.md.

## How it was made

Samples `{manifest.snapshot}`, seed {manifest.seed}, code {manifest.code_version}, settings:

```json
{json.dumps(manifest.config, indent=2)}
```
"""
