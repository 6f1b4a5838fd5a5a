"""The texts of a bundle: MONAI metadata, MONAI inference config, and the model card."""

from __future__ import annotations

import json
from typing import Any

from lesionlabel.evaluation.unlike import WARN_FROM
from lesionlabel.lesions.roi import HU_WINDOW, MARGIN, ROI_SIZE
from lesionlabel.registry.bundle_folder import WEIGHTS_NAME
from lesionlabel.registry.manifest import Manifest

#: MONAI's schema for metadata.json.
METADATA_SCHEMA = "https://github.com/Project-MONAI/MONAI-extra-test-data/releases/download/0.8.1/meta_schema_20220324.json"
NOT_CLINICAL = "Research software, not for clinical use."
PHANTOM_SAYS_NOTHING = "A result on the phantom says nothing about patients."


def metadata(manifest: Manifest, versions: dict[str, str]) -> dict[str, Any]:
    """configs/metadata.json, by MONAI's bundle specification. versions: of monai, torch, numpy and safetensors."""
    return {
        "schema": METADATA_SCHEMA,
        "version": manifest.version,
        "changelog": {manifest.version: f"trained on {len(manifest.patients)} patients, snapshot {manifest.snapshot[:12]}"},
        "monai_version": versions["monai"],
        "pytorch_version": versions["torch"],
        "numpy_version": versions["numpy"],
        "required_packages_version": {"lesionlabel": versions["lesionlabel"], "safetensors": versions["safetensors"]},
        "name": "LesionLabel lesion classifier",
        "task": "Type of one focal liver lesion on portal-venous CT",
        "description": f"Chooses among {', '.join(manifest.class_names)}. {NOT_CLINICAL}",
        "authors": "LesionLabel",
        "copyright": "LesionLabel contributors",
        "license": "Apache-2.0, see LICENSE",
        "intended_use": NOT_CLINICAL,
        "data_source": "phantom (simulated CT)" if manifest.trained_on == "phantom" else "patients of the training site",
        "data_type": "ROI cut by lesionlabel.lesions.roi.cut_roi",
        "image_classes": "one channel, HU window mapped to [0, 1]",
        "label_classes": ", ".join(f"{i} {name}" for i, name in enumerate(manifest.class_names)),
        "pred_classes": "one logit per class; divide by the temperature in manifest.json, then softmax",
        "references": ["Frid-Adar et al. 2018, arXiv 1803.01229"],
        "network_data_format": {
            "inputs": {
                "image": {
                    "type": "image",
                    "format": "hounsfield",
                    "modality": "CT",
                    "num_channels": 1,
                    "spatial_shape": [ROI_SIZE, ROI_SIZE],
                    "dtype": "float32",
                    "value_range": [0, 1],
                    "is_patch_data": False,
                    "channel_def": {"0": f"HU {HU_WINDOW[0]:g} to {HU_WINDOW[1]:g} mapped to 0 to 1"},
                }
            },
            "outputs": {
                "pred": {
                    "type": "probabilities",
                    "format": "classes",
                    "num_channels": len(manifest.class_names),
                    "spatial_shape": [1],
                    "dtype": "float32",
                    "value_range": [],
                    "is_patch_data": False,
                    "channel_def": {str(i): name for i, name in enumerate(manifest.class_names)},
                }
            },
        },
    }


def inference_config(manifest: Manifest) -> dict[str, Any]:
    """configs/inference.json: a MONAI bundle workflow over a folder of ROIs (.npy, 64 × 64, float32 in [0, 1]) to a CSV file."""
    return {
        "imports": ["$import glob", "$from safetensors.torch import load_file"],
        "bundle_root": ".",
        "device": "cpu",
        "dataset_dir": "$@bundle_root + '/rois'",
        "output_dir": "$@bundle_root + '/eval'",
        "temperature": manifest.temperature,
        "network_def": {"_target_": "lesionlabel.networks.paper_cnn.PaperCNN", "n_classes": len(manifest.class_names)},
        "weights": f"$load_file(@bundle_root + '/{WEIGHTS_NAME}')",
        "loaded": "$@network_def.load_state_dict(@weights, strict=True)",
        "network": "$(@loaded, @network_def.to(@device))[1]",
        "preprocessing": {
            "_target_": "Compose",
            "transforms": [
                {"_target_": "LoadImaged", "keys": "image", "reader": "NumpyReader", "image_only": True},
                {"_target_": "EnsureChannelFirstd", "keys": "image", "channel_dim": "no_channel"},
            ],
        },
        "dataset": {
            "_target_": "Dataset",
            "data": "$[{'image': path} for path in sorted(glob.glob(@dataset_dir + '/*.npy'))]",
            "transform": "@preprocessing",
        },
        "dataloader": {"_target_": "DataLoader", "dataset": "@dataset", "batch_size": 64, "shuffle": False, "num_workers": 0},
        "inferer": {"_target_": "SimpleInferer"},
        "postprocessing": {
            "_target_": "Compose",
            "transforms": [
                {"_target_": "Lambdad", "keys": "pred", "func": "$lambda logits: (logits / @temperature).softmax(-1)"},
            ],
        },
        "handlers": [
            {
                "_target_": "ClassificationSaver",
                "output_dir": "@output_dir",
                "batch_transform": "$lambda batch: [item['image'].meta for item in batch]",
                "output_transform": "$lambda output: [item['pred'] for item in output]",
            }
        ],
        "evaluator": {
            "_target_": "SupervisedEvaluator",
            "device": "@device",
            "val_data_loader": "@dataloader",
            "network": "@network",
            "inferer": "@inferer",
            "postprocessing": "@postprocessing",
            "val_handlers": "@handlers",
        },
        "initialize": [],
        "run": ["$@evaluator.run()"],
    }


def _certainty(manifest: Manifest) -> str:
    sets, alarms = manifest.prediction_sets, manifest.false_alarms
    if sets is None:
        return "It keeps neither prediction sets nor how unlike its training lesions a ROI is."
    if sets.achieved is None:
        said = f"No prediction sets: {sets.why_not}."
    else:
        low, high = sets.achieved
        said = (
            f"Prediction sets of {sets.nominal:.0%} from out-of-fold answers on {sets.lesions} lesions of {sets.patients} "
            f"patients, {'one threshold a class' if sets.per_class else 'one threshold for all classes'}. From so many patients "
            f"coverage comes out between {low:.0%} and {high:.0%} in nine of ten cohorts."
        )
    if alarms is None:
        return f"{said} How often it warns of usual lesions as unlike the curated ones was not measured."
    return (
        f"{said} It warns where a ROI is farther from its training lesions than {WARN_FROM:.0f} % of these are from each other; "
        f"it warned of {alarms.percent()} of {alarms.of:.0f} such lesions that the network had not seen."
    )


def model_card(manifest: Manifest, evaluation_text: str) -> str:
    """docs/README.md: what the model is, what it has seen (counted, never listed), and how it did. Markdown."""
    classes = ", ".join(manifest.class_names)
    rows = "\n".join(f"| {name} | {count} | {manifest.class_mix[name]:.0%} |" for name, count in manifest.class_counts.items())
    # Of a version that synthetic ROIs trained, the manifest's patients are also those whom the generators have seen.
    count, patients = sum(manifest.class_counts.values()), manifest.config.get("cohort_patients", len(manifest.patients))
    if manifest.trained_on == "phantom":
        seen = f"Trained on the phantom: {count} simulated lesions of {patients} simulated patients. {PHANTOM_SAYS_NOTHING}"
    else:
        seen = f"Trained on patients: {count} lesions of {patients} patients, whose pseudonyms are in manifest.json only."
    joined = manifest.config.get("synthetic")
    if joined is not None:
        made = sum(counts["kept"] for counts in joined["counts"].values())
        seen += (
            f"\n\n{made} synthetic ROIs trained beside them. Counting whom their generators have seen, its weights come from "
            f"{len(manifest.patients)} patients."
        )
    seen = "\n\n".join([seen, *manifest.config.get("notes", ())])
    return f"""# LesionLabel lesion classifier {manifest.version}

**{NOT_CLINICAL}** Chooses only among {classes}; HCC, abscess, FNH and others will be misnamed.

## What it is

The network of Frid-Adar et al. 2018 (arXiv 1803.01229): three 3 × 3 convolutions with valid padding (32, 64, 128), dense 256, one
logit per class. Input: a {ROI_SIZE} × {ROI_SIZE} ROI of portal-venous CT by `lesionlabel.lesions.roi.cut_roi`
(side {1 + 2 * MARGIN:g} lesion diameters, HU {HU_WINDOW[0]:g} to {HU_WINDOW[1]:g} mapped to 0 to 1).
Logits are divided by the temperature {manifest.temperature:.3f} before the softmax.

## What it was trained on

{seen}

| class | lesions | share |
| --- | --- | --- |
{rows}

Its probabilities assume this class mix. Where the mix is another, they are off.

## How it did

{evaluation_text.strip() or "It was not evaluated. It cannot be promoted."}

## How it says that it is not sure

{_certainty(manifest)}

## How it was made

Snapshot `{manifest.snapshot}`, seed {manifest.seed}, code {manifest.code_version}, settings:

```json
{json.dumps(manifest.config, indent=2)}
```
"""
