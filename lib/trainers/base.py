"""What all trainers share: which parameters they take, and how they start a background job on the curated lesions."""

from __future__ import annotations

import time
from abc import abstractmethod
from typing import Any

from monailabel.interfaces.datastore import Datastore
from monailabel.interfaces.tasks.train import TrainTask

from lesionlabel.datastore.curated import CuratedDatastore
from lesionlabel.jobs.jobs import Job, Jobs, Kind, lesions_of
from lesionlabel.lesions.errors import InputError

KINDS = ["any", "patients", "phantom"]
#: What MONAI Label and its clients add to a training request; it means nothing here and is left out.
IGNORED = frozenset({"client_id", "model", "gpus", "local_rank", "device", "name", "tracking", "tracking_uri"})
#: Seconds between two looks at a job that is waited for.
LOOK_EVERY_S = 1.0


class JobTrainer(TrainTask):
    """Trains on the curated lesions of the studies folder, as a job. What comes out never serves by itself.

    choices: parameters with what each may be, the first by default; 3D Slicer shows lists as choices. A seed comes with them.
    """

    def __init__(self, jobs: Jobs, name: str, description: str, choices: dict[str, list[str]]) -> None:
        super().__init__(description)
        self.jobs, self.name, self.choices = jobs, name, {**choices, "kind": KINDS}

    @property
    @abstractmethod
    def job_kind(self) -> Kind:
        """What the job is called."""

    def config(self) -> dict[str, Any]:
        return {**{name: list(allowed) for name, allowed in self.choices.items()}, "seed": 0}

    def start(self, params: dict[str, Any], lesions: dict[str, str], *, wait_in_line: bool = False) -> Job:
        """Put the training in line. lesions: from lesions_of or snapshot_of.

        Raises InputError for an unknown parameter or a wrong value, BusyError.
        """
        asked = {"trainer": self.name, "params": self.check(params), **lesions}
        return self.jobs.start(self.job_kind, asked, wait_in_line=wait_in_line)

    def stats(self) -> dict[str, Any]:
        """How far the newest training is or how it ended, as 3D Slicer reads it; {} before the first.

        epoch is the percentage done: 3D Slicer draws it of total_epochs until total_time is there, and needs best_metric.
        """
        try:
            recent = self.jobs.recent()
        except Exception as error:  # whatever the database says: /info/ is asked for by everyone, with a training or without
            return {"what": "unknown", "why": f"The jobs' database cannot be read ({type(error).__name__})."}
        mine = [job for job in recent if job.asked.get("trainer") == self.name]
        if not mine:
            return {}
        job = next((one for one in mine if not one.state.is_over), mine[0])
        begun = job.started or job.created
        stats: dict[str, Any] = {
            "job": job.id,
            "epoch": round(100 * job.share),
            "total_epochs": 100,
            "start_ts": int(begun),
            "current_time": int(job.ended or time.time()),
            "best_metric": 0.0,
            "what": job.what or str(job.state),
        }
        if job.state.is_over:
            # With 0 3D Slicer's module would take it for one that still runs.
            stats["total_time"] = max(1, round((job.ended or time.time()) - begun))
        if job.why is not None:
            stats |= {"why": job.why}
        return stats | ({"version": job.result["version"]} if job.result else {})

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
        """Start the job and wait for its end: what MONAI Label's own training process calls. Returns the job's result.

        Raises InputError with the reason when it failed or was cancelled.
        """
        if not isinstance(datastore, CuratedDatastore):
            raise InputError("Training needs the curated studies folder as its datastore.")
        job = self.start(request, lesions_of(datastore.studies), wait_in_line=True)
        while not job.state.is_over:
            time.sleep(LOOK_EVERY_S)
            job = self.jobs.get(job.id)
        if job.result is None:
            raise InputError(job.why or f"The job {job.id} is {job.state}.")
        return job.result
