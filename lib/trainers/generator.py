"""The trainers `gan_<class>` and `acgan`: from the curated lesions to a candidate generator. They never change what serves."""

from __future__ import annotations

from typing import Any

from lesionlabel.imaging.store import VolumeStore
from lesionlabel.lesions.cohort import Cohort
from lesionlabel.networks.gans import require_arm
from lesionlabel.registry.generators import ALL_CLASSES
from lesionlabel.settings import Settings
from lesionlabel.trainers.base import CohortTrainer
from lesionlabel.training.hooks import Progress, ShouldStop

PROFILES = ["quick", "paper"]
#: Networks that make one class; the first is the default.
ONE_CLASS = ["dcgan", "modern"]
DESCRIPTION = (
    "Trains a generator of synthetic ROIs on two thirds of the patients, and measures it against the others. What comes out is a "
    "candidate; it serves only once it is promoted, which one that copies patients cannot be."
)


class GeneratorTrainer(CohortTrainer):
    """name: gan_<class>, or acgan for all classes."""

    def __init__(self, settings: Settings, store: VolumeStore, name: str) -> None:
        networks = [ALL_CLASSES] if name == ALL_CLASSES else ONE_CLASS
        super().__init__(settings, store, name, DESCRIPTION, {"profile": PROFILES, "network": networks})
        self.name = name

    def run(self, cohort: Cohort, params: dict[str, Any], progress: Progress, should_stop: ShouldStop) -> str:
        # Loaded in the training process only: the server starts sooner without it.
        from lesionlabel.registry.train_generator import train_generator

        arm = require_arm(params["network"])
        profile, seed = params["profile"], params["seed"]
        info, _ = train_generator(
            cohort, self.settings, self.name, arm, profile, seed, progress=progress, should_stop=should_stop
        )
        return info.version
