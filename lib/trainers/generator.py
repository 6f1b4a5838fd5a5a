"""The trainers `gan_<class>` and `acgan`: from the curated lesions to a candidate generator. They never change what serves."""

from __future__ import annotations

from lesionlabel.jobs.jobs import Jobs, Kind
from lesionlabel.registry.generators import ALL_CLASSES
from lesionlabel.trainers.base import JobTrainer

PROFILES = ["quick", "paper", "trial"]
#: Networks that make one class; the first is the default.
ONE_CLASS = ["dcgan", "modern"]
DESCRIPTION = (
    "Trains a generator of synthetic ROIs on two thirds of the patients, and measures it against the others. What comes out is a "
    "candidate; it serves only once it is promoted, which one that copies patients cannot be."
)


class GeneratorTrainer(JobTrainer):
    """name: gan_<class>, or acgan for all classes."""

    def __init__(self, jobs: Jobs, name: str) -> None:
        networks = [ALL_CLASSES] if name == ALL_CLASSES else ONE_CLASS
        super().__init__(jobs, name, DESCRIPTION, {"profile": PROFILES, "network": networks})

    @property
    def job_kind(self) -> Kind:
        return "train_generator"
