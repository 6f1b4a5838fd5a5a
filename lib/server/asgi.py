"""The ASGI app around MONAI Label's: its lifespan, our routes first, the stock app behind them.

Served by `lesionlabel serve`, or by `monailabel start_server --uvicorn_app lesionlabel.server.asgi:app`.
"""

from __future__ import annotations

import io
import logging
import threading
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, redirect_stdout, suppress
from typing import Any

import torch
from fastapi import FastAPI
from fastapi.middleware.cors import CORSMiddleware
from threadpoolctl import threadpool_limits

# It prints that all origins are allowed, which does not hold here.
with redirect_stdout(io.StringIO()):
    from monailabel.app import app as stock

from lesionlabel.jobs.schedule import apply_schedule
from lesionlabel.lesions.errors import InputError
from lesionlabel.server import (
    closed,
    explanations,
    inference,
    jobs,
    models,
    offloaded,
    ohif,
    pages,
    proxy,
    readers,
    results,
    training,
)
from lesionlabel.server.errors import JSONErrors, in_one_line
from lesionlabel.server.running import running_app

logger = logging.getLogger(__name__)

#: Seconds between two looks at what was promoted.
LOOK_EVERY_S = 1.0
#: Seconds between two looks at whether enough lesions are new.
GROWTH_EVERY_S = 30.0


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    # A click's work is small: one thread does it sooner than several that wait for each other, and clicks run side by side.
    torch.set_num_threads(1)
    threadpool_limits(1)
    async with stock.router.lifespan_context(stock):
        threading.Thread(target=open_jobs, name="jobs", daemon=True).start()
        threading.Thread(target=keep_champion, name="champion", daemon=True).start()
        threading.Thread(target=results.keep_sending, name="results", daemon=True).start()
        yield


def keep_champion() -> None:
    """Swap a newly promoted version in before anybody asks for it."""
    versions = running_app().desk.versions
    while True:
        # Where nothing serves, whoever asks is told why.
        with suppress(Exception):
            versions.champion()
        time.sleep(LOOK_EVERY_S)


def open_jobs() -> None:
    """Load what jobs need before anybody asks for them, say when to retrain, and retrain whenever enough lesions are new."""
    app, applied = running_app(), False
    while True:
        try:
            if not applied:
                apply_schedule(app.jobs, app.scheduled_retraining)
                applied = True
            app.growth.look()
        except InputError as error:
            logger.error("Nothing is retrained by itself: %s", in_one_line(error))
            return
        except Exception as error:  # a database that is away comes back; predictions do not need it
            logger.error("The jobs cannot be reached: %s", in_one_line(error))
        time.sleep(GROWTH_EVERY_S)


def build() -> FastAPI:
    """Our app with the stock one mounted at /. Call once: it also changes the stock app's middleware."""
    # The stock app lets pages of any origin read patients' images with the user's credentials.
    stock.user_middleware = [m for m in stock.user_middleware if m.cls is not CORSMiddleware]
    stock.add_middleware(JSONErrors)
    built = FastAPI(title="LesionLabel", lifespan=lifespan, docs_url=None, redoc_url=None, redirect_slashes=False)
    built.add_middleware(JSONErrors)
    # Closed ones first: /infer/wsi/… would not reach /infer/{model}, but nothing should depend on that.
    for part in (closed, proxy, ohif, pages, inference, training, jobs, models, explanations, readers, results, offloaded):
        built.include_router(part.router)
    ours = built.openapi

    def openapi() -> dict[str, Any]:
        """Our description, completed by the stock one's paths."""
        schema = ours()
        other = stock.openapi()
        for path, methods in other["paths"].items():
            if not path.startswith(("/proxy", "/ohif", "/infer/wsi", "/batch", "/scoring", "/reload")):
                schema["paths"][path] = {**methods, **schema["paths"].get(path, {})}
        components = schema.setdefault("components", {})
        for kind, entries in other.get("components", {}).items():
            components[kind] = {**entries, **components.get(kind, {})}
        return schema

    built.openapi = openapi
    built.mount("/", stock)
    return built


app = build()
