"""What adjudicators decided over readers who differ: one file each, only added, never changed."""

from __future__ import annotations

import json
from pathlib import Path

from lesionlabel.datastore.names import require_id
from lesionlabel.lesions.consensus import Adjudication
from lesionlabel.lesions.errors import InputError, IntegrityError
from lesionlabel.lesions.files import write_atomically


class Adjudications:
    """Files under folder: <image id>/<adjudication id>.json, whose ids sort by time."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def of(self, image_id: str) -> list[Adjudication]:
        """Those of an image, oldest first. Raises IntegrityError where one is damaged: ignoring it would change what counts."""
        folder = self.folder / require_id(image_id)
        if not folder.is_dir():
            return []
        found = []
        for path in sorted(folder.glob("[!.]*.json")):
            try:
                found.append(Adjudication.from_json(json.loads(path.read_bytes())))
            except (OSError, ValueError) as error:
                why = str(error) if isinstance(error, InputError) else type(error).__name__
                raise IntegrityError(
                    f"The adjudication {path.name} of the image {image_id} is damaged ({why}). Put it back from a backup of the "
                    "studies folder."
                ) from error
        return found

    def keep(self, adjudication: Adjudication) -> None:
        """Add one, readable only. The caller sees to it that its id is new."""
        path = self.folder / require_id(adjudication.image) / f"{adjudication.id}.json"
        write_atomically(path, json.dumps(adjudication.to_json(), indent=2).encode())
        path.chmod(0o444)
