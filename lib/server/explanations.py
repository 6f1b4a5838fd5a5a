"""What a reader may ask for beside an answer, each only on request: the heat map of a class, and similar curated lesions.

Who was given either has seen what the model thinks, which is noted as for an answer: such a decision is in no test.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, BackgroundTasks, File, Form, UploadFile
from fastapi.responses import FileResponse
from monailabel.endpoints.user.auth import User

from lesionlabel.datastore.names import id_for
from lesionlabel.infers.answer import Answer
from lesionlabel.infers.heat_map import NOT_EVIDENCE
from lesionlabel.server.inference import RESERVED, keep_upload, read_params
from lesionlabel.server.roles import USER
from lesionlabel.server.running import running_app

router = APIRouter(prefix="/api/v1")

NRRD = "application/octet-stream"


@router.post("/heat-map")
def heat_map(
    background_tasks: BackgroundTasks,
    image: str,
    params: Annotated[str, Form()] = "{}",
    label: Annotated[UploadFile | None, File()] = None,
    user: User = USER,
) -> FileResponse:
    """The heat map of params' "class", or of the most probable one, as .nrrd: float voxels on the image's grid.

    0 outside the ROI. It is no evidence. The lesion is given as to /infer/lesion_classifier. 422 where no type is given.
    """
    app, image_id = running_app(), id_for(image)
    with _request(params, label, image) as request:
        made, given, shown = app.explainer.heat_map(Path(app.datastore().get_image_uri(image_id)), request)
    try:
        _note(image_id, request, given)
    except BaseException:
        made.unlink(missing_ok=True)
        raise
    background_tasks.add_task(made.unlink, missing_ok=True)
    headers = {
        "X-LesionLabel-Notice": NOT_EVIDENCE,
        "X-LesionLabel-Class": shown,
        "X-LesionLabel-Model": given.json["model"]["version"],
    }
    return FileResponse(
        made, media_type=NRRD, filename="NOT-EVIDENCE-heat-map.nrrd", headers=headers, background=background_tasks
    )


@router.post("/similar")
def similar(
    image: str,
    params: Annotated[str, Form()] = "{}",
    label: Annotated[UploadFile | None, File()] = None,
    user: User = USER,
) -> dict[str, Any]:
    """Curated lesions of other patients that look alike to the model, at most params' "count" of them.

    The lesion is given as to /infer/lesion_classifier. 422 where no type is given.
    """
    app, image_id = running_app(), id_for(image)
    with _request(params, label, image) as request:
        found, given = app.explainer.similar(image_id, Path(app.datastore().get_image_uri(image_id)), request)
    _note(image_id, request, given)
    return found


@contextmanager
def _request(params: str, label: UploadFile | None, image: str) -> Iterator[dict[str, Any]]:
    """What is asked. What was uploaded is there as long as the context, also when the question cannot be answered."""
    request = {key: value for key, value in read_params(params).items() if key not in RESERVED}
    with tempfile.TemporaryDirectory(prefix="lesionlabel-") as uploads:
        if label is not None:
            request["label_file"] = keep_upload(Path(uploads) / "label", label, image)
        yield request


def _note(image_id: str, request: dict[str, Any], given: Answer) -> None:
    if given.entropy is not None:
        running_app().answers.record(image_id, request.get("client_id"), given.json["model"]["version"], given.entropy)
