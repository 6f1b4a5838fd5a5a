"""All that is measured of one generator: quality, copies, membership, and what a classifier learns from its images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from lesionlabel.augment.classic import augment_cohort
from lesionlabel.evaluation.feature_network import fold_features
from lesionlabel.evaluation.gan_quality import Quality, measure_quality
from lesionlabel.evaluation.held_out import held_out_baseline
from lesionlabel.evaluation.membership import Membership, membership_auc
from lesionlabel.evaluation.memorisation import Memorisation, check_memorisation
from lesionlabel.evaluation.tstr import SyntheticTest, train_on_synthetic
from lesionlabel.lesions.classes import ClassList
from lesionlabel.lesions.cohort import Cohort
from lesionlabel.training.classifier import ClassifierConfig
from lesionlabel.training.hooks import Progress, ShouldStop, never_stop, no_progress, part_of

#: Synthetic ROIs of each class that are measured, or as many as it has training lesions where those are more.
MEASURED = 300
#: Classic augmentations that the feature network learns from.
FEATURE_AMOUNT = 2000


@dataclass(frozen=True, eq=False)
class GeneratorReport:
    """quality, memorisation: by class. learned: the classes that the generator does not make were real ones in it.

    learned is None where no held-out lesion may be tested on.
    """

    quality: dict[str, Quality]
    memorisation: dict[str, Memorisation]
    membership: Membership
    learned: SyntheticTest | None

    def quality_json(self) -> dict[str, Any]:
        return {name: quality.to_json() for name, quality in self.quality.items()}

    def memorisation_json(self) -> dict[str, Any]:
        return {name: check.to_json() for name, check in self.memorisation.items()}

    def to_markdown(self) -> str:
        """The report for a card."""
        parts = []
        for name, check in self.memorisation.items():
            parts += [check.to_markdown(), f"### Quality, {name}\n\n{self.quality[name].to_markdown()}"]
        parts.insert(len(self.memorisation), self.membership.to_markdown())
        if self.learned is not None:
            made = ", ".join(self.quality)
            real = [name for name in self.learned.synthetic.figures.class_names if name not in self.quality]
            beside = f"; {', '.join(real)} real in both" if real else ""
            parts.append(f"### Trained on synthetic, tested on real ({made} synthetic{beside})\n\n{self.learned.to_markdown()}")
        return "\n".join(parts)


def measure_generator(
    rois: Mapping[str, Tensor],
    cohort: Cohort,
    folds: NDArray[np.int64],
    fold: int,
    classes: ClassList,
    seed: int,
    training: ClassifierConfig,
    *,
    progress: Progress = no_progress,
    should_stop: ShouldStop = never_stop,
) -> GeneratorReport:
    """Measure synthetic ROIs (n, 1, 64, 64) by class, of a generator that learned from all folds of the cohort but one.

    folds: (lesions,) by patient. fold: the one held out. training: of the networks that give features and that learn from the
    images. Raises what the measurements raise.
    """
    seen, held_out = cohort.subset(np.flatnonzero(folds != fold)), cohort.subset(np.flatnonzero(folds == fold))
    features = fold_features(
        seen, training, FEATURE_AMOUNT, progress=part_of(progress, 0, 0.15, "feature network"), should_stop=should_stop
    )
    quality: dict[str, Quality] = {}
    memorisation: dict[str, Memorisation] = {}
    pairs: list[tuple[Tensor, Cohort, Cohort]] = []
    for number, (name, images) in enumerate(rois.items()):
        start, step = 0.15 + 0.6 * number / len(rois), 0.6 / len(rois)
        of_class = cohort.labels == cohort.class_names.index(name)
        mine, theirs = _only(seen, name), _only(held_out, name)
        quality[name] = measure_quality(
            images,
            mine,
            theirs,
            features,
            seed,
            progress=part_of(progress, start, start + 0.3 * step, f"quality of {name}"),
            should_stop=should_stop,
        )
        baseline = held_out_baseline(
            cohort.subset(np.flatnonzero(of_class)),
            folds[of_class],
            seed,
            progress=part_of(progress, start + 0.3 * step, start + 0.7 * step, f"held-out {name}"),
            should_stop=should_stop,
        )
        memorisation[name] = check_memorisation(
            images,
            mine,
            baseline,
            seed,
            progress=part_of(progress, start + 0.7 * step, start + step, f"copies of {name}"),
            should_stop=should_stop,
        )
        pairs.append((images, mine, theirs))
    membership = membership_auc(pairs, seed, progress=part_of(progress, 0.75, 0.85, "membership"), should_stop=should_stop)
    learned = None
    if any(lesion.saw_model is False for lesion in held_out.as_tested()):
        learned = train_on_synthetic(
            {name: rois[name] if name in rois else _real(seen, name, seed) for name in classes.names},
            seen,
            held_out,
            classes,
            training,
            progress=part_of(progress, 0.85, 1.0, "train on synthetic"),
            should_stop=should_stop,
        )
    return GeneratorReport(quality, memorisation, membership, learned)


def measured(training_lesions: int) -> int:
    """How many synthetic ROIs of a class are measured: no fewer than the lesions that they are compared with."""
    return max(MEASURED, training_lesions)


def _only(cohort: Cohort, name: str) -> Cohort:
    return cohort.subset(np.flatnonzero(cohort.labels == cohort.class_names.index(name)))


def _real(seen: Cohort, name: str, seed: int) -> Tensor:
    """Classic augmentations of real lesions of a class, as many as are measured of a generator's."""
    lesions = _only(seen, name)
    return augment_cohort(lesions, measured(len(lesions)), seed).images
