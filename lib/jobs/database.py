"""The database of the jobs: where it is, what may be stored in it, and what its queues are called."""

from __future__ import annotations

import json
import logging
from datetime import datetime
from typing import Any

from dbos import DBOS, DBOSClient, Serializer
from filelock import FileLock

from lesionlabel.settings import Settings

APPLICATION = "lesionlabel"
#: The shape of the workflows. Work in progress is taken up again by workers of the same shape only: change it with theirs.
SHAPE = "1"
#: Jobs wait here, and one is done at a time; their parts wait there, and every worker does one at a time.
JOBS_QUEUE, PARTS_QUEUE = "jobs", "parts"


#: Seconds in which a PostgreSQL must answer.
CONNECT_S = 5


class JobError(RuntimeError):
    """An error of a job's part, as it was stored: its text, and the name of what it was."""

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(text)
        self.kind = kind


class JsonSerializer(Serializer):
    """Plain JSON. DBOS's own format is pickled, and what is unpickled may run any code."""

    def name(self) -> str:
        return "lesionlabel_json"

    def serialize(self, data: Any) -> str:
        return json.dumps(data, default=_plain, allow_nan=False)

    def deserialize(self, serialized_data: str) -> Any:
        return json.loads(serialized_data, object_hook=_rich)


def _plain(value: Any) -> dict[str, str]:
    if isinstance(value, JobError):
        return {"__error__": value.kind, "text": str(value)}
    if isinstance(value, BaseException):
        return {"__error__": type(value).__name__, "text": str(value)}
    if isinstance(value, datetime):
        return {"__time__": value.isoformat()}
    raise TypeError(f"{type(value).__name__} is not stored with a job.")


def _rich(content: dict[str, Any]) -> Any:
    if "__error__" in content:
        return JobError(content["__error__"], content["text"])
    if "__time__" in content:
        return datetime.fromisoformat(content["__time__"])
    return content


def database_url(settings: Settings) -> str:
    """The configured PostgreSQL, else a SQLite file under home."""
    if settings.jobs_database is not None:
        url = settings.jobs_database.get_secret_value()
        # Without it a machine that does not answer would be waited for two minutes, by whoever asks about jobs.
        return url if "connect_timeout" in url else f"{url}{'&' if '?' in url else '?'}connect_timeout={CONNECT_S}"
    settings.home.mkdir(parents=True, exist_ok=True)
    return f"sqlite:///{settings.home.resolve() / 'jobs.sqlite'}"


def migrate(settings: Settings) -> None:
    """Make the tables, or bring them up to date. Done twice, nothing changes."""
    # Its lines tell where the database is, and its tracebacks what a job was given; what a user must know the job's log says.
    logging.getLogger("dbos").setLevel(logging.CRITICAL)
    settings.home.mkdir(parents=True, exist_ok=True)
    with FileLock(settings.home / ".jobs.lock"):
        DBOS.migrate(database_url(settings))


def open_client(settings: Settings) -> DBOSClient:
    """A way to start, watch and cancel jobs from any process. Raises OSError-like errors of the database when it is not there."""
    migrate(settings)
    return DBOSClient(
        system_database_url=database_url(settings),
        serializer=JsonSerializer(),
        application_name=APPLICATION,
        retry_connection_errors=False,
    )
