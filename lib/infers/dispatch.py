"""One inference request, from the image's id to the stored or returned file, for the server and MONAI Label's own endpoint."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from monailabel.interfaces.tasks.infer_v2 import InferTask

from lesionlabel.datastore.answers import AnswerLog
from lesionlabel.datastore.curated import FINAL, ORIGINAL, CuratedDatastore
from lesionlabel.lesions.errors import InputError, NotFoundError


def dispatch(
    tasks: Mapping[str, InferTask], datastore: CuratedDatastore, answers: AnswerLog, request: dict[str, Any]
) -> dict[str, Any]:
    """Run request["model"] on request["image"]: a str is an id in the datastore, only a Path (never from a client) is a file.

    Returns MONAI Label's {"label", "tag", "file", "params"}. Raises NotFoundError for an unknown model or image, InputError
    when a result would be saved over a reader's label, and what the task raises.
    """
    model = request.get("model")
    task = tasks.get(str(model))
    if task is None:
        raise NotFoundError(f"No model {model!r}. Models: {', '.join(tasks)}.")
    image = request.get("image")
    image_id = image if isinstance(image, str) else None
    path = image if isinstance(image, Path) else Path(datastore.get_image_uri(str(image)))
    tag = request.get("label_tag") or ORIGINAL
    save = image_id is not None and request.get("save_label") in (True, "true")
    if save and tag == FINAL:
        raise InputError("A model's result is not saved with the tag 'final', which is for readers. Use 'original'.")
    file, params = task({**request, "image": str(path)})
    if image_id is not None and params.get("answered"):
        answers.record(image_id, request.get("client_id"), params["model"]["version"], params["entropy"])
    label = file
    if file and save and image_id is not None:
        label = datastore.save_label(image_id, file, str(tag), {"model": model, "params": params})
    return {"label": label, "tag": tag, "file": file, "params": params}
