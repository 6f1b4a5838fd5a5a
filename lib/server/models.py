"""The classifier's versions over REST: what there is, what the gate says, and promote, roll back, retire."""

from __future__ import annotations

import re
from typing import Annotated, Any

from fastapi import APIRouter, Body
from fastapi.responses import HTMLResponse
from monailabel.config import settings as host
from monailabel.endpoints.user.auth import User
from pydantic import BaseModel, ConfigDict, Field

from lesionlabel.datastore.in_use import in_use
from lesionlabel.lesions.errors import IntegrityError, NoModelError, NotFoundError
from lesionlabel.registry.bundle_folder import CARD_NAME
from lesionlabel.registry.version_store import VersionInfo
from lesionlabel.registry.versions import Versions
from lesionlabel.server.errors import without_folders
from lesionlabel.server.roles import ADMIN, USER
from lesionlabel.server.running import running_app

router = APIRouter(prefix="/api/v1/models")

#: Of a version's name, which is part of a file's name below.
VERSION = re.compile(r"[0-9A-Za-z][0-9A-Za-z-]{0,63}")
PAGE_HEADERS = {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'"}


class Decided(BaseModel):
    """Who decides and why; both are kept for ever. by is the signed-in user where signing in is switched on."""

    model_config = ConfigDict(extra="forbid")

    by: str = ""
    reason: Annotated[str, Field(max_length=2000)] = ""


class Promotion(Decided):
    """reader: another person, who has seen every lesion that was won or lost. accept: ids of malignant lesions newly called
    benign that the reader accepts. override: against the gate.
    """

    reader: str = ""
    accept: list[str] = []
    override: bool = False


@router.get("")
def list_models(user: User = USER) -> dict[str, Any]:
    """All versions, oldest first, and which one serves."""
    versions = _versions()
    serving, problem = None, versions.problem
    try:
        champion = versions.champion()
        serving = {"version": champion.version, "sha256": champion.sha256, "trained_on": champion.trained_on}
    except (NoModelError, IntegrityError) as error:
        problem = str(error)
    return {
        "serving": serving,
        "problem": None if problem is None else without_folders(problem),
        "versions": [_described(info) for info in versions.list()],
        "damaged": list(versions.damaged()),
    }


@router.get("/{version}")
def get_model(version: str, user: User = USER) -> dict[str, Any]:
    """A version with its card, how it did, and who let it serve; no pseudonyms."""
    versions = _versions()
    info = versions.get(_require(version))
    evaluation = info.manifest.evaluation or {}
    return {
        **_described(info),
        "config": info.manifest.config,
        "parents": info.manifest.parents,
        "evaluation": {key: value for key, value in evaluation.items() if key != "out_of_fold"},
        "card": _card(info),
        "promotions": [entry for entry in versions.promotions() if entry["version"] == version],
        "retirements": [entry for entry in versions.retirements() if entry["version"] == version],
    }


@router.get("/{version}/gate/{champion}")
def get_gate_page(version: str, champion: str, user: User = ADMIN) -> HTMLResponse:
    """The page on a comparison, with every lesion that was won or lost: it shows patients' lesions."""
    path = running_app().settings.home / "gate" / f"{_require(version)}-against-{_require(champion)}.html"
    if not path.exists():
        raise NotFoundError(f"{version} was not compared with {champion}.")
    return HTMLResponse(path.read_bytes(), headers=PAGE_HEADERS)


@router.get("/{version}/in-use")
def in_use_model(version: str, user: User = USER) -> dict[str, Any]:
    """Test-then-train: the version beside what serves, on lesions decided blind since both are there."""
    app = running_app()
    return in_use(app.settings, app.datastore().studies, _require(version)).to_json()


@router.post("/{version}/compare", status_code=202)
def compare_model(version: str, enqueue: bool = False, user: User = ADMIN) -> dict[str, Any]:
    """Hold a version against what serves, as a job: its result is the gate's decision."""
    _versions().get(_require(version))
    return running_app().jobs.start("compare", {"version": version}, wait_in_line=enqueue).to_json()


@router.post("/{version}/promote")
def promote_model(version: str, asked: Annotated[Promotion, Body()], user: User = ADMIN) -> dict[str, Any]:
    """Let a version serve from now on, as far as the gate lets it. 422 says what stands against it."""
    info = _versions().promote(
        _require(version), _by(asked, user), asked.reason, reader=asked.reader, accepts=asked.accept, override=asked.override
    )
    return _described(info)


@router.post("/rollback")
def rollback_model(asked: Annotated[Decided, Body()], user: User = ADMIN) -> dict[str, Any]:
    """Let the version serve again that served before."""
    return _described(_versions().rollback(_by(asked, user), asked.reason))


@router.post("/{version}/retire")
def retire_model(version: str, asked: Annotated[Decided, Body()], user: User = ADMIN) -> dict[str, Any]:
    """Let a version never serve again; its files stay."""
    return _described(_versions().retire(_require(version), _by(asked, user), asked.reason))


def _versions() -> Versions:
    return running_app().desk.versions


def _by(asked: Decided, user: User) -> str:
    return user.username if host.MONAI_LABEL_AUTH_ENABLE else asked.by


def _card(info: VersionInfo[Any]) -> str:
    try:
        return (info.folder / CARD_NAME).read_text(encoding="utf-8")
    except OSError as error:
        raise IntegrityError(f"{info.version} has no card that can be read: it was changed or damaged.") from error


def _require(version: str) -> str:
    if not VERSION.fullmatch(version):
        raise NotFoundError(f"No version {version!r}.")
    return version


def _described(info: VersionInfo[Any]) -> dict[str, Any]:
    manifest = info.manifest
    return {
        "version": info.version,
        "created": manifest.created,
        "state": info.state,
        "trained_on": manifest.trained_on,
        "class_counts": manifest.class_counts,
        "snapshot": manifest.snapshot,
        "seed": manifest.seed,
        "code_version": manifest.code_version,
    }
