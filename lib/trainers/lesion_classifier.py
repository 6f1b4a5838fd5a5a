"""The trainer `lesion_classifier`: from the curated lesions to a candidate version. It never changes what serves."""

from __future__ import annotations

from lesionlabel.jobs.jobs import Jobs, Kind
from lesionlabel.trainers.base import JobTrainer

#: synthetic: auto is dcgan where every class has enough patients for generators, else none.
CHOICES: dict[str, list[str]] = {
    "profile": ["quick", "paper", "trial"],
    "synthetic": ["auto", "none", "dcgan", "modern", "acgan"],
}
DESCRIPTION = (
    "Trains on the curated lesions and synthetic ones in the background. What comes out is a candidate, which the gate compares "
    "with what serves."
)


class LesionClassifierTrainer(JobTrainer):
    def __init__(self, jobs: Jobs) -> None:
        super().__init__(jobs, "lesion_classifier", DESCRIPTION, CHOICES)

    @property
    def job_kind(self) -> Kind:
        return "retrain"
