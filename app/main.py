"""The MONAI Label app: where its tasks, datastore and strategies come from. The code is in the package."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
from monailabel.interfaces.app import MONAILabelApp

import lesionlabel
from lesionlabel.datastore.answers import AnswerLog
from lesionlabel.datastore.curate import Curator
from lesionlabel.datastore.curated import CuratedDatastore
from lesionlabel.datastore.pacs import PacsDatastore
from lesionlabel.datastore.pacs_address import pacs_folder
from lesionlabel.datastore.result_setup import open_cases, open_results
from lesionlabel.imaging.dicomweb import is_dicomweb
from lesionlabel.infers.desk import Desk
from lesionlabel.infers.dispatch import dispatch
from lesionlabel.infers.explain import Explainer
from lesionlabel.infers.generate import Generate
from lesionlabel.infers.lesion import LesionOutline
from lesionlabel.infers.lesion_classifier import LesionClassifier
from lesionlabel.infers.lesion_report import LesionReport
from lesionlabel.infers.similar import SimilarLesions
from lesionlabel.jobs.jobs import Jobs, lesions_of
from lesionlabel.jobs.schedule import Growth
from lesionlabel.registry.generators import ALL_CLASSES
from lesionlabel.registry.synthesis import Synthesis
from lesionlabel.server.errors import in_one_line
from lesionlabel.settings import Settings
from lesionlabel.strategies.by_model import ByModel
from lesionlabel.strategies.first import First
from lesionlabel.strategies.random import Random
from lesionlabel.strategies.ranking import RANKINGS
from lesionlabel.strategies.scoreboard import Scoreboard
from lesionlabel.strategies.synthesise import Synthesise
from lesionlabel.trainers.table import trainers


class LesionLabelApp(MONAILabelApp):
    def __init__(self, app_dir: str, studies: str, conf: dict[str, str]) -> None:
        # MONAI Label logs requests, image ids and paths at INFO.
        logging.getLogger("monailabel").setLevel(logging.WARNING)
        self.settings = Settings()
        self.desk = Desk(self.settings)
        self.jobs = Jobs(self.settings)
        self.synthesis = Synthesis(self.settings, self.desk.register)
        super().__init__(
            app_dir=app_dir,
            studies=studies,
            conf=conf,
            name="LesionLabel",
            description="Focal liver lesions on portal-venous CT. Research software, not for clinical use.",
            version=lesionlabel.__version__,
            labels=self.settings.classes.names,
        )

        similar = SimilarLesions(self.curated, self.desk.store, self.settings.classes)
        self.explainer = Explainer(self.desk, similar, self.curated.studies)
        self.cases = open_cases(self.settings, self.curated, self.desk.open)
        self.results = open_results(self.settings, self.curated, self.cases)
        params = self.trainers["lesion_classifier"].check(dict(self.settings.retrain_params))
        self.growth = Growth(self.jobs, self.curated, params)
        self.scheduled_retraining = {"trainer": "lesion_classifier", "params": params, **lesions_of(self.curated.studies)}

    def init_datastore(self) -> CuratedDatastore:
        on_pacs = is_dicomweb(self.studies)
        studies = pacs_folder(self.studies, self.settings) if on_pacs else Path(self.studies).resolve()
        self.curated: CuratedDatastore
        self.answers = AnswerLog.of_studies(studies)
        curator = Curator(self.desk.store.open, self.settings.classes, self.answers)
        if on_pacs:
            pacs = self.curated = PacsDatastore(self.studies, self.settings, curator)
            pacs.listing.refresh_soon()
        else:
            self.curated = CuratedDatastore(studies, curator, self.desk.recognise_synthetic, self.desk.require_ct)
        return self.curated

    def init_infers(self) -> dict[str, Any]:
        return {
            "lesion_classifier": LesionClassifier(self.desk),
            "lesion": LesionOutline(self.desk),
            "lesion_report": LesionReport(self.desk, self.curated),
            **{name.replace("gan_", "generate_", 1): Generate(self.synthesis, name) for name in self._of_one_class()},
            "generate": Generate(self.synthesis, ALL_CLASSES),
        }

    def init_trainers(self) -> dict[str, Any]:
        self.trainers = trainers(self.settings, self.jobs)
        return self.trainers

    def init_strategies(self) -> dict[str, Any]:
        scoreboard = Scoreboard(self.settings, self.desk.versions)
        return {
            "random": Random(np.random.default_rng()),
            "first": First(),
            **{name: ByModel(name, scoreboard) for name in RANKINGS},
            **{
                name.replace("gan_", "synthesise_", 1): Synthesise(self.synthesis, name, self.curated.shelf)
                for name in self._of_one_class()
            },
        }

    def _of_one_class(self) -> list[str]:
        return [name for name in self.synthesis.versions if name != ALL_CLASSES]

    def train(self, request: dict[str, Any]) -> Any:
        """Train, in a process of its own. Its output is the log and the status that clients see: no trace, no folders."""
        try:
            return super().train(request)
        except Exception as error:
            raise SystemExit(in_one_line(error)) from None

    def info(self) -> dict[str, Any]:
        """MONAI Label's description of the app, with what the strategies can be asked, which the base class leaves out."""
        described = super().info()
        for name, task in self._strategies.items():
            if isinstance(task, Synthesise):
                described["strategies"][name]["config"] = task.config()
        return described

    def needs_image(self, model: str) -> bool:
        """Whether a request for that model names an image; generators have none, and a model that is not there is no matter."""
        return model in self._infers and not isinstance(self._infers[model], Generate)

    def infer(self, request: dict[str, Any], datastore: Any = None) -> dict[str, Any]:
        """Answers for ids in the datastore only; the base class would open any path of the server that a client names."""
        found = dispatch(self._infers, datastore or self.curated, self.answers, lambda path: self.desk.open(path).voxels, request)
        note = self.curated.note(request["image"]) if isinstance(request.get("image"), str) else None
        if note is not None:
            found["params"]["reader_notes"] = [note, *found["params"].get("reader_notes", [])]
        if self.results is not None and isinstance(request.get("image"), str):
            self.results.answers.keep(request["image"], found["params"])
        return found
