"""POST /infer/{model}: MONAI Label's contract, answered in a thread, so that nothing else waits for it."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, BackgroundTasks, Depends, File, Form, UploadFile
from fastapi.responses import FileResponse, JSONResponse
from monailabel.config import settings as host
from monailabel.endpoints.infer import ResultType
from monailabel.endpoints.user.auth import RBAC
from monailabel.utils.others.generic import get_mime_type
from requests_toolbelt import MultipartEncoder
from starlette.responses import Response

from lesionlabel.datastore.names import id_for, require_extension, require_id
from lesionlabel.datastore.raw_label import with_grid
from lesionlabel.lesions.errors import InputError, NotFoundError
from lesionlabel.server.dicom_answers import as_segmentation, require_series
from lesionlabel.server.running import running_app

#: What a client's params may not set: they would choose another model, image or server file, or change the server's logging.
RESERVED = frozenset(
    {"model", "image", "image_id", "label_file", "session", "skip_writer", "result_write_to_file", "logging", "device"}
)

router = APIRouter(dependencies=[Depends(RBAC(host.MONAI_LABEL_AUTH_ROLE_USER))])


@router.post("/infer/{model}")
def infer(
    background_tasks: BackgroundTasks,
    model: str,
    image: str = "",
    session_id: str = "",
    params: Annotated[str, Form()] = "{}",
    file: Annotated[UploadFile | None, File()] = None,
    label: Annotated[UploadFile | None, File()] = None,
    output: ResultType | None = None,
) -> Response:
    """Answer for an image id, a session or an uploaded file; see MONAI Label's API for output."""
    asked = read_params(params)
    request: dict[str, Any] = {key: value for key, value in asked.items() if key not in RESERVED}
    request |= {"model": model, "output": output and output.value, "result_write_to_file": output != ResultType.json}
    if output == ResultType.dicom_seg:
        require_series(None if file is not None or session_id else image)
        if model == "generate" or model.startswith("generate_"):
            raise InputError(
                f"{model!r} outlines nothing in an image, so there is no DICOM SEG of it. Ask a model such as 'lesion'."
            )
        request |= {"output": ResultType.image.value, "result_extension": ".nrrd"}
    # What was uploaded goes with the folder, also when the question cannot be answered.
    with tempfile.TemporaryDirectory(prefix="lesionlabel-") as uploads:
        if running_app().needs_image(model):
            request["image"] = _image(Path(uploads) / "image", image, session_id, file)
        if label is not None:
            request["label_file"] = keep_upload(Path(uploads) / "label", label, image)
        result = running_app().infer(request)
    made = result["file"]
    if output == ResultType.dicom_seg:
        if not made:
            why = result["params"].get("why_not") or f"{model!r} gave no outline as a file."
            raise InputError(
                f"There is no DICOM SEG: {why} Ask a model that outlines, such as 'lesion', or ask with output=json."
            )
        try:
            response = as_segmentation(image, result)
        finally:
            Path(made).unlink(missing_ok=True)
        return response
    if made:
        background_tasks.add_task(Path(made).unlink, missing_ok=True)
    return _respond(result["params"], made, output, background_tasks)


def read_params(text: str) -> dict[str, Any]:
    """The params field. Raises InputError unless it is a JSON object."""
    try:
        params = json.loads(text or "{}")
    except ValueError as error:
        raise InputError(f"params must be a JSON object, but is no JSON: {error}.") from None
    if not isinstance(params, dict):
        raise InputError(f'params must be a JSON object like {{"point": [i, j, k]}}, got {type(params).__name__}.')
    return params


def _image(stem: Path, image: str, session_id: str, file: UploadFile | None) -> str | Path:
    """The image's id, or the file it is in; an upload is kept as stem with its ending."""
    if session_id:
        sessions = running_app().sessions()
        session = sessions.get_session(require_id(session_id)) if sessions is not None else None
        if session is None:
            raise NotFoundError(session_over(session_id))
        return Path(session.image)
    if file is not None:
        return keep_upload(stem, file, "")
    if not image:
        raise InputError("No image was named: give image=<id>, session_id=<id>, or send a file.")
    return id_for(image)


def session_over(session_id: str) -> str:
    """What a client is told about a session that is not there, or not any more."""
    return (
        f"No session {session_id!r}: it ended or never was. Send the volume again: in 3D Slicer press Upload Volume in the "
        "MONAI Label module, your segments stay; other clients begin a new session."
    )


def keep_upload(stem: Path, upload: UploadFile, image: str) -> Path:
    """The uploaded bytes as stem with the upload's ending. OHIF's raw .bin label takes the grid of the image of that id."""
    name = upload.filename or "upload.nii.gz"
    path = stem.with_name(stem.name + require_extension(name))
    with path.open("wb") as target:
        shutil.copyfileobj(upload.file, target, 1 << 20)
    if path.suffix != ".bin":
        return path
    volume = running_app().desk.open(Path(running_app().datastore().get_image_uri(id_for(image)))).volume
    return with_grid(path, volume, stem.with_name(stem.name + ".nrrd"))


def _respond(params: dict[str, Any], file: str | None, output: ResultType | None, background: BackgroundTasks) -> Response:
    if output == ResultType.json or file is None:
        return JSONResponse(params, background=background)
    name = Path(file).name
    if output == ResultType.image:
        return FileResponse(file, media_type=get_mime_type(file), filename=name, background=background)
    with Path(file).open("rb") as stream:
        fields = {"params": (None, json.dumps(params), "application/json"), "image": (name, stream, get_mime_type(file))}
        message = MultipartEncoder(fields=fields)
        return Response(message.to_string(), media_type=message.content_type, background=background)
