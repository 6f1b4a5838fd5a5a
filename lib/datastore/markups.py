"""3D Slicer's markups sent as a label, as its stock module does for detection models: kept, though no lesion is in them."""

from __future__ import annotations

import json
from pathlib import Path

from lesionlabel.datastore.segments import LabelError


def is_markups(path: Path) -> bool:
    """Whether the file is sent as markups, by its name."""
    return path.name.casefold().endswith(".json")


def require_markups(path: Path) -> None:
    """Raise LabelError unless the file holds a markups document."""
    try:
        document = json.loads(path.read_bytes())
    except ValueError:
        document = None
    if not isinstance(document, dict) or not isinstance(document.get("markups"), list):
        raise LabelError("The .json file holds no 3D Slicer markups.")
