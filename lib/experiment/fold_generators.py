"""The generators of one fold: trained on its training patients only, sampled once, and measured where that is asked for."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import log_softmax
from torch import Tensor, nn

from lesionlabel.augment.classic import originals
from lesionlabel.evaluation.generator_report import measure_generator
from lesionlabel.experiment.plan import Profile
from lesionlabel.experiment.reading import reading
from lesionlabel.experiment.sets import Fold, partition
from lesionlabel.imaging.synthetic import PREFIX
from lesionlabel.lesions.cohort import Cohort
from lesionlabel.lesions.files import write_atomically
from lesionlabel.lesions.splits import refuse_leak
from lesionlabel.networks.gans import Arm
from lesionlabel.registry.bundle_folder import weights_digest
from lesionlabel.registry.generator import LesionGenerator
from lesionlabel.registry.generator_training import MEASURING, GeneratorRecipe, train_unmeasured
from lesionlabel.registry.generators import ALL_CLASSES, generator_of
from lesionlabel.settings import Settings
from lesionlabel.training.hooks import Progress, ShouldStop

#: With a filter, ROIs of a class to choose from, as a multiple of those wanted.
TO_CHOOSE_FROM = 3
#: Samples of each class that a report shows.
SHOWN = 8
RECORD = "generators.json"


def make_fold_generators(
    cohort: Cohort,
    fold: Fold,
    network: Arm,
    profile: Profile,
    wanted: int,
    settings: Settings,
    folder: Path,
    *,
    measured: bool,
    progress: Progress,
    should_stop: ShouldStop,
) -> None:
    """Train the network's generators of a fold and write what the arms need of them into folder.

    wanted: ROIs of each class. The folder gets the ROIs, and last a record with the patients that they have seen. Raises what
    train_unmeasured and measure_generator raise.
    """
    recipe = GeneratorRecipe(
        profile.name,
        width=profile.width,
        steps=profile.gan_steps,
        amount_per_fold=profile.gan_amount,
        n_folds=profile.folds,
        # A generator that makes one picture only is a result here, and the record says so.
        least_diversity=0.0,
    )
    names = [ALL_CLASSES] if network == "acgan" else [generator_of(label) for label in cohort.class_names]
    rois: dict[str, NDArray[np.float32]] = {}
    to_measure: dict[str, Tensor] = {}
    patients: set[str] = set()
    diversity: dict[str, float] = {}
    seconds, discriminator = 0.0, None
    for name in names:
        made = train_unmeasured(
            cohort, settings, name, network, recipe, fold.seed, fold.number, progress=progress, should_stop=should_stop
        )
        refuse_leak(made.manifest.patients, fold.test.patients)
        device = torch.device(made.gan.device)
        generator = LesionGenerator(made.gan.generator, made.manifest, weights_digest(made.gan.generator), device)
        for label in made.manifest.class_names:
            rois[label] = np.concatenate(list(generator.sample(wanted, fold.seeds(2, 1)[0], label, most=max(wanted, 1))))
        to_measure |= made.rois
        patients |= set(made.manifest.patients)
        seconds += made.gan.seconds
        diversity |= dict.fromkeys(made.manifest.class_names, round(made.gan.diversity[-1][1], 3))
        discriminator = made.gan.discriminator if network == "acgan" else None
        made.checkpoint.unlink(missing_ok=True)
    record: dict[str, Any] = {
        "network": network,
        "patients": sorted(patients),
        "seconds": round(seconds, 1),
        "diversity": diversity,
    }
    if measured:
        report = measure_generator(
            to_measure,
            cohort,
            partition(cohort, profile.folds, fold.seed),
            fold.number,
            settings.classes,
            fold.seed,
            replace(MEASURING, device=settings.device, seed=fold.seed),
            progress=progress,
            should_stop=should_stop,
        )
        record |= {
            "quality": report.quality_json(),
            "memorisation": report.memorisation_json(),
            "membership": report.membership.to_json(),
        }
    answers = None if discriminator is None else _answers(discriminator, originals(fold.test))
    _write(folder, [rois[label] for label in cohort.class_names], answers, record)


def read_rois(folder: Path, test: Cohort) -> dict[int, Tensor]:
    """The ROIs (n, 1, 64, 64) of each class index. Raises LeakError when their generators have seen a patient of test."""
    refuse_leak(read_record(folder)["patients"], test.patients)
    path = folder / f"{PREFIX}rois.npz"
    with reading(path), np.load(path, allow_pickle=False) as archive:
        return {int(index): torch.from_numpy(archive[index].astype(np.float32))[:, None] for index in archive.files}


def read_record(folder: Path) -> Mapping[str, Any]:
    """What is known of a fold's generators: network, patients, seconds and, where they were measured, the reports."""
    path = folder / RECORD
    with reading(path):
        return json.loads(path.read_bytes())


def read_answers(folder: Path) -> NDArray[np.float64]:
    """Logarithms of probabilities (test lesions, classes) of the ACGAN's discriminator."""
    path = folder / "discriminator.npy"
    with reading(path):
        return np.load(path, allow_pickle=False)


def _answers(discriminator: nn.Module, rois: Tensor) -> NDArray[np.float64]:
    with torch.inference_mode():
        _, classes = discriminator(rois * 2 - 1)
    return log_softmax(classes.double().numpy(), axis=1)


def _write(folder: Path, rois: list[NDArray[np.float32]], answers: NDArray[np.float64] | None, record: dict[str, Any]) -> None:
    content = BytesIO()
    # Half the room of float32; what is lost is less than a tenth of a HU.
    np.savez(content, **{str(index): images.astype(np.float16) for index, images in enumerate(rois)})
    write_atomically(folder / f"{PREFIX}rois.npz", content.getvalue())
    if answers is not None:
        content = BytesIO()
        np.save(content, answers, allow_pickle=False)
        write_atomically(folder / "discriminator.npy", content.getvalue())
    write_atomically(folder / RECORD, json.dumps(record).encode())
