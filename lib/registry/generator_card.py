"""The card of a generator: what it makes, whom it has seen (counted, never listed), how good and how private its images are."""

from __future__ import annotations

import json

from lesionlabel.evaluation.outcome import Outcome
from lesionlabel.registry.card import NOT_CLINICAL, PHANTOM_SAYS_NOTHING
from lesionlabel.registry.generator_manifest import GeneratorManifest

PICTURES_NAME = "docs/pictures.png"
NETWORKS = {
    "dcgan": "The DCGAN of Frid-Adar et al. 2018 (arXiv 1803.01229)",
    "acgan": "The ACGAN of Frid-Adar et al. 2018 (arXiv 1803.01229)",
    "modern": "A GAN for little data: DiffAugment, gradient penalty (R1), noise at every resolution, averaged weights",
}


def generator_card(manifest: GeneratorManifest, report_text: str) -> str:
    """docs/README.md of the bundle. report_text: Markdown on quality and memorisation."""
    rows = "\n".join(f"| {name} | {count} |" for name, count in manifest.class_counts.items())
    lesions, patients = sum(manifest.class_counts.values()), len(manifest.patients)
    if manifest.trained_on == "phantom":
        seen = f"Simulated: {lesions} lesions of {patients} simulated patients (the phantom). {PHANTOM_SAYS_NOTHING}"
    else:
        seen = f"{lesions} lesions of {patients} patients, whose pseudonyms are in manifest.json only."
    unfit = "\n\n**Its images may not train anything: it copies patients.**" if manifest.outcome == Outcome.UNFIT else ""
    return f"""# LesionLabel generator {manifest.name} {manifest.version}

**{NOT_CLINICAL}** It makes synthetic ROIs of {", ".join(manifest.class_names)}. What it makes is no patient's, is marked as
synthetic wherever it is written, and is never evidence of how a lesion looks.

## What it is

{NETWORKS[manifest.arm]}, width {manifest.width}. Output: 64 × 64 ROIs as `lesionlabel.lesions.roi.cut_roi` cuts them.

## What it was trained on

{seen} Its training saw none of the {len(manifest.held_out)} patients that it was measured against.

| class | training lesions |
| --- | --- |
{rows}

## Copies of patients: {manifest.outcome}{unfit}

{report_text.strip() or "Nothing was measured. It cannot be promoted."}

![samples, nearest real lesions, interpolation, losses](pictures.png)

## How it was made

Snapshot `{manifest.snapshot}`, seed {manifest.seed}, code {manifest.code_version}, settings:

```json
{json.dumps(manifest.config, indent=2)}
```
"""
