"""What is known of an image before anybody looks at it: its file, and whether lesions of it are known already."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from lesionlabel.datastore.curated import CuratedDatastore
from lesionlabel.datastore.index import FINAL, ORIGINAL
from lesionlabel.datastore.names import IMAGE_EXTENSIONS
from lesionlabel.strategies.views import CURATED, DETECTED, IMPORTED, State


def file_of(datastore: CuratedDatastore, image_id: str) -> Path | None:
    """The image's file if it is here. A PACS is not asked: only series that somebody has opened are looked at."""
    files = (datastore.studies / f"{image_id}{extension}" for extension in IMAGE_EXTENSIONS)
    return next((file for file in files if file.exists()), None)


def state_of(datastore: CuratedDatastore, image_id: str, file: Path) -> State:
    """Of an image, from time stamps and the index alone: cheap enough to ask of all images at each request."""
    image = file.stat()
    labels = datastore.get_labels_by_image_id(image_id)
    source, basis = DETECTED, ""
    if FINAL in labels:
        lesions = json.dumps(datastore.get_label_info(image_id, FINAL).get("lesions", []), sort_keys=True)
        source, basis = CURATED, hashlib.sha256(lesions.encode()).hexdigest()
    elif ORIGINAL in labels:
        label = Path(datastore.get_label_uri(image_id, ORIGINAL)).stat()
        source, basis = IMPORTED, f"{label.st_size}-{label.st_mtime_ns}"
    return State(f"{image.st_size}-{image.st_mtime_ns}", source, basis)
