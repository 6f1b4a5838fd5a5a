"""How good one class's synthetic ROIs are: each figure with its interval, and beside it what real ROIs of other patients reach.

No figure of a small sample means anything by itself. So everything is measured twice against the same held-out lesions: for the
synthetic ROIs, and for classic augmentations of the real training lesions, the noise floor. The generator learned from classic
augmentations, so the reference is augmented too: some views of each held-out lesion.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from lesionlabel.augment.classic import PAPER_RECIPE, augment_cohort
from lesionlabel.evaluation.crossval import is_simulated
from lesionlabel.evaluation.distribution import neighbours_for
from lesionlabel.evaluation.feature_network import Features, FoldFeatures
from lesionlabel.evaluation.metrics import Interval
from lesionlabel.evaluation.quality_figures import OF_DRAWS, of_draws, of_pairs, take_sample
from lesionlabel.evaluation.report import PHANTOM_SENTENCE
from lesionlabel.evaluation.subsampling import interval_around, leave_out_quarters
from lesionlabel.lesions.cohort import Cohort
from lesionlabel.lesions.errors import InputError
from lesionlabel.lesions.splits import refuse_leak
from lesionlabel.training.hooks import Progress, ShouldStop, StoppedError, never_stop, no_progress
from lesionlabel.training.images import require_images

#: Of each figure: what a reader sees, and what it cannot leave.
FIGURES: dict[str, tuple[str, tuple[float, float]]] = {
    "kid": ("KID, 0 is best", (-np.inf, np.inf)),
    "precision": ("precision, 1 is best", (0, 1)),
    "recall": ("recall, 1 is best", (0, 1)),
    "density": ("density, about 1 is best", (0, np.inf)),
    "coverage": ("coverage, 1 is best", (0, 1)),
    "radiomics": ("Fréchet radiomics, lower is better", (0, np.inf)),
    "log_radiomics": ("its logarithm", (-np.inf, np.inf)),
    "feature_diversity": ("diversity in features, 1 is as real", (0, np.inf)),
    "pixel_diversity": ("diversity in pixels, 1 is as real", (0, np.inf)),
}
#: What a squared distance is taken to be at least, so that it has a logarithm.
SMALLEST = 1e-12
HOW_TO_READ = (
    "A generator is as good as this sample can tell when its figures lie where the real ones do. KID and diversity use all pairs "
    "of ROIs of different lesions. The others are means over draws that take one view of each lesion and as many synthetic ROIs "
    "as there are training lesions, so that both columns compare equal numbers of independent ROIs. Diversity is the mean "
    "distance of two ROIs over that of two held-out lesions. Intervals are 95 %, from leaving out a quarter at a time of the "
    "held-out patients and of the synthetic ROIs or training patients. Fréchet radiomics are of this project's own features: not "
    "comparable with published FRD. The feature network was trained on the training patients, which favours ROIs like theirs."
)


@dataclass(frozen=True)
class Figure:
    """generator: of the synthetic ROIs. floor: of classic augmentations of real training lesions. Both against held-out reals."""

    generator: Interval
    floor: Interval


@dataclass(frozen=True)
class Quality:
    """The figures of one class's synthetic ROIs, by the names in FIGURES, and what they rest on.

    synthetic, floor_rois: ROIs in the columns. views: of each held-out lesion, and draws behind precision to radiomics.
    drawn: ROIs of either column in each draw, against one view of each held-out lesion. neighbours: k of precision to coverage.
    """

    label: str
    simulated: bool
    synthetic: int
    floor_rois: int
    training_lesions: int
    training_patients: int
    held_out_lesions: int
    held_out_patients: int
    views: int
    drawn: int
    neighbours: int
    resamples: int
    seed: int
    figures: Mapping[str, Figure]

    def to_json(self) -> dict[str, Any]:
        """Everything, to six significant digits."""
        sizes = {name: value for name, value in vars(self).items() if name != "figures"}
        figures = {
            name: {"generator": _json(figure.generator), "floor": _json(figure.floor)} for name, figure in self.figures.items()
        }
        statement = PHANTOM_SENTENCE if self.simulated else None
        return {**sizes, "statement": statement, "how_to_read": HOW_TO_READ, "figures": figures}

    def to_markdown(self) -> str:
        """The table for people, with the sample's sizes and how to read it."""
        parts = [f"**{PHANTOM_SENTENCE}**"] if self.simulated else []
        parts.append(
            f"Class {self.label}: {self.synthetic} synthetic ROIs, and {self.floor_rois} classic augmentations of the "
            f"{self.training_lesions} training lesions of {self.training_patients} patients, against {self.views} views of each "
            f"of {self.held_out_lesions} held-out lesions of {self.held_out_patients} patients. {self.views} draws, each of "
            f"{self.drawn} ROIs against {self.held_out_lesions}; k = {self.neighbours}; {self.resamples} resamples; "
            f"seed {self.seed}."
        )
        rows = [
            f"| {FIGURES[name][0]} | {figure.generator.plain()} | {figure.floor.plain()} |"
            for name, figure in self.figures.items()
        ]
        parts.append("\n".join(["| figure | generator | real against held-out real |", "| --- | --- | --- |", *rows]))
        parts.append(HOW_TO_READ)
        return "\n\n".join(parts) + "\n"


def measure_quality(
    synthetic: Tensor,
    training: Cohort,
    held_out: Cohort,
    features: Features,
    seed: int,
    *,
    views: int = 8,
    resamples: int = 200,
    progress: Progress = no_progress,
    should_stop: ShouldStop = never_stop,
) -> Quality:
    """Figures of synthetic ROIs (n, 1, 64, 64) float32 in [0, 1] of one class.

    training: the lesions of that class that the generator learned from. held_out: lesions of the same class of other patients.
    features: as fold_features gives. views: classic augmentations of each held-out lesion. The seed draws these, the floor's, and
    what is left out. Raises LeakError when a held-out patient is in training or has trained the features, InputError for fewer
    synthetic ROIs than training lesions, fewer than 4 patients on a side, or other unusable input, StoppedError.
    """
    refuse_leak(training.patients, held_out.patients)
    label = _check(synthetic, training, held_out, views, resamples)
    if isinstance(features, FoldFeatures):
        refuse_leak(sorted(features.patients), held_out.patients)
    simulated = is_simulated(Cohort((*training.lesions, *held_out.lesions), training.class_names))
    rng = np.random.default_rng([seed, 2])
    # Dealt into as many groups as there are training lesions, which take their place: the same sizes, the same leaving out.
    groups = rng.permutation(len(synthetic)) % len(training)
    kept_held_out = leave_out_quarters(held_out.patients, resamples, rng)
    kept_training = leave_out_quarters(training.patients, resamples, rng)
    kept_groups = leave_out_quarters([str(group) for group in range(len(training))], resamples, rng)

    progress(0.0, "cutting and augmenting ROIs")
    real_views = augment_cohort(held_out, len(held_out) * views, seed)
    floor_views = augment_cohort(training, len(synthetic), seed)
    progress(0.05, "features and radiomics")
    reference = take_sample(real_views.images, real_views.lesion_index, views, features)
    columns = {
        "generator": (take_sample(synthetic, groups, views, features), kept_groups),
        "floor": (take_sample(floor_views.images, floor_views.lesion_index, views, features), kept_training),
    }
    if not np.ptp(reference.features, axis=0).any():
        raise InputError("All held-out ROIs have the same features: the feature network has learned nothing. Train it longer.")

    k = neighbours_for(len(held_out), len(training))
    found: dict[str, dict[str, Interval]] = {name: {} for name in FIGURES}
    for position, (column, (sample, kept)) in enumerate(columns.items()):
        values = of_pairs(sample, reference, kept.lesions, kept_held_out.lesions)
        means = np.zeros((1 + resamples, len(OF_DRAWS)))
        for draw, of_draw in enumerate(of_draws(sample, reference, kept.lesions, kept_held_out.lesions, k)):
            if should_stop():
                raise StoppedError(f"Measuring quality was stopped at draw {draw + 1} of {views}.")
            means += of_draw / views
            progress(0.2 + 0.4 * (position + (draw + 1) / views), f"{column}: draw {draw + 1} of {views}")
        values |= dict(zip(OF_DRAWS, means.T, strict=True))
        values["log_radiomics"] = np.log(np.maximum(values.pop("radiomics"), SMALLEST))
        scale = max(kept.scale, kept_held_out.scale)
        for name, of_name in values.items():
            found[name][column] = interval_around(of_name, scale, len(held_out), FIGURES[name][1])
        log = found["log_radiomics"][column]
        # Of a distance, which is skewed and never below 0, the interval is the logarithm's.
        found["radiomics"][column] = Interval(math.exp(log.value), math.exp(log.low), math.exp(log.high), log.of)
    return Quality(
        label=label,
        simulated=simulated,
        synthetic=len(synthetic),
        floor_rois=len(floor_views.images),
        training_lesions=len(training),
        training_patients=len(set(training.patients)),
        held_out_lesions=len(held_out),
        held_out_patients=len(set(held_out.patients)),
        views=views,
        drawn=len(training),
        neighbours=k,
        resamples=resamples,
        seed=seed,
        figures={name: Figure(**both) for name, both in found.items()},
    )


def _check(synthetic: Tensor, training: Cohort, held_out: Cohort, views: int, resamples: int) -> str:
    """The one class of all. Raises InputError."""
    labels = sorted({lesion.label for lesion in (*training, *held_out)})
    if len(labels) != 1 or not len(training) or not len(held_out):
        raise InputError(
            f"Quality is of one class at a time, with training and held-out lesions; got {', '.join(labels) or 'none'}."
        )
    require_images(synthetic)
    if len(synthetic) < len(training):
        raise InputError(f"{len(synthetic)} synthetic ROIs are fewer than the {len(training)} training lesions: make more.")
    if not 1 <= views <= PAPER_RECIPE.per_lesion or resamples < 2:
        raise InputError(f"views must be 1 to {PAPER_RECIPE.per_lesion} and resamples at least 2, got {views} and {resamples}.")
    return labels[0]


def _json(interval: Interval) -> dict[str, float]:
    return {name: float(f"{getattr(interval, name):.6g}") for name in ("value", "low", "high", "of")}
