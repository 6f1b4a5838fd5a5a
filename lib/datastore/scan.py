"""The index's entries for what lies in the studies folder, with what the index and the history know of it."""

from __future__ import annotations

import logging
from pathlib import Path

from monailabel.datastore.local import DataModel, ImageLabelModel

from lesionlabel.datastore.history import History
from lesionlabel.datastore.names import HISTORY, IMAGE_EXTENSIONS, NAME, is_id, split_extension

logger = logging.getLogger(__name__)


def scan(
    studies: Path, known: dict[str, ImageLabelModel], history: History, images: dict[str, ImageLabelModel] | None = None
) -> dict[str, ImageLabelModel]:
    """Entries by image id. A file that the index lost gets the info that the history kept with exactly its content.

    studies: volumes, and labels/<tag>/ with label files named by image id. known: the index's entries; not changed. images: the
    entries of the images, without labels, where they are no volumes in studies.
    """
    objects = _images(studies, known) if images is None else images
    for folder in sorted((studies / "labels").glob("*/")):
        if NAME.fullmatch(folder.name) and folder.name != HISTORY:
            _add_labels(folder, objects, known, history)
    return objects


def _images(studies: Path, known: dict[str, ImageLabelModel]) -> dict[str, ImageLabelModel]:
    objects: dict[str, ImageLabelModel] = {}
    unsafe = 0
    for path in sorted(studies.iterdir()):
        image_id, extension = split_extension(path.name)
        if path.name.startswith(".") or extension not in IMAGE_EXTENSIONS or not path.is_file():
            continue
        if not is_id(image_id) or path.name != image_id + extension:
            unsafe += 1
            continue
        entry = known.get(image_id)
        if entry is not None and entry.image.ext == extension:
            objects[image_id] = ImageLabelModel(image=entry.image)
        elif image_id not in objects:
            info = {"ts": int(path.stat().st_mtime), "name": path.name}
            objects[image_id] = ImageLabelModel(image=DataModel(ext=extension, info=info))
    if unsafe:
        logger.warning(
            "%d volume(s) in the studies folder have names outside A-Z a-z 0-9 . _ -, or with two endings, and are not shown. "
            "Rename them, or import them with 'lesionlabel import'.",
            unsafe,
        )
    return objects


def _add_labels(folder: Path, objects: dict[str, ImageLabelModel], known: dict[str, ImageLabelModel], history: History) -> None:
    tag = folder.name
    for path in sorted(folder.iterdir()):
        image_id, extension = split_extension(path.name)
        if path.name.startswith(".") or image_id not in objects or path.name != image_id + extension:
            continue
        before = known[image_id].labels.get(tag) if image_id in known else None
        if before is not None and before.ext == extension:
            objects[image_id].labels[tag] = before
        elif tag not in objects[image_id].labels:
            info = history.info_of(tag, image_id, path) or {"ts": int(path.stat().st_mtime), "name": path.name}
            objects[image_id].labels[tag] = DataModel(ext=extension, info=info)
