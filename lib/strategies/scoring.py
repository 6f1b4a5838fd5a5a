"""The scoring process: lets the serving classifier look at volumes, one after the other, then ends.

    python -m lesionlabel.strategies.scoring WORK.json

A process and not a thread of the server: a thread of low priority that holds the interpreter's lock would make all requests wait
for it on a busy machine. It holds one volume at a time, on one core, at a low priority, and ends with the server.
"""

from __future__ import annotations

import json
import logging
import os
import re
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from filelock import FileLock, Timeout

from lesionlabel.datastore.segments import read_segments
from lesionlabel.imaging.content_key import ContentKeys
from lesionlabel.imaging.read import read_volume
from lesionlabel.lesions.candidates import Candidate, find_candidates
from lesionlabel.lesions.contour import Contour
from lesionlabel.lesions.curation import findings_from_mask
from lesionlabel.lesions.errors import InputError, IntegrityError, NoModelError, places
from lesionlabel.lesions.files import write_atomically
from lesionlabel.lesions.lesion import Lesion
from lesionlabel.lesions.roi import cut_context, cut_roi
from lesionlabel.lesions.segmenter import Segmenter
from lesionlabel.lesions.volume import Volume
from lesionlabel.registry.classifier import Classifier
from lesionlabel.registry.segmenter_bundle import load_segmenter
from lesionlabel.registry.versions import Versions, starter_folder
from lesionlabel.settings import Settings
from lesionlabel.strategies.ranking import Seen
from lesionlabel.strategies.views import CURATED, DETECTED, IMPORTED, MOST_TRIES, SEGMENTER, State, View, Views
from lesionlabel.training.hooks import ShouldStop, never_stop

logger = logging.getLogger(__name__)

#: Below everything that somebody waits for, yet a tenth of a core where trainings take the rest.
NICE = 10
#: What stands in a volume's view while it is looked at.
BROKE_OFF = "Looking at it broke off."
#: Names of segments that are lesions, in labels that came with a study.
A_LESION = re.compile("tumou?r|lesion|cyst|metasta|ha?emangioma", re.IGNORECASE)


@dataclass(frozen=True)
class Work:
    """A volume to look at. file: of the image. lesions: records of its final label. label: file of one that came along."""

    image_id: str
    file: str
    state: State
    lesions: tuple[dict[str, Any], ...] = ()
    label: str | None = None


def write_work(path: Path, works: Sequence[Work]) -> None:
    write_atomically(path, json.dumps([asdict(work) for work in works]).encode())


def read_work(path: Path) -> list[Work]:
    return [Work(**{**record, "state": State(**record["state"])}) for record in json.loads(path.read_bytes())]


def main() -> None:
    work, settings, parent = Path(sys.argv[1]), Settings(), os.getppid()
    with suppress(OSError):
        os.nice(NICE)
    torch.set_num_threads(1)
    try:
        with FileLock(work.with_suffix(".lock"), timeout=0):
            # When whoever started it has gone, so has the need.
            score(read_work(work), settings, lambda: os.getppid() != parent)
    except Timeout:
        pass  # another one is at it
    except Exception as error:
        logger.error("Volumes are not scored (%s).", places(error))
        raise SystemExit(1) from None


def score(works: Sequence[Work], settings: Settings, should_stop: ShouldStop = never_stop) -> None:
    """Look at each volume with the serving model, and keep what it says. Ends early when another model serves, or none.

    Raises NoModelError, IntegrityError where the segmenter is not whole: nothing can be looked at then.
    """
    versions, keys = Versions(settings), ContentKeys(settings.volumes_folder / "keys")
    segmenter = load_segmenter(starter_folder(SEGMENTER))
    with suppress(NoModelError, IntegrityError):
        classifier = versions.champion()
        views = Views(settings.scores_folder, classifier)
        for work in works:
            if should_stop() or versions.champion().sha256 != classifier.sha256:
                return
            with suppress(LookupError, OSError):  # removed meanwhile
                _update(work, views, classifier, segmenter, keys)


def _update(work: Work, views: Views, classifier: Classifier, segmenter: Segmenter, keys: ContentKeys) -> None:
    """Look at one volume unless what is kept of it still holds."""
    before, state = views.get(work.image_id), work.state
    if before is not None and before.state == state and not 0 < before.tries < MOST_TRIES:
        return
    content = keys.key(Path(work.file))
    same = before is not None and before.problem is None and (before.content, before.state.labels) == (content, state.labels)
    if before is not None and same:
        views.put(work.image_id, replace(before, state=state))  # the same image, copied anew
        return
    tries = 1 + (before.tries if before is not None and before.state == state else 0)
    views.put(work.image_id, View(state, content, state.source, problem=BROKE_OFF, tries=tries))
    try:
        volume = read_volume(Path(work.file))
        candidates, found_by = _candidates(work, volume, segmenter)
        view = View(state, content, found_by, _look(volume, candidates, classifier))
    except (InputError, ValueError, ArithmeticError) as error:
        # Only our own words hold no path.
        problem = str(error) if isinstance(error, InputError) else "It could not be read."
        logger.warning("A volume could not be scored (%s).", type(error).__name__)
        view = View(state, content, state.source, problem=problem)
    views.put(work.image_id, view)


def _look(volume: Volume, candidates: list[Candidate], classifier: Classifier) -> Seen | None:
    """What the classifier says of the candidates, None where there are none."""
    if not candidates:
        return None
    rois = np.stack([cut_roi(cut_context(volume, candidate.contour)) for candidate in candidates])
    weights = np.array([candidate.weight for candidate in candidates])
    return Seen(classifier.features(rois), classifier.probabilities(rois), weights)


def _candidates(work: Work, volume: Volume, segmenter: Segmenter) -> tuple[list[Candidate], str]:
    """The candidates, and where they come from in the end: a label that came along may hold nothing but the liver."""
    if work.state.source == CURATED:
        return [Candidate(Lesion.from_json(record).contour, 1.0) for record in work.lesions], CURATED
    outlines = _imported(Path(work.label), volume) if work.label is not None else []
    if outlines:
        return [Candidate(outline, 1.0) for outline in outlines], IMPORTED
    return find_candidates(volume, segmenter), DETECTED


def _imported(label: Path, volume: Volume) -> list[Contour]:
    """Outlines of the segments whose name is a lesion's. Which class it is is what the reader is for."""
    segments = read_segments(label, volume)
    names = {value: name for value, name in segments.names.items() if A_LESION.search(name)}
    findings, _ = findings_from_mask(segments.mask, names, volume.geometry)
    first_slice, first_row, first_column = segments.start
    moved = np.array([first_column, first_row])
    return [Contour(found.contour.slice_index + first_slice, found.contour.points + moved) for found in findings]


if __name__ == "__main__":
    main()
