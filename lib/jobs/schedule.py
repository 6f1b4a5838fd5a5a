"""Retraining without being asked: at set times, and once enough lesions are new."""

from __future__ import annotations

import json
import logging
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import available_timezones

from lesionlabel.jobs.jobs import BusyError, Job, Jobs, lesions_of
from lesionlabel.lesions.errors import InputError
from lesionlabel.lesions.files import write_atomically
from lesionlabel.settings import Settings

if TYPE_CHECKING:
    from lesionlabel.datastore.curated import CuratedDatastore

logger = logging.getLogger(__name__)

SCHEDULE = "retrain_at"


def apply_schedule(jobs: Jobs, asked: dict[str, Any]) -> None:
    """Have workers retrain at the configured times, or no more where none are. asked: what such a job is started with.

    DBOS keeps the schedule, and each time fires once however many workers there are. Times are those of the server's time
    zone where it is known by name, else UTC. Raises as require_cron.
    """
    cron = require_cron(jobs.settings)
    if cron is None:
        jobs.client.delete_schedule(SCHEDULE)
        return
    from lesionlabel.jobs.database import APPLICATION

    jobs.client.apply_schedules(
        [
            {
                "schedule_name": SCHEDULE,
                "workflow_name": "scheduled_retrain",
                "schedule": cron,
                "context": asked,
                "cron_timezone": _zone(),
                "queue_name": None,
                "application_name": APPLICATION,
            }
        ]
    )


def require_cron(settings: Settings) -> str | None:
    """When to retrain, None for never. Raises InputError for other than five cron fields."""
    cron = settings.retrain_at
    if cron is not None and (len(cron.split()) != 5 or not _is_cron(cron)):
        raise InputError(f"LESIONLABEL_RETRAIN_AT must be five cron fields, such as 0 2 * * * for each night at 2; got {cron!r}.")
    return cron


class Growth:
    """Starts a retraining once enough curated lesions are new since the last one that it started.

    A lesion that is saved again counts as new: its contour or class may have changed.
    """

    def __init__(self, jobs: Jobs, datastore: CuratedDatastore, params: dict[str, Any]) -> None:
        self._jobs, self._datastore, self._params = jobs, datastore, params
        self._path: Path = jobs.settings.home / "retrain_after.json"

    def look(self) -> Job | None:
        """The retraining that was started, None where too few are new or another job runs."""
        wanted = self._jobs.settings.retrain_after
        if wanted is None:
            return None
        # Loads MONAI Label, which the server has and a worker does without.
        from lesionlabel.datastore.cohort import curated_lesions

        found = curated_lesions(self._datastore, self._jobs.settings.classes).values()
        now = {lesion.lesion_id for lesions in found for lesion in lesions}
        if len(now - self._known()) < wanted:
            return None
        try:
            asked = {"trainer": "lesion_classifier", "params": self._params, **lesions_of(self._datastore.studies)}
            job = self._jobs.start("retrain", asked)
        except BusyError:
            return None
        write_atomically(self._path, json.dumps(sorted(now)).encode())
        logger.info("A retraining starts: enough curated lesions are new.")
        return job

    def _known(self) -> set[str]:
        try:
            return set(json.loads(self._path.read_bytes()))
        except (FileNotFoundError, ValueError):
            return set()


def _is_cron(text: str) -> bool:
    # Loaded only where a schedule is configured.
    from croniter import croniter

    return croniter.is_valid(text)


def _zone() -> str | None:
    """The name of the server's time zone, None where it has none or none that is known: DBOS then takes UTC."""
    named = Path("/etc/timezone")
    name = named.read_text(encoding="utf-8").strip() if named.exists() else ""
    return name if name in available_timezones() else None


def scheduled(jobs: Jobs, asked: dict[str, Any], when: datetime) -> None:
    """What happens at a set time: a retraining, unless a job waits or runs."""
    try:
        jobs.start("retrain", asked)
    except BusyError as error:
        logger.info("The retraining of %s is left out. %s", when.isoformat(timespec="minutes"), error)
