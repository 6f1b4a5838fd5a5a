"""MONAI Label's endpoints that read or write files, run in threads: there they are coroutines that block the server.

Paths, parameters and JSON are the stock ones; the stock functions do the work.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Annotated, Any

from fastapi import APIRouter, BackgroundTasks, Body, File, Form, UploadFile
from fastapi.responses import FileResponse
from monailabel.config import settings as host
from monailabel.endpoints import activelearning, datastore, session
from monailabel.endpoints.user.auth import User

from lesionlabel.datastore.names import id_for, require_extension, require_id, require_tag, split_extension
from lesionlabel.datastore.raw_label import with_grid
from lesionlabel.lesions.errors import InputError, NotFoundError
from lesionlabel.server.inference import read_params, session_over
from lesionlabel.server.roles import ADMIN, ANNOTATOR, USER
from lesionlabel.server.running import running_app
from lesionlabel.server.saved import in_words

router = APIRouter()


@contextmanager
def cleaned_up(background_tasks: BackgroundTasks) -> Iterator[None]:
    """Do what was put off until after the answer also when there is none: uploaded images must not stay in /tmp."""
    try:
        yield
    except BaseException:
        for task in background_tasks.tasks:
            task.func(*task.args, **task.kwargs)
        raise


@router.get("/info/")
def app_info(user: User = USER) -> dict[str, Any]:
    """What the app offers and how far training is: in a thread, because that is read from files and a database."""
    return running_app().info()


@router.get("/datastore/")
def list_datastore(output: datastore.ResultType | None = None, user: User = USER) -> Any:
    """All images and labels: counts, or with output=all everything, or with output=train the pairs to train on."""
    return datastore.datastore(output)


@router.delete("/datastore/", include_in_schema=False)
@router.delete("/datastore/image")
def remove_image(id: str, user: User = ADMIN) -> Any:  # the stock parameter's name
    """Take an image away. A PACS's is refused: delete it on the PACS."""
    return datastore.remove_image(id, user.username)


@router.put("/datastore/", include_in_schema=False)
@router.put("/datastore/image")
def add_image(
    background_tasks: BackgroundTasks,
    file: Annotated[UploadFile, File()],
    image: str | None = None,
    params: Annotated[str, Form()] = "{}",
    user: User = ANNOTATOR,
) -> dict[str, Any]:
    """Store an image, which is refused unless it is a CT; an earlier one with the same id is kept."""
    extension = require_extension(file.filename or "")
    image_id = id_for(image or split_extension(file.filename or "")[0])
    read_params(params)
    # The stock function takes the ending from the name, dots in the id included.
    file.filename = f"upload{extension}"
    with cleaned_up(background_tasks):
        return datastore.add_image(background_tasks, image_id, params, file, user.username)


@router.put("/datastore/label")
def save_label(
    background_tasks: BackgroundTasks,
    image: str,
    label: Annotated[UploadFile, File()],
    params: Annotated[str, Form()] = "{}",
    tag: str = "final",
    user: User = ANNOTATOR,
) -> dict[str, Any]:
    """Save a label; every earlier version is kept. The answer names the curated lesions and what has to be asked.

    A final label that is no segmentation on the image's grid is refused; the earlier one stays current. OHIF's label.bin, one
    byte a voxel, is kept as .nrrd on the image's grid.
    """
    label.filename = f"upload{require_extension(label.filename or '')}"
    tag = require_tag(tag or "final")
    image = id_for(image)
    store = running_app().datastore()
    try:
        store.get_image_info(image)
    except NotFoundError:
        store.get_image_uri(image)  # it may have come to the PACS a moment ago
    given = read_params(params)
    if host.MONAI_LABEL_AUTH_ENABLE:
        given["user"] = user.username
    results = running_app().results
    submitting = nullcontext() if results is None else results.submitting(image, tag)
    with on_grid(label, image, tag, given) as label, cleaned_up(background_tasks), submitting:
        result = datastore.save_label(background_tasks, image, json.dumps(given), tag, label, user.username)
    info = store.get_label_info(image, tag)
    wanted = ("reader", "proof", "saw_model", "lesions", "questions", "not_curated", "curation_problem")
    told = {"message": in_words(info)} if "lesions" in info else {}
    return {**told, **result, **{key: info[key] for key in wanted if key in info}}


@contextmanager
def on_grid(label: UploadFile, image: str, tag: str, info: dict[str, Any]) -> Iterator[UploadFile]:
    """The label as a file that says where its voxels lie: as it came, unless it is a .bin file.

    One that fits no image, or whose image cannot be had, is kept in the history as it came.
    """
    if not (label.filename or "").endswith(".bin"):
        yield label
        return
    store = running_app().datastore()
    with tempfile.TemporaryDirectory(prefix="lesionlabel-") as folder:
        raw = Path(folder) / "label.bin"
        with raw.open("wb") as target:
            shutil.copyfileobj(label.file, target, 1 << 20)
        with store.kept_if_refused(image, raw, tag, info):
            path, _ = store.open_for_label(image)
            made = with_grid(raw, running_app().desk.open(path).volume, Path(folder) / "label.nrrd")
        with made.open("rb") as file:
            yield UploadFile(file, filename="upload.nrrd")


@router.get("/datastore/image")
def download_image(image: str, user: User = USER) -> Any:
    """The image as a file: a series of the PACS, fetched where it is not here, as .nrrd in its own geometry."""
    return datastore.download_image(id_for(image))


@router.head("/datastore/image")
def check_image(image: str, check_sum: str | None = None, user: User = USER) -> Any:
    return datastore.download_image(id_for(image), check_only=True, check_sum=check_sum)


@router.get("/datastore/image/info")
def get_image_info(image: str, user: User = USER) -> dict[str, Any]:
    return datastore.get_image_info(id_for(image))


@router.put("/datastore/image/info")
def update_image_info(image: str, info: Annotated[str, Form()] = "{}", user: User = ANNOTATOR) -> None:
    """Add to an image's info."""
    datastore.update_image_info(image, json.dumps(read_params(info)), user.username)


@router.get("/datastore/label")
def download_label(label: str, tag: str, user: User = USER) -> Any:
    """The current label as a file."""
    return datastore.download_label(label, tag)


@router.head("/datastore/label")
def check_label(image: str, tag: str, user: User = USER) -> Any:
    return datastore.download_label(image, tag, check_only=True)


@router.delete("/datastore/label")
def remove_label(id: str, tag: str, user: User = ADMIN) -> Any:  # the stock parameter's name
    """Take a label out of use; it stays in the history."""
    return datastore.remove_label(id, tag, user.username)


@router.get("/datastore/label/info")
def get_label_info(label: str, tag: str, user: User = USER) -> dict[str, Any]:
    return datastore.get_label_info(label, tag)


@router.put("/datastore/label/info")
def update_label_info(label: str, tag: str, info: Annotated[str, Form()] = "{}", user: User = ANNOTATOR) -> None:
    """Add to a label's info, as a version of its own. What curation says is changed by saving the label again."""
    datastore.update_label_info(label, tag, json.dumps(read_params(info)), user.username)


@router.put("/datastore/updatelabelinfo", include_in_schema=False)
def update_label_info_for_reviewer(label: str, tag: str, params: Annotated[str, Form()] = "{}", user: User = ANNOTATOR) -> None:
    datastore.update_label_info(label, tag, json.dumps(read_params(params)), user.username)


@router.get("/datastore/dataset")
def download_dataset(background_tasks: BackgroundTasks, limit_cases: int | None = None, user: User = ANNOTATOR) -> FileResponse:
    """All final labels with their images as a ZIP file."""
    response = datastore.download_dataset(limit_cases)
    background_tasks.add_task(Path(response.path).unlink, missing_ok=True)
    response.background = background_tasks
    return response


@router.put("/session/")
def create_session(
    background_tasks: BackgroundTasks,
    files: Annotated[list[UploadFile], File()],
    uncompress: bool = False,
    expiry: int = 0,
    user: User = USER,
) -> dict[str, Any]:
    """Keep an image for a while without storing it; it is refused unless it is a CT.

    Archives are not unpacked: they could write anywhere.
    """
    if uncompress:
        raise InputError("uncompress=true is not supported. Send the volume as .nii.gz or .nrrd.")
    for number, file in enumerate(files):
        # The client's file names may hold a patient's name, or a path.
        file.filename = f"{number:05d}{split_extension(file.filename or '')[1]}"
    with cleaned_up(background_tasks):
        made = session.create_session(background_tasks, False, expiry, files)
        try:
            running_app().desk.require_ct(Path(made["session_info"]["image"]))
        except BaseException:
            session.remove_session(made["session_id"])
            raise
        return made


@router.get("/session/{session_id}")
def get_session(session_id: str, update_ts: bool = False, image: bool = False, user: User = USER) -> Any:
    sessions = running_app().sessions()
    if sessions is not None and sessions.get_session(require_id(session_id), update_ts=False) is None:
        raise NotFoundError(session_over(session_id))
    return session.get_session(require_id(session_id), update_ts, image)


@router.delete("/session/{session_id}")
def remove_session(session_id: str, user: User = USER) -> Any:
    return session.remove_session(require_id(session_id))


@router.post("/activelearning/{strategy}")
def next_sample(strategy: str, params: Annotated[dict | None, Body()] = None, user: User = USER) -> dict[str, Any]:
    """The next image to label, {} when there is none."""
    known = running_app().info()["strategies"]
    if strategy not in known:
        raise NotFoundError(f"No strategy {strategy!r}. Strategies: {', '.join(known)}.")
    wanted = {"client_id", "label_tag", "labels", *known[strategy].get("config", {})}
    kept = {key: value for key, value in (params or {}).items() if key in wanted}
    return activelearning.sample(strategy, kept, user.username)
