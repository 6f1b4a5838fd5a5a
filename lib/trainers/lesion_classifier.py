"""The trainer `lesion_classifier`: from the curated lesions to a candidate version. It never changes what serves."""

from __future__ import annotations

from typing import Any

from lesionlabel.imaging.store import VolumeStore
from lesionlabel.lesions.cohort import Cohort
from lesionlabel.settings import Settings
from lesionlabel.trainers.base import CohortTrainer
from lesionlabel.training.hooks import Progress, ShouldStop

CHOICES: dict[str, list[str]] = {"profile": ["quick", "paper"]}
DESCRIPTION = "Trains on the curated lesions. What comes out is a candidate; it serves only once it is promoted."


class LesionClassifierTrainer(CohortTrainer):
    def __init__(self, settings: Settings, store: VolumeStore) -> None:
        super().__init__(settings, store, "lesion_classifier", DESCRIPTION, CHOICES)

    def run(self, cohort: Cohort, params: dict[str, Any], progress: Progress, should_stop: ShouldStop) -> str:
        # Loaded in the training process only: the server starts sooner without it.
        from lesionlabel.registry.retrain import train_version

        profile, seed = params["profile"], params["seed"]
        info, _ = train_version(cohort, self.settings, profile, seed, progress=progress, should_stop=should_stop)
        return info.version
