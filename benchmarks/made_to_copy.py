"""Is a generator that copies caught? One is made to: a few lesions without augmentation, trained far too long, then checked.

Beside it the same network trained as it should be is checked. Simulated lesions: a result on them says nothing about patients.

    python benchmarks/made_to_copy.py
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import torch
from torch import Tensor

from lesionlabel.augment.classic import augment_cohort, originals
from lesionlabel.evaluation.copies import find_nearest
from lesionlabel.evaluation.held_out import held_out_baseline
from lesionlabel.evaluation.memorisation import check_nearest
from lesionlabel.evaluation.orbit import orbit_distances
from lesionlabel.lesions.cohort import Cohort
from lesionlabel.lesions.splits import patient_folds
from lesionlabel.networks.noise import draw_inputs
from lesionlabel.phantom.cohort import make_cohort
from lesionlabel.training.gan import TrainedGan, train_gan
from lesionlabel.training.gan_config import GanConfig


def first_of_each_patient(cohort: Cohort, count: int) -> Cohort:
    """One lesion each of the first patients."""
    seen: dict[str, int] = {}
    for index, lesion in enumerate(cohort):
        seen.setdefault(lesion.patient, index)
    return cohort.subset(list(seen.values())[:count])


def sample(gan: TrainedGan, n: int, seed: int) -> Tensor:
    """ROIs (n, 1, 64, 64) in [0, 1]."""
    with torch.inference_mode():
        made = gan.generator(*draw_inputs(gan.generator, n, torch.Generator().manual_seed(seed)))
    return ((made + 1) / 2).clamp(0, 1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--label", default="metastasis")
    parser.add_argument("--lesions", type=int, default=6, help="what the generator that is made to copy sees")
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--width", type=int, default=32)
    parser.add_argument("--rois", type=int, default=300)
    asked = parser.parse_args()

    everyone = make_cohort(None, seed=100)
    of_class = everyone.subset(np.flatnonzero(everyone.labels == everyone.class_names.index(asked.label)))
    folds = patient_folds(of_class.labels * 0, of_class.patients, 3, np.random.default_rng([0, 0]))
    training = of_class.subset(np.flatnonzero(folds != 0))
    baseline = held_out_baseline(of_class, folds, 0)
    few = first_of_each_patient(training, asked.lesions)
    sets = {
        f"{asked.lesions} lesions, no augmentation": originals(few),
        f"{len(training)} lesions, classic augmentation": augment_cohort(training, 80 * len(training), 0).images,
    }
    for name, images in sets.items():
        config = GanConfig(arm="dcgan", width=asked.width, steps=asked.steps, least_diversity=0.0)
        start = time.monotonic()
        made = sample(train_gan(images, None, config), asked.rois, 1)
        nearest = find_nearest(orbit_distances(made, training), training.patients)
        check = check_nearest(nearest, training, baseline, 0)
        print(f"## Trained on {name}, {asked.steps} steps, {time.monotonic() - start:.0f} s\n\n{check.to_markdown()}", flush=True)


if __name__ == "__main__":
    main()
