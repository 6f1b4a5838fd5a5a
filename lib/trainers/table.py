"""All trainers by name."""

from __future__ import annotations

from lesionlabel.jobs.jobs import Jobs
from lesionlabel.registry.generators import generator_names
from lesionlabel.settings import Settings
from lesionlabel.trainers.base import JobTrainer
from lesionlabel.trainers.generator import GeneratorTrainer
from lesionlabel.trainers.lesion_classifier import LesionClassifierTrainer


def trainers(settings: Settings, jobs: Jobs) -> dict[str, JobTrainer]:
    """The classifier's trainer, and one for each generator."""
    generators = {name: GeneratorTrainer(jobs, name) for name in generator_names(settings)}
    return {"lesion_classifier": LesionClassifierTrainer(jobs), **generators}
