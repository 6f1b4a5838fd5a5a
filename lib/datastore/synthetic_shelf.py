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
from lesionlabel.registry.generator import MOST_SEED

#: Volumes kept; the oldest go first. Each can be made again from its name.
MOST_VOLUMES = 100
ENDING = ".nii.gz"
GONE = "There is no synthetic volume {}, or no longer. Ask the strategy for it again."


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
        for old in sorted(self.folder.glob(f"*{ENDING}"), key=_age)[:-MOST_VOLUMES]:
            old.unlink(missing_ok=True)
            self._info_file(old.name.removesuffix(ENDING)).unlink(missing_ok=True)
        return volume_id

    def path(self, volume_id: str) -> Path:
        """The file of a volume. Raises NotFoundError."""
        found = self.folder / f"{volume_id}{ENDING}"
        if not NAME.fullmatch(volume_id) or not found.is_file():
            raise NotFoundError(GONE.format(repr(volume_id)))
        return found

    def info(self, volume_id: str) -> dict[str, Any]:
        """The mark and what was said of a volume. Raises NotFoundError."""
        self.path(volume_id)
        try:
            return json.loads(self._info_file(volume_id).read_bytes())
        except FileNotFoundError:
            raise NotFoundError(GONE.format(repr(volume_id))) from None

    def next_seed(self, generator: str) -> int:
        """The smallest seed above all of this generator's volumes on the shelf, or the smallest free one where none is above."""
        seeds = {
            int(found.group(1))
            for file in self.folder.glob(f"*{ENDING}")
            if (found := re.search(rf"-{re.escape(generator.replace('_', '-'))}-.*-s(\d+)-\d+-n\d+", file.name))
        }
        after = max(seeds, default=-1) + 1
        return after if after <= MOST_SEED else min(set(range(len(seeds) + 1)) - seeds)

    def _info_file(self, volume_id: str) -> Path:
        return self.folder / f"{volume_id}.json"


def _age(file: Path) -> int:
    """When a file was written; 0 for one that another thread has removed meanwhile."""
    try:
        return file.stat().st_mtime_ns
    except FileNotFoundError:
        return 0
