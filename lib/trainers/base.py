"""What all trainers share: they run in MONAI Label's child process, and a small file says how far they are."""

from __future__ import annotations

import json
import logging
import time
from abc import abstractmethod
from pathlib import Path
from typing import Any

from monailabel.interfaces.datastore import Datastore
from monailabel.interfaces.tasks.train import TrainTask

from lesionlabel.datastore.cohort import Kind, cohort_of
from lesionlabel.datastore.curated import CuratedDatastore
from lesionlabel.imaging.store import VolumeStore
from lesionlabel.lesions.cohort import Cohort
from lesionlabel.lesions.errors import InputError
from lesionlabel.lesions.files import write_atomically
from lesionlabel.settings import Settings
from lesionlabel.training.hooks import TOLD, Progress, ShouldStop, stopping_on_signals

logger = logging.getLogger(__name__)

KINDS = ["any", "patients", "phantom"]
#: What MONAI Label and its clients add to a training request; it means nothing here and is left out.
IGNORED = frozenset({"client_id", "model", "gpus", "local_rank", "device", "name", "tracking", "tracking_uri"})
#: Seconds between two notes on how far a run is.
NOTE_EVERY = 2.0


class CohortTrainer(TrainTask):
    """Trains on the curated lesions of the studies folder. The progress is what `/info/` shows as train_stats.

    choices: parameters with what each may be, the first by default; 3D Slicer shows lists as choices. A seed comes with them.
    """

    def __init__(
        self, settings: Settings, store: VolumeStore, name: str, description: str, choices: dict[str, list[str]]
    ) -> None:
        super().__init__(description)
        self.settings, self.store, self.choices = settings, store, {**choices, "kind": KINDS}
        self.stats_file: Path = settings.home / "training" / f"{name}.json"

    @abstractmethod
    def run(self, cohort: Cohort, params: dict[str, Any], progress: Progress, should_stop: ShouldStop) -> str:
        """Train on the cohort with checked parameters. Returns the new candidate's version."""

    def config(self) -> dict[str, Any]:
        return {**{name: list(allowed) for name, allowed in self.choices.items()}, "seed": 0}

    def stats(self) -> dict[str, Any]:
        """How far the run is or how the last one ended; {} before the first."""
        try:
            return json.loads(self.stats_file.read_bytes())
        except (FileNotFoundError, ValueError):
            return {}

    def check(self, params: dict[str, Any]) -> dict[str, Any]:
        """The parameters that training knows, checked. Raises InputError for an unknown one or a wrong value."""
        unknown = sorted(set(params) - set(self.choices) - {"seed"} - IGNORED)
        if unknown:
            raise InputError(f"Training does not know {', '.join(unknown)}. Allowed: {', '.join(self.choices)}, seed.")
        checked: dict[str, Any] = {}
        for name, allowed in self.choices.items():
            given = params.get(name)
            # A client that sends the whole list means its default, the first.
            value = given[0] if isinstance(given, list) and given else given or allowed[0]
            if value not in allowed:
                raise InputError(f"{name} must be one of {', '.join(allowed)}, got {value!r}.")
            checked[name] = value
        seed = params.get("seed") or 0
        text = str(seed).strip()
        if isinstance(seed, bool) or not text.isdecimal() or int(text) >= 2**31:
            raise InputError(f"seed must be a whole number from 0 to {2**31 - 1}, got {seed!r}.")
        return {**checked, "seed": int(text)}

    def __call__(self, request: dict[str, Any], datastore: Datastore) -> dict[str, Any]:
        """Train on the datastore's cohort. Returns the candidate's version and its number of lesions.

        What ends it before is raised, and stays in the stats: {"what": "failed", "why": …}.
        """
        params = self.check(request)
        if not isinstance(datastore, CuratedDatastore):
            raise InputError("Training needs the curated studies folder as its datastore.")
        kind: Kind | None = None if params["kind"] == "any" else params["kind"]
        start = time.time()
        noted = done = 0.0

        def note(share: float, what: str) -> None:
            nonlocal noted, done
            done = share
            if time.time() - noted < NOTE_EVERY and share < 1:
                return
            noted = time.time()
            logger.info("%3.0f %% %s", 100 * share, what)
            self._write_stats({"epoch": round(100 * share), "what": what}, start)

        try:
            cohort = cohort_of(datastore, self.store, self.settings.classes, kind)
            note(0.0, f"{len(cohort)} lesions of {len(set(cohort.patients))} patients")
            with stopping_on_signals() as should_stop:
                version = self.run(cohort, params, note, should_stop)
        except Exception as error:
            why = self._why(error, datastore)
            self._write_stats({"epoch": round(100 * done), "what": "failed", "why": why, **_took(start)}, start)
            raise
        self._write_stats({"epoch": 100, "what": "done", "version": version, **_took(start)}, start)
        return {"version": version, "lesions": len(cohort), "counts": cohort.counts()}

    def _why(self, error: Exception, datastore: CuratedDatastore) -> str:
        """Why a run failed, for whoever looks at /info/: where the server's folders lie is not told."""
        if not isinstance(error, TOLD):
            return f"Something unexpected went wrong ({type(error).__name__}). The server's log names the place."
        text = str(error)
        for folder in (datastore.studies, self.settings.home, self.settings.home.resolve()):
            text = text.replace(f"{folder}/", "")
        return text

    def _write_stats(self, values: dict[str, Any], start: float) -> None:
        """epoch is the percentage done: 3D Slicer draws it of total_epochs until total_time is there, and needs best_metric."""
        stats = {"total_epochs": 100, "start_ts": int(start), "current_time": int(time.time()), "best_metric": 0.0, **values}
        write_atomically(self.stats_file, json.dumps(stats).encode())


def _took(start: float) -> dict[str, int]:
    """A run's seconds, at least 1: with 0 3D Slicer's module would take it for one that still runs."""
    return {"total_time": max(1, round(time.time() - start))}
