"""Every error as JSON with the right status: what a user can mend is said, what nobody foresaw gets a number, never a trace."""

from __future__ import annotations

import errno
import json
import logging
import secrets
from pathlib import Path

from monailabel.config import settings as host
from monailabel.interfaces.exception import MONAILabelException
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lesionlabel.jobs.jobs import BusyError
from lesionlabel.lesions.errors import InputError, IntegrityError, NoModelError, NotFoundError, PacsError, places
from lesionlabel.registry.versions import starter_folder
from lesionlabel.settings import Settings
from lesionlabel.training.hooks import TOLD

logger = logging.getLogger(__name__)

STATUS: tuple[tuple[type[Exception], int], ...] = (
    (BusyError, 429),
    (InputError, 422),
    (NotFoundError, 404),
    (NoModelError, 503),
    (IntegrityError, 503),
    (PacsError, 503),
)


class JSONErrors:
    """ASGI middleware: the status and text of an exception instead of an empty 500."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = False

        async def watch(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self.app(scope, receive, watch)
        except Exception as error:
            response = to_response(error)
            if started:
                raise RuntimeError("An error came after the answer had begun.") from None
            await response(scope, receive, send)


def to_response(error: Exception) -> JSONResponse:
    """The response for an exception that left an endpoint."""
    for kind, status in STATUS:
        if isinstance(error, kind):
            return JSONResponse({"detail": without_folders(str(error)), "error": type(error).__name__}, status)
    if isinstance(error, MONAILabelException):
        return JSONResponse({"detail": without_folders(str(error.msg)), "error": type(error).__name__}, 400)
    if type(error).__module__.partition(".")[0] in ("sqlalchemy", "sqlite3", "dbos", "psycopg"):
        logger.error("The jobs' database: %s", places(error))
        return JSONResponse({"detail": "The jobs' database cannot be used just now. Try again.", "error": "Database"}, 503)
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return JSONResponse({"detail": "The server's disk is full. Make room in LESIONLABEL_HOME.", "error": "DiskFull"}, 503)
    if isinstance(error, json.JSONDecodeError):
        return JSONResponse({"detail": f"params and info must be JSON: {error}.", "error": "JSONDecodeError"}, 422)
    incident = secrets.token_hex(4)
    logger.error("Incident %s: %s", incident, in_one_line(error))
    detail = f"Something unexpected went wrong (incident {incident}). The server's log names the place under that number."
    return JSONResponse({"detail": detail, "error": "Unexpected", "incident": incident}, 500)


def in_one_line(error: Exception) -> str:
    """The error for a log: its text where it is our own, else only the places it went through.

    Another exception's text can hold what a patient's file or a request said.
    """
    if isinstance(error, TOLD):
        return f"{type(error).__name__}: {without_folders(str(error))}"
    return places(error)


def without_folders(text: str) -> str:
    """The text with files named from the studies and state folders on: where those lie is nobody's business outside."""
    folders = {Path(host.MONAI_LABEL_STUDIES), Settings().home, starter_folder().parent}
    for folder in sorted({str(path) for known in folders for path in (known, known.resolve())}, key=len, reverse=True):
        if len(folder) > 1:
            text = text.replace(f"{folder}/", "").replace(folder, "the server's folder")
    return text
