"""What the warning "unlike anything curated" finds: named stress sets with counts, and how often it warns of usual lesions.

    python benchmarks/unlike.py [--count 50] [--seed 950] [--model FOLDER]

Of sets that are not in the table nothing is claimed: MR, which the phantom cannot make, and whatever else is no lesion of the
classes. In the server the phase check refuses other phases before this warning is asked.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from stress_sets import lesions, stress_sets

from lesionlabel.evaluation.metrics import wilson
from lesionlabel.evaluation.unlike import WARN_FROM
from lesionlabel.lesions.roi import Context, cut_roi
from lesionlabel.registry.bundle import load_classifier
from lesionlabel.registry.classifier import Classifier
from lesionlabel.registry.versions import starter_folder


def tell(classifier: Classifier, name: str, contexts: list[Context]) -> None:
    """One row of the table."""
    features, probabilities = classifier.look(np.stack([cut_roi(context) for context in contexts]))
    percentiles = np.array([classifier.percentile(row) for row in features], dtype=np.float64)
    called = np.bincount(probabilities.argmax(axis=1), minlength=len(classifier.class_names))
    types = ", ".join(f"{n} {label}" for label, n in zip(classifier.class_names, called, strict=True) if n)
    warned = percentiles >= WARN_FROM
    print(f"| {name} | {warned.sum()} of {len(contexts)} | {wilson(warned).percent()} | {np.median(percentiles):.0f} | {types} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=50, help="ROIs of each set")
    parser.add_argument("--seed", type=int, default=950, help="900 is the one that the distance was chosen on")
    parser.add_argument("--model", type=Path, default=starter_folder(), help="a version's bundle; the starter's if not given")
    chosen = parser.parse_args()
    classifier = load_classifier(chosen.model)
    if classifier.familiar is None or not classifier.familiar.measures:
        raise SystemExit(f"{classifier.version} keeps no training lesions, or too few: train a version again.")
    print(f"{classifier.version}, {len(classifier.familiar.patients)} training lesions; simulated sets, seed {chosen.seed}\n")
    print("| set | warned about | share [95 %] | median percentile | types that the model would have given |")
    print("| --- | --- | --- | --- | --- |")
    usual = [lesion.context for lesion in lesions(3 * chosen.count, chosen.seed)]
    tell(classifier, "usual lesions: false alarms", usual)
    for name, contexts in stress_sets(chosen.count, chosen.seed):
        tell(classifier, name, contexts)


if __name__ == "__main__":
    main()
