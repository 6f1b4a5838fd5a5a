"""The trainer `lesion_classifier`: from the curated lesions to a candidate version. It never changes what serves."""

from __future__ import annotations

import json
import logging
import time
from pathlib import Path
from typing import Any

from monailabel.interfaces.datastore import Datastore
from monailabel.interfaces.tasks.train import TrainTask

from lesionlabel.datastore.cohort import Kind, cohort_of
from lesionlabel.datastore.curated import CuratedDatastore
from lesionlabel.imaging.store import VolumeStore
from lesionlabel.lesions.errors import InputError
from lesionlabel.lesions.files import write_atomically
from lesionlabel.settings import Settings

logger = logging.getLogger(__name__)

#: The first of each list is the default; 3D Slicer shows lists as choices.
CHOICES: dict[str, list[str]] = {"profile": ["quick", "paper"], "kind": ["any", "patients", "phantom"]}
#: What MONAI Label and its clients add to a training request; it means nothing here and is left out.
IGNORED = frozenset({"client_id", "model", "gpus", "local_rank", "device", "name", "tracking", "tracking_uri"})
#: Seconds between two notes on how far a run is.
NOTE_EVERY = 2.0


class LesionClassifierTrainer(TrainTask):
    """Trains in MONAI Label's child process. The progress goes to a small file, which `/info/` shows as train_stats."""

    def __init__(self, settings: Settings, store: VolumeStore) -> None:
        super().__init__("Trains on the curated lesions. What comes out is a candidate; it serves only once it is promoted.")
        self.settings, self.store = settings, store
        self.stats_file: Path = settings.home / "training" / "lesion_classifier.json"

    def config(self) -> dict[str, Any]:
        return {**{name: list(choices) for name, choices in CHOICES.items()}, "seed": 0}

    def stats(self) -> dict[str, Any]:
        """How far the run is or how the last one ended; {} before the first."""
        try:
            return json.loads(self.stats_file.read_bytes())
        except (FileNotFoundError, ValueError):
            return {}

    def check(self, params: dict[str, Any]) -> dict[str, Any]:
        """The parameters that training knows, checked. Raises InputError for an unknown one or a wrong value."""
        unknown = sorted(set(params) - set(CHOICES) - {"seed"} - IGNORED)
        if unknown:
            raise InputError(f"Training does not know {', '.join(unknown)}. Allowed: {', '.join(CHOICES)}, seed.")
        checked: dict[str, Any] = {}
        for name, choices in CHOICES.items():
            given = params.get(name)
            # A client that sends the whole list means its default, the first.
            value = given[0] if isinstance(given, list) and given else given or choices[0]
            if value not in choices:
                raise InputError(f"{name} must be one of {', '.join(choices)}, got {value!r}.")
            checked[name] = value
        seed = params.get("seed") or 0
        text = str(seed).strip()
        if isinstance(seed, bool) or not text.isdecimal() or int(text) >= 2**31:
            raise InputError(f"seed must be a whole number from 0 to {2**31 - 1}, got {seed!r}.")
        return {**checked, "seed": int(text)}

    def __call__(self, request: dict[str, Any], datastore: Datastore) -> dict[str, Any]:
        """Train on the datastore's cohort. Returns the candidate's version and its number of lesions."""
        # Loaded in the training process only: the server starts sooner without it.
        from lesionlabel.registry.retrain import train_version

        params = self.check(request)
        if not isinstance(datastore, CuratedDatastore):
            raise InputError("Training needs the curated studies folder as its datastore.")
        kind: Kind | None = None if params["kind"] == "any" else params["kind"]
        cohort = cohort_of(datastore, self.store, self.settings.classes, kind)
        start = time.time()
        noted = 0.0

        def note(share: float, what: str) -> None:
            nonlocal noted
            if time.time() - noted < NOTE_EVERY and share < 1:
                return
            noted = time.time()
            logger.info("%3.0f %% %s", 100 * share, what)
            self._write_stats({"epoch": round(100 * share), "what": what}, start)

        note(0.0, f"{len(cohort)} lesions of {len(set(cohort.patients))} patients")
        candidate, _ = train_version(cohort, self.settings, params["profile"], params["seed"], progress=note)
        done = {"epoch": 100, "what": "done", "version": candidate.version, "total_time": round(time.time() - start)}
        self._write_stats(done, start)
        return {"version": candidate.version, "lesions": len(cohort), "counts": cohort.counts()}

    def _write_stats(self, values: dict[str, Any], start: float) -> None:
        """epoch is the percentage done: 3D Slicer draws it of total_epochs until total_time is there, and needs best_metric."""
        stats = {"total_epochs": 100, "start_ts": int(start), "current_time": int(time.time()), "best_metric": 0.0, **values}
        write_atomically(self.stats_file, json.dumps(stats).encode())
