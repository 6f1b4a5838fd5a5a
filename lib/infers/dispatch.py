"""One inference request, from the image's id to the stored or returned file, for the server and MONAI Label's own endpoint."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from monailabel.interfaces.tasks.infer_v2 import InferTask

from lesionlabel.datastore.answers import AnswerLog
from lesionlabel.datastore.curated import CuratedDatastore
from lesionlabel.datastore.index import FINAL, ORIGINAL
from lesionlabel.datastore.names import require_tag
from lesionlabel.infers.generate import Generate
from lesionlabel.lesions.errors import InputError, NotFoundError


def dispatch(
    tasks: Mapping[str, InferTask],
    datastore: CuratedDatastore,
    answers: AnswerLog,
    voxels_of: Callable[[Path], str],
    request: dict[str, Any],
) -> dict[str, Any]:
    """Run request["model"] on request["image"], of which generators have none.

    The image: a str is an id in the datastore, only a Path (never from a client) is a file.

    voxels_of: the digest of an image's voxels, under which an answer about an image that is not stored is recorded.

    Returns MONAI Label's {"label", "tag", "file", "params"}. Raises NotFoundError for an unknown model or image, InputError
    when a result would be saved over a reader's label, and what the task raises.
    """
    model = request.get("model")
    task = tasks.get(str(model))
    if task is None:
        raise NotFoundError(f"No model {model!r}. Models: {', '.join(tasks)}.")
    if isinstance(task, Generate):
        file, params = task(request)
        return {"label": file, "tag": None, "file": file, "params": params}
    image = request.get("image")
    image_id = image if isinstance(image, str) else None
    path = image if isinstance(image, Path) else Path(datastore.get_image_uri(str(image)))
    tag = request.get("label_tag") or ORIGINAL
    save = image_id is not None and request.get("save_label") in (True, "true")
    if save and tag == FINAL:
        raise InputError("A model's result is not saved with the tag 'final', which is for readers. Use 'original'.")
    if save:
        require_tag(str(tag))
    file, params = task({**request, "image": str(path), "image_id": image_id})
    label = file
    try:
        if params.get("answered"):
            log, name = (answers, image_id) if image_id is not None else (answers.unstored, voxels_of(path))
            log.record(name, request.get("client_id"), params["model"]["version"], params["entropy"])
        if file and save and image_id is not None:
            label = datastore.save_label(image_id, file, str(tag), {"model": model, "params": params})
    except BaseException:
        if file:
            Path(file).unlink(missing_ok=True)
        raise
    return {"label": label, "tag": tag, "file": file, "params": params}
