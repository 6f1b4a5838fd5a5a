"""Jobs over REST: look at one, follow it as server-sent events, read its log, cancel it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

from fastapi import APIRouter, Request
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import PlainTextResponse, StreamingResponse
from monailabel.endpoints.user.auth import User

from lesionlabel.jobs.journal import Journal
from lesionlabel.server.roles import ADMIN, USER
from lesionlabel.server.running import running_app

router = APIRouter(prefix="/api/v1/jobs")

#: Seconds between two looks for whoever follows a job, and after which a line says that the connection lives.
LOOK_EVERY_S, ALIVE_EVERY_S = 1.0, 15.0


@router.get("")
def list_jobs(user: User = USER) -> list[dict[str, Any]]:
    """The newest jobs, newest first."""
    return [job.to_json() for job in running_app().jobs.list()]


@router.get("/{job}")
def get_job(job: str, user: User = USER) -> dict[str, Any]:
    """How far a job is or how it ended: state, percent, seconds left, its parts, why it failed, what it made."""
    return running_app().jobs.get(job).to_json()


@router.get("/{job}/log")
def get_log(job: str, user: User = USER) -> PlainTextResponse:
    """The whole log of a job."""
    running_app().jobs.get(job)
    return PlainTextResponse("".join(f"{line}\n" for line in Journal(running_app().settings, job).lines()))


@router.get("/{job}/events")
async def follow_job(job: str, request: Request, user: User = USER) -> StreamingResponse:
    """The job as server-sent events, one for each change, until it is over."""
    first = (await run_in_threadpool(running_app().jobs.get, job)).to_json()

    async def events() -> AsyncIterator[str]:
        told, since = first, 0.0
        yield _event(first)
        while not await request.is_disconnected() and told["state"] in ("waiting", "running"):
            await asyncio.sleep(LOOK_EVERY_S)
            now = (await run_in_threadpool(running_app().jobs.get, job)).to_json()
            since += LOOK_EVERY_S
            if now != told:
                told, since = now, 0.0
                yield _event(now)
            elif since >= ALIVE_EVERY_S:
                since = 0.0
                yield ": alive\n\n"

    return StreamingResponse(events(), media_type="text/event-stream", headers={"Cache-Control": "no-store"})


@router.delete("/{job}")
def cancel_job(job: str, user: User = ADMIN) -> dict[str, Any]:
    """Stop a job within seconds; no other one is touched."""
    return running_app().jobs.cancel(job, user.username).to_json()


def _event(content: dict[str, Any]) -> str:
    return f"data: {json.dumps(content)}\n\n"
