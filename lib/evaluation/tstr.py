"""Train on synthetic, test on real: what a classifier learns from synthetic ROIs alone, beside one that saw real lesions.

Source: Esteban et al. 2017, arXiv 1706.02633. Image scores are context; whether a classifier can learn the classes from the
images says whether they show them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import softmax
from torch import Tensor

from lesionlabel.augment.classic import PAPER_RECIPE, augment_cohort, originals
from lesionlabel.evaluation.crossval import decided_blind, is_simulated
from lesionlabel.evaluation.metrics import Figures, Interval, lesion_weights, measure, over_patients
from lesionlabel.evaluation.report import PHANTOM_SENTENCE
from lesionlabel.lesions.classes import ClassList
from lesionlabel.lesions.cohort import Cohort
from lesionlabel.lesions.errors import InputError
from lesionlabel.lesions.splits import refuse_leak
from lesionlabel.training.classifier import ClassifierConfig, train_classifier
from lesionlabel.training.hooks import Progress, ShouldStop, never_stop, no_progress, part_of

HOW_TO_READ = (
    "Both networks start from the same weights and train for the same steps on the same number of images, as many of each class. "
    "One saw synthetic ROIs only, the other classic augmentations of the real lesions that the generators learned from. "
    "Accuracy and the difference have 95 % intervals over patients drawn with replacement, which claim certainty where all are "
    "right; the others are 95 % Wilson intervals, which do not but take lesions as independent. One seed was run: the intervals "
    "ignore what another would bring."
)


@dataclass(frozen=True, eq=False)
class Learned:
    """A network's answers for held-out originals. right: (n,) 1 where it was. training: how it was trained."""

    figures: Figures
    accuracy: Interval
    right: NDArray[np.float64]
    training: dict[str, Any]

    def to_json(self) -> dict[str, Any]:
        figures = self.figures.to_json()
        shown = ("sensitivity", "malignant_called_benign", "macro", "confusion")
        return {
            "accuracy": self.accuracy.to_json(),
            "accuracy_wilson": figures["accuracy"],
            **{name: figures[name] for name in shown},
            "training": self.training,
        }


@dataclass(frozen=True, eq=False)
class SyntheticTest:
    """What was learned from synthetic ROIs, and from classic augmentations of real lesions, the floor.

    of_each_class: training images. training_lesions, training_patients: behind the floor. saw_model: held-out lesions left
    untested, because their reader saw the model's answer or may have seen it. difference: accuracy of synthetic less real.
    """

    simulated: bool
    of_each_class: int
    training_lesions: int
    training_patients: int
    saw_model: int
    synthetic: Learned
    real: Learned
    difference: Interval

    def to_json(self) -> dict[str, Any]:
        return {
            "simulated": self.simulated,
            "statement": PHANTOM_SENTENCE if self.simulated else None,
            "how_to_read": HOW_TO_READ,
            "of_each_class": self.of_each_class,
            "training": {"lesions": self.training_lesions, "patients": self.training_patients},
            "tested": {"lesions": self.real.figures.lesions, "patients": self.real.figures.patients},
            "left_out_saw_model": self.saw_model,
            "synthetic": self.synthetic.to_json(),
            "real": self.real.to_json(),
            "difference": self.difference.to_json(),
        }

    def to_markdown(self) -> str:
        """The table for people, with the sample's sizes and how to read it."""
        parts = [f"**{PHANTOM_SENTENCE}**"] if self.simulated else []
        tested = self.real.figures
        parts.append(
            f"Trained on {self.of_each_class} ROIs of each class, synthetic or of {self.training_lesions} real lesions of "
            f"{self.training_patients} patients; tested on {tested.lesions} held-out lesions of {tested.patients} patients."
        )
        if self.saw_model:
            parts.append(
                f"{self.saw_model} held-out lesion(s) decided after seeing the model's answer, or perhaps so, not tested."
            )
        sides = (self.synthetic, self.real)
        rows: list[tuple[str, list[Interval | None]]] = [
            ("accuracy, over patients", [side.accuracy for side in sides]),
            ("accuracy, Wilson", [side.figures.accuracy for side in sides]),
            ("malignant called benign", [side.figures.malignant_called_benign for side in sides]),
        ]
        for number, name in enumerate(tested.class_names):
            rows.append((f"sensitivity, {name}", [side.figures.sensitivity[number] for side in sides]))
        lines = ["| figure | trained on synthetic | trained on real |", "| --- | --- | --- |"]
        for name, intervals in rows:
            cells = " | ".join("not measured" if x is None else f"{x.percent()} of {x.of:g}" for x in intervals)
            lines.append(f"| {name} | {cells} |")
        parts.append("\n".join(lines))
        value, low, high = (100 * x for x in (self.difference.value, self.difference.low, self.difference.high))
        parts.append(f"Accuracy, synthetic less real: {value:+.1f} points [{low:+.1f}, {high:+.1f}]. {HOW_TO_READ}")
        return "\n\n".join(parts) + "\n"


def train_on_synthetic(
    synthetic: Mapping[str, Tensor],
    training: Cohort,
    held_out: Cohort,
    classes: ClassList,
    config: ClassifierConfig,
    *,
    progress: Progress = no_progress,
    should_stop: ShouldStop = never_stop,
) -> SyntheticTest:
    """Train on synthetic ROIs alone and on real ones alone, test both on held-out originals.

    synthetic: ROIs (n, 1, 64, 64) float32 in [0, 1] by class name, of every class; as many of each as the smallest set has are
    taken. training: the real lesions that the generators learned from, of all classes. held_out: lesions of other patients, of
    which those decided without sight of the model's answer are tested. The config's seed draws weights, order and augmentations.
    Raises LeakError, InputError when a class is missing or nothing may be tested, and what train_classifier raises.
    """
    refuse_leak(training.patients, held_out.patients)
    number = _of_each_class(synthetic, training, held_out, classes)
    simulated = is_simulated(Cohort((*training.lesions, *held_out.lesions), training.class_names))
    as_tested = held_out.as_tested()
    tested = as_tested.subset(np.flatnonzero(decided_blind(as_tested)))
    if not len(tested):
        raise InputError(
            f"All {len(held_out)} held-out lesions were decided after seeing the model's answer, or perhaps so, so none may be "
            "tested. Curate lesions with the model's answer hidden."
        )
    augment_seed, train_seed, resample_seed = (int(s) for s in np.random.SeedSequence([config.seed, 3]).generate_state(3))
    real = {
        name: augment_cohort(training.subset(np.flatnonzero(training.labels == position)), number, augment_seed).images
        for position, name in enumerate(classes.names)
    }
    settings = replace(config, seed=train_seed)

    def learn(sets: Mapping[str, Tensor], part: Progress) -> Learned:
        images = torch.cat([sets[name][:number] for name in classes.names])
        labels = torch.arange(len(classes)).repeat_interleave(number)
        trained = train_classifier(images, labels, settings, n_classes=len(classes), progress=part, should_stop=should_stop)
        with torch.inference_mode():
            probabilities = softmax(trained.network(originals(tested)).double().numpy(), axis=1)
        right = (probabilities.argmax(axis=1) == tested.labels).astype(np.float64)
        rng = np.random.default_rng(resample_seed)
        figures = measure(tested.labels, probabilities, tested.patients, classes, rng)
        return Learned(figures, _over_patients(right, tested, resample_seed), right, trained.record())

    from_synthetic = learn(synthetic, part_of(progress, 0.0, 0.5, "learning from synthetic ROIs"))
    from_real = learn(real, part_of(progress, 0.5, 1.0, "learning from real ROIs"))
    return SyntheticTest(
        simulated=simulated,
        of_each_class=number,
        training_lesions=len(training),
        training_patients=len(set(training.patients)),
        saw_model=len(held_out) - len(tested),
        synthetic=from_synthetic,
        real=from_real,
        difference=_over_patients(from_synthetic.right - from_real.right, tested, resample_seed),
    )


def _over_patients(values: NDArray[np.float64], tested: Cohort, seed: int) -> Interval:
    """The mean of values (n,) of lesions; a patient with more than five weighs as five. The same draws for the same seed."""
    rng = np.random.default_rng(seed)
    return over_patients(lambda w: w @ values / w.sum(axis=1), tested.patients, lesion_weights(tested.patients), rng)


def _of_each_class(synthetic: Mapping[str, Tensor], training: Cohort, held_out: Cohort, classes: ClassList) -> int:
    """How many ROIs of each class both sides have. Raises InputError."""
    names = classes.names
    if set(synthetic) != set(names) or list(training.class_names) != names or list(held_out.class_names) != names:
        raise InputError(
            f"Synthetic ROIs ({', '.join(sorted(synthetic))}), training and held-out lesions must all be of the classes "
            f"{', '.join(names)}."
        )
    counts = training.counts()
    most = {name: min(len(synthetic[name]), counts[name] * PAPER_RECIPE.per_lesion) for name in names}
    if min(most.values()) < 1:
        name = min(names, key=most.__getitem__)
        raise InputError(f"Class {name!r} has {len(synthetic[name])} synthetic ROIs and {counts[name]} training lesions: none.")
    return min(most.values())
