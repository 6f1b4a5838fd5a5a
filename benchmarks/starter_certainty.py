"""How sure the starter may be: its prediction sets and its warning, on simulated lesions that it has not seen.

    lesionlabel phantom --rois --seed 50 --out build/starter
    python benchmarks/starter_certainty.py --cohort build/starter/cohort.npz [--write models/lesion_classifier]

Training keeps both with a version. Not every CPU rounds alike, so a starter that was trained before they were kept cannot be
trained again to the same weights everywhere: --write adds them to its bundle, the sets from the out-of-fold answers in its
manifest, the training lesions' features from its own snapshot, the false alarms as measured here. Weights and figures stay.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from lesionlabel.augment.classic import originals
from lesionlabel.evaluation.calibration import fit_temperature
from lesionlabel.evaluation.metrics import wilson
from lesionlabel.evaluation.prediction_set import PredictionSets, fit_prediction_sets
from lesionlabel.evaluation.unlike import false_alarms
from lesionlabel.lesions.cohort import Cohort, load_cohort
from lesionlabel.networks.paper_cnn import PaperCNN
from lesionlabel.phantom.cohort import make_cohort
from lesionlabel.registry.bundle import load_classifier, save_bundle
from lesionlabel.registry.bundle_folder import CARD_NAME, load_weights
from lesionlabel.registry.certainty import familiar_to
from lesionlabel.registry.classifier import Classifier, softmax
from lesionlabel.registry.manifest import Manifest, read_manifest
from lesionlabel.registry.versions import starter_folder


def sets_of(manifest: Manifest, cohort: Cohort) -> PredictionSets:
    rows = (manifest.evaluation or {})["out_of_fold"]
    return fit_prediction_sets(
        np.array([row["logits"] for row in rows]),
        np.array([cohort.class_names.index(row["label"]) for row in rows]),
        [row["patient"] for row in rows],
        np.array([row["fold"] for row in rows]),
        len(cohort.class_names),
    )


def tell_coverage(sets: PredictionSets, probabilities: np.ndarray, fresh: Cohort) -> None:
    members = [sets.members(row) or () for row in probabilities]
    inside = np.array([label in found for label, found in zip(fresh.labels, members, strict=True)])
    right = probabilities.argmax(axis=1) == fresh.labels
    print(f"{sets}\n\n| class | lesions | the most probable class is right | the set holds the right class | classes in it |")
    print("| --- | --- | --- | --- | --- |")
    sizes = np.array([len(found) for found in members])
    for name, chosen in [("all", right | ~right), *((n, fresh.labels == i) for i, n in enumerate(fresh.class_names))]:
        shares = f"{wilson(right[chosen]).percent()} | {wilson(inside[chosen]).percent()}"
        print(f"| {name} | {chosen.sum()} | {shares} | {sizes[chosen].mean():.2f} |")


def tell_temperature(sets: PredictionSets, classifier: Classifier, fresh: Cohort) -> None:
    """What the sets would be with the temperature that fits the fresh lesions, which nobody has in use."""
    logits = classifier.logits(originals(fresh)[:, 0].numpy())
    fitting = fit_temperature(logits, fresh.labels, fresh.patients)
    found = [sets.members(row) or () for row in softmax(logits / fitting)]
    held = wilson(np.array([label in members for label, members in zip(fresh.labels, found, strict=True)]))
    size = np.mean([len(members) for members in found])
    print(f"\ntemperature {classifier.temperature:.2f}; {fitting:.2f} fits these lesions, and with it")
    print(f"the sets would hold {held.percent()} with {size:.2f} classes")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cohort", type=Path, required=True, help="the starter's own cohort")
    parser.add_argument("--fresh", type=int, default=300, help="fresh lesions, a third of each class")
    parser.add_argument("--seed", type=int, default=61, help="of the fresh lesions; 50 is the starter's")
    parser.add_argument("--write", type=Path, help="the starter's bundle, to add both to")
    chosen = parser.parse_args()
    folder = chosen.write or starter_folder()
    manifest, cohort = read_manifest(folder, Manifest), load_cohort(chosen.cohort)
    if manifest.snapshot != cohort.digest:
        raise SystemExit(f"{folder} was trained on the snapshot {manifest.snapshot}; this cohort is {cohort.digest}.")
    network = PaperCNN(len(cohort.class_names))
    load_weights(folder, manifest, network)
    familiar = familiar_to(network.eval(), cohort, manifest.patients)
    known = load_classifier(folder, "cpu")
    classifier = Classifier(network, manifest, known.sha256, torch.device("cpu"), familiar)
    each_class = [chosen.fresh // 3] * len(cohort.class_names)
    fresh = make_cohort(dict(zip(cohort.class_names, each_class, strict=True)), chosen.seed)
    features, probabilities = classifier.look(originals(fresh)[:, 0].numpy())
    print(f"{manifest.version} on {len(fresh)} fresh simulated lesions, cohort seed {chosen.seed}\n")
    sets = sets_of(manifest, cohort)
    tell_coverage(sets, probabilities, fresh)
    tell_temperature(sets, classifier, fresh)
    percentiles = [familiar.percentile(row) for row in features]
    alarms = false_alarms(percentiles, fresh.patients)
    print(f"\nwarned about as unlike the training lesions: {alarms.percent()}")
    if chosen.write:
        card = (folder / CARD_NAME).read_text(encoding="utf-8")
        figures = card.partition("## How it did\n\n")[2].partition("\n\n## How it ")[0]
        save_bundle(folder, network, replace(manifest, prediction_sets=sets, false_alarms=alarms), figures, familiar, over=True)
        print(f"Written to {folder}; SHA-256 of the weights {load_classifier(folder).sha256}, before {known.sha256}.")


if __name__ == "__main__":
    main()
