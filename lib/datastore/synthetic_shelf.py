"""Synthetic volumes that a client asked to see. They lie apart from the studies: never counted, labelled or trained on."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lesionlabel.datastore.names import NAME
from lesionlabel.imaging.synthetic import SyntheticMark
from lesionlabel.imaging.synthetic_files import write_nifti
from lesionlabel.lesions.errors import NotFoundError
from lesionlabel.lesions.files import write_atomically

#: Volumes kept; the oldest go first. Each can be made again from its name.
MOST_VOLUMES = 100
ENDING = ".nii.gz"


class SyntheticShelf:
    """Volumes under one folder by their id, which begins with SYNTHETIC-, and what is known of each."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def put(self, images: NDArray[np.float32], mark: SyntheticMark, info: dict[str, Any]) -> str:
        """Keep ROIs (n, 64, 64) as a volume. Returns its id, always the same for the same mark and n."""
        shown = "" if mark.truncation in (None, 1.0) else f"-t{mark.truncation:g}".replace(".", "-")
        volume_id = f"{mark.stem}-n{len(images)}{shown}"[:128]
        path = self.folder / f"{volume_id}{ENDING}"
        write_nifti(path, images, mark)
        write_atomically(self._info_file(volume_id), json.dumps({**info, "name": path.name}, ensure_ascii=False).encode())
        kept = sorted(self.folder.glob(f"*{ENDING}"), key=lambda file: file.stat().st_mtime_ns)
        for old in kept[:-MOST_VOLUMES]:
            old.unlink(missing_ok=True)
            self._info_file(old.name.removesuffix(ENDING)).unlink(missing_ok=True)
        return volume_id

    def path(self, volume_id: str) -> Path:
        """The file of a volume. Raises NotFoundError."""
        found = self.folder / f"{volume_id}{ENDING}"
        if not NAME.fullmatch(volume_id) or not found.is_file():
            raise NotFoundError(f"There is no synthetic volume {volume_id!r}, or no longer. Ask the strategy for it again.")
        return found

    def info(self, volume_id: str) -> dict[str, Any]:
        """The mark and what was said of a volume. Raises NotFoundError."""
        self.path(volume_id)
        return json.loads(self._info_file(volume_id).read_bytes())

    def next_seed(self, generator: str) -> int:
        """The smallest seed above all that volumes of this generator on the shelf were made with."""
        seeds = [
            int(found.group(1))
            for file in self.folder.glob(f"*{ENDING}")
            if (found := re.search(rf"-{re.escape(generator.replace('_', '-'))}-.*-s(\d+)-\d+-n\d+", file.name))
        ]
        return max(seeds, default=-1) + 1

    def _info_file(self, volume_id: str) -> Path:
        return self.folder / f"{volume_id}.json"
