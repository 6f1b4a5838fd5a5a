"""Training the click segmenter from nothing but simulated scenes, and writing the bundle that comes with the package."""

from __future__ import annotations

import hashlib
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import torch

from lesionlabel.clicks.measure import measure_on_scenes
from lesionlabel.clicks.samples import SEED_ABDOMENS, Samples, draw_samples, join
from lesionlabel.clicks.segmenter import ClickSegmenter
from lesionlabel.clicks.training import ClickConfig, TrainedClickUNet, train_click_unet
from lesionlabel.lesions.errors import InputError
from lesionlabel.registry.bundle_folder import weights_digest
from lesionlabel.registry.manifest import code_version
from lesionlabel.registry.segmenter_bundle import SegmenterManifest, save_segmenter
from lesionlabel.training.hooks import Progress, ShouldStop, StoppedError, never_stop, no_progress, part_of


@dataclass(frozen=True)
class SegmenterRecipe:
    """abdomens: simulated, with scenes each. measured: abdomens of another seed, measured_seed, that it is measured on."""

    abdomens: int = 100
    scenes_each: int = 72
    measured: int = 12
    measured_scenes: int = 20
    seed: int = 1000
    measured_seed: int = 900
    training: ClickConfig = field(default_factory=ClickConfig)

    def __post_init__(self) -> None:
        trains, measures = (
            {seed + n // SEED_ABDOMENS for n in range(abdomens)}
            for seed, abdomens in ((self.seed, self.abdomens), (self.measured_seed, self.measured))
        )
        if trains & measures:
            raise InputError(
                f"Seed {min(trains & measures)} both trains and measures. Choose a seed away from {self.measured_seed}."
            )


def train_starter_segmenter(
    folder: Path,
    recipe: SegmenterRecipe,
    jobs: int = 1,
    *,
    progress: Progress = no_progress,
    should_stop: ShouldStop = never_stop,
) -> SegmenterManifest:
    """Train on simulated scenes and write the bundle into folder, over an earlier one.

    jobs: processes that draw scenes; the samples are the same for any number. Raises InputError, DivergedError, StoppedError.
    """
    samples = _draw(recipe, jobs, part_of(progress, 0.0, 0.3, "scenes"), should_stop)
    learning = part_of(progress, 0.3, 0.95, "training")
    trained = train_click_unet(samples, recipe.training, progress=learning, should_stop=should_stop)
    progress(0.95, "measuring")
    return _keep(folder, recipe, samples, trained)


def _keep(folder: Path, recipe: SegmenterRecipe, samples: Samples, trained: TrainedClickUNet) -> SegmenterManifest:
    """Measure the network and write its bundle."""
    version = f"starter-{weights_digest(trained.network)[:8]}"
    measured = measure_on_scenes(
        ClickSegmenter(trained.network, version), recipe.measured, recipe.measured_scenes, recipe.measured_seed
    )
    manifest = SegmenterManifest(
        version=version,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        class_counts={"lesion": samples.lesions},
        trained_on="phantom",
        patients=(),
        snapshot=_digest(samples),
        config={**asdict(recipe), "training": trained.record()},
        seed=recipe.seed,
        code_version=code_version(),
        width=recipe.training.width,
        evaluation=measured.to_json(),
    )
    return save_segmenter(folder, trained.network, manifest, measured.to_text(), over=True)


def _draw(recipe: SegmenterRecipe, jobs: int, progress: Progress, should_stop: ShouldStop) -> Samples:
    draw = partial(draw_samples, seed=recipe.seed, scenes_each=recipe.scenes_each)
    parts = []
    with ProcessPoolExecutor(jobs, initializer=torch.set_num_threads, initargs=(1,)) as pool:
        waiting = [pool.submit(draw, range(n, n + 1)) for n in range(recipe.abdomens)]
        for number, part in enumerate(waiting, start=1):
            if should_stop():
                pool.shutdown(cancel_futures=True)
                raise StoppedError("The drawing of scenes was stopped; nothing of it is kept.")
            parts.append(part.result())
            progress(number / recipe.abdomens, f"abdomen {number} of {recipe.abdomens}")
    return join(parts)


def _digest(samples: Samples) -> str:
    digest = hashlib.sha256()
    for part in fields(samples):
        digest.update(getattr(samples, part.name).tobytes())
    return digest.hexdigest()
