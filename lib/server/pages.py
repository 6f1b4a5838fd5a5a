"""The landing page, the list of endpoints and the plain log: rendered here, nothing loaded from elsewhere."""

from __future__ import annotations

import subprocess
from importlib import resources
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request
from jinja2 import Environment, FileSystemLoader, select_autoescape
from monailabel.config import settings as host
from monailabel.endpoints import logs
from monailabel.endpoints.user.auth import User
from starlette.responses import HTMLResponse, PlainTextResponse, Response

from lesionlabel.infers.notes import NOT_CLINICAL, PHANTOM_MODEL, closed_set
from lesionlabel.lesions.errors import IntegrityError, NoModelError, NotFoundError
from lesionlabel.server.errors import without_folders
from lesionlabel.server.roles import ADMIN
from lesionlabel.server.running import running_app

router = APIRouter(include_in_schema=False)
TEMPLATES = Environment(
    loader=FileSystemLoader(str(resources.files("lesionlabel.app") / "web")), autoescape=select_autoescape(default=True)
)
HEADERS = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; img-src 'self'; base-uri 'none'"}


@router.get("/")
def landing() -> HTMLResponse:
    """What this is, what serves, and where to go."""
    app = running_app()
    page = TEMPLATES.get_template("index.html").render(
        model=_model(app.desk.versions),
        datastore=app.datastore().status(),
        classes=app.settings.classes.names,
        closed_set=closed_set(tuple(app.settings.classes.names)),
        not_clinical=NOT_CLINICAL,
        version=app.version,
    )
    return HTMLResponse(page, headers=HEADERS)


@router.get("/docs")
def docs(request: Request) -> HTMLResponse:
    """Every endpoint with its parameters, from the OpenAPI description."""
    rows = []
    for path, methods in sorted(request.app.openapi()["paths"].items()):
        for method, what in methods.items():
            names = [p["name"] for p in what.get("parameters", [])]
            rows.append((method.upper(), path, ", ".join(names), what.get("description") or what.get("summary", "")))
    return HTMLResponse(TEMPLATES.get_template("docs.html").render(rows=rows, not_clinical=NOT_CLINICAL), headers=HEADERS)


@router.get("/logs/")
def read_logs(lines: int = 300, html: bool = True, text: bool = False, refresh: int = 0, user: User = ADMIN) -> Response:
    """The end of the log as plain text; the stock page loads its viewer from the internet."""
    return logs.get_logs(str(Path(host.MONAI_LABEL_APP_DIR) / "logs" / "app.log"), lines, False, True, 0)


@router.get("/logs/gpu")
def gpu_info(user: User = ADMIN) -> PlainTextResponse:
    """What nvidia-smi says, 404 where there is none."""
    try:
        found = subprocess.run(["nvidia-smi"], capture_output=True, text=True, check=True)
    except FileNotFoundError:
        raise NotFoundError("This server has no NVIDIA GPU: nvidia-smi was not found.") from None
    except subprocess.CalledProcessError as error:
        said = (error.stdout or error.stderr).strip()
        raise NotFoundError(f"This server has no NVIDIA GPU that works. nvidia-smi says: {said}") from None
    return PlainTextResponse(found.stdout)


def _model(versions: Any) -> dict[str, str]:
    try:
        champion = versions.champion()
    except (NoModelError, IntegrityError) as error:
        return {"problem": without_folders(str(error))}
    warning = PHANTOM_MODEL if champion.trained_on == "phantom" else ""
    stuck = "" if versions.problem is None else without_folders(versions.problem)
    return {
        "stuck": stuck,
        "version": champion.version,
        "sha256": champion.sha256[:12],
        "trained_on": champion.trained_on,
        "warning": warning,
    }
