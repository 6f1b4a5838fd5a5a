"""Every error as JSON with the right status: what a user can mend is said, what nobody foresaw gets a number, never a trace."""

from __future__ import annotations

import json
import logging
import secrets
import traceback
from pathlib import Path

from monailabel.interfaces.exception import MONAILabelException
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lesionlabel.lesions.errors import InputError, IntegrityError, NoModelError, NotFoundError

logger = logging.getLogger(__name__)

STATUS: tuple[tuple[type[Exception], int], ...] = (
    (InputError, 422),
    (NotFoundError, 404),
    (NoModelError, 503),
    (IntegrityError, 503),
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
            return JSONResponse({"detail": str(error), "error": type(error).__name__}, status)
    if isinstance(error, MONAILabelException):
        return JSONResponse({"detail": str(error.msg), "error": type(error).__name__}, 400)
    if isinstance(error, json.JSONDecodeError):
        return JSONResponse({"detail": f"params and info must be JSON: {error}.", "error": "JSONDecodeError"}, 422)
    incident = secrets.token_hex(4)
    # The places only: an exception's own text can hold what a patient's file or a request said.
    places = " < ".join(f"{Path(f.filename).name}:{f.lineno}" for f in reversed(traceback.extract_tb(error.__traceback__)[-6:]))
    logger.error("Incident %s: %s at %s", incident, type(error).__name__, places)
    detail = f"Something unexpected went wrong (incident {incident}). The server's log names the place under that number."
    return JSONResponse({"detail": detail, "error": "Unexpected", "incident": incident}, 500)
