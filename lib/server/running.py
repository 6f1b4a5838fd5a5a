"""The one app object of this process, as our endpoints see it."""

from __future__ import annotations

from typing import Any, Protocol, cast

from monailabel.interfaces.utils.app import app_instance
from monailabel.utils.sessions import Sessions

from lesionlabel.datastore.answers import AnswerLog
from lesionlabel.datastore.curated import CuratedDatastore
from lesionlabel.datastore.results import Cases, Results
from lesionlabel.infers.desk import Desk
from lesionlabel.infers.explain import Explainer
from lesionlabel.jobs.jobs import Jobs
from lesionlabel.jobs.schedule import Growth
from lesionlabel.settings import Settings
from lesionlabel.trainers.base import JobTrainer


class RunningApp(Protocol):
    """What app/main.py's class offers beside MONAI Label's own methods."""

    settings: Settings
    answers: AnswerLog
    desk: Desk
    cases: Cases | None
    results: Results | None
    explainer: Explainer
    jobs: Jobs
    growth: Growth
    scheduled_retraining: dict[str, Any]
    version: str
    trainers: dict[str, JobTrainer]

    def info(self) -> dict[str, Any]: ...

    def needs_image(self, model: str) -> bool: ...

    def infer(self, request: dict[str, Any]) -> dict[str, Any]: ...

    def datastore(self) -> CuratedDatastore: ...

    def sessions(self) -> Sessions | None: ...


def running_app() -> RunningApp:
    """The app that MONAI Label made at start."""
    return cast(RunningApp, app_instance())
