"""DICOM results over REST: what waits for the PACS and why, and the report of an answer for download."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, Form
from monailabel.endpoints.user.auth import User
from starlette.responses import Response

from lesionlabel.datastore.names import id_for
from lesionlabel.datastore.results import Results
from lesionlabel.lesions.errors import NotFoundError
from lesionlabel.server.dicom_answers import as_report, require_series
from lesionlabel.server.inference import RESERVED, read_params
from lesionlabel.server.roles import ADMIN, USER
from lesionlabel.server.running import running_app

router = APIRouter(prefix="/api/v1/results")


@router.get("")
def list_results(sent: bool = False, user: User = USER) -> list[dict[str, Any]]:
    """What is not on the PACS yet and why, oldest first; with sent, what is there instead. Without identifiers."""
    results = _results()
    return [entry.to_json() for entry in results.outbox.list(sent=True)] if sent else results.waiting()


@router.get("/{name}")
def get_result(name: str, user: User = USER) -> dict[str, Any]:
    """One of them with the SOP Instance UIDs of its documents."""
    entry = _results().outbox.get(name)
    return {**entry.to_json(), "sop_uids": [document["sop_uid"] for document in entry.record.get("documents", [])]}


@router.post("/send")
def send_results(user: User = ADMIN) -> dict[str, int]:
    """Try to make and send all of them now, also those that would wait longer."""
    sent, waiting = _results().work(time.time(), all_of_them=True)
    return {"sent": sent, "waiting": waiting}


@router.post("/sr")
def report_of_answer(
    image: str, model: str = "lesion_classifier", params: Annotated[str, Form()] = "{}", user: User = USER
) -> Response:
    """A DICOM SR of the model's answer, asked as /infer is. It is stored nowhere."""
    image_id = id_for(image)
    require_series(image_id)
    asked = {key: value for key, value in read_params(params).items() if key not in RESERVED}
    result = running_app().infer({**asked, "model": model, "image": image_id, "output": "json", "result_write_to_file": False})
    if result["file"]:
        Path(result["file"]).unlink(missing_ok=True)
    return as_report(image_id, result)


def keep_sending() -> None:
    """Work on results for as long as the server runs, where results are stored."""
    results = running_app().results
    if results is not None:
        results.run()


def _results() -> Results:
    results = running_app().results
    if results is None:
        raise NotFoundError("This server stores no DICOM results: LESIONLABEL_STORE_RESULTS is not set.")
    return results
