"""What the serving classifier says of each volume's candidate lesions, kept under home: one small file a volume and model.

Where the candidates come from, best first: the final label's curated lesions, a label with the tag "original" that came with the
study, else lib/lesions/candidates.py. What readers asked the model about is not used: its log keeps no places.
"""

from __future__ import annotations

import hashlib
import io
import json
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from lesionlabel.lesions.files import write_atomically
from lesionlabel.registry.classifier import Classifier
from lesionlabel.registry.manifest import MANIFEST_NAME
from lesionlabel.registry.versions import starter_folder
from lesionlabel.strategies.ranking import Seen

#: Raised when what is kept changes meaning, or the detector finds other things.
FORMAT = "lesionlabel-view-1"
CURATED, IMPORTED, DETECTED = "curated lesions", "the study's own label", "a detector"
#: The bundle of the segmenter that the detector clicks with.
SEGMENTER = "lesion_segmenter"
#: How often a volume is begun: one that ends the process, or the machine, is not tried for ever.
MOST_TRIES = 2


@dataclass(frozen=True)
class State:
    """What a view depends on. image: size and time of the file. labels: what is known of its lesions, and source: from where."""

    image: str
    source: str
    labels: str


@dataclass(frozen=True, eq=False)
class View:
    """One volume as one model sees it.

    state: of the image and its labels when it was looked at. content: SHA-256 of the image. found_by: where the candidates came
    from. seen: None where there is no candidate, or where problem says why nothing is known. tries: how often it was begun, where
    it never came to an end.
    """

    state: State
    content: str
    found_by: str
    seen: Seen | None = None
    problem: str | None = None
    tries: int = 0


class Views:
    """The views of one model. Written by the scoring process, read by the server; the same files for both."""

    def __init__(self, folder: Path, classifier: Classifier) -> None:
        manifest = starter_folder(SEGMENTER) / MANIFEST_NAME
        detector = manifest.read_bytes() if manifest.exists() else b""
        made_by = f"{FORMAT}:{classifier.version}:{classifier.sha256}".encode()
        self.folder = folder / hashlib.sha256(made_by + detector).hexdigest()[:16]
        self._read: dict[str, tuple[tuple[int, int], View]] = {}

    def get(self, image_id: str) -> View | None:
        """What is kept of an image, None where nothing is or it is damaged. The caller compares its state."""
        path = self._path(image_id)
        try:
            found = path.stat()
            stamp = (found.st_mtime_ns, found.st_ino)
            if image_id not in self._read or self._read[image_id][0] != stamp:
                self._read[image_id] = (stamp, _load(path))
            return self._read[image_id][1]
        except (OSError, ValueError, KeyError, TypeError, BadZipFile):
            return None

    def put(self, image_id: str, view: View) -> None:
        """Keep a view in place of the one before."""
        record = {key: getattr(view, key) for key in ("content", "found_by", "problem", "tries")} | {"state": asdict(view.state)}
        arrays = {"record": np.frombuffer(json.dumps(record).encode(), dtype=np.uint8)}
        if view.seen is not None:
            # Half the size, and far finer than any difference that matters here.
            arrays |= {
                "features": view.seen.features.astype(np.float32),
                "probabilities": view.seen.probabilities.astype(np.float32),
                "weights": view.seen.weights.astype(np.float32),
            }
        buffer = io.BytesIO()
        np.savez(buffer, **arrays)
        write_atomically(self._path(image_id), buffer.getvalue())

    def forget_others(self, image_ids: set[str]) -> None:
        """Remove what is kept of other images, and of other models."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for other in self.folder.parent.iterdir():
            if other.is_dir() and other != self.folder:
                shutil.rmtree(other, ignore_errors=True)
        for path in self.folder.glob("*.npz"):
            if path.stem not in image_ids:
                path.unlink(missing_ok=True)

    def _path(self, image_id: str) -> Path:
        return self.folder / f"{image_id}.npz"


def _load(path: Path) -> View:
    with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
        record = json.loads(archive["record"].tobytes())
        seen = None
        if "features" in archive:
            seen = Seen(*(archive[key].astype(np.float64) for key in ("features", "probabilities", "weights")))
    return View(State(**record["state"]), record["content"], record["found_by"], seen, record["problem"], record["tries"])
