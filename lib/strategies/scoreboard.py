"""What is known of the volumes at this moment, and the scoring process that finds out the rest."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from itertools import chain, zip_longest
from pathlib import Path

from lesionlabel.datastore.curated import CuratedDatastore
from lesionlabel.datastore.index import FINAL, ORIGINAL
from lesionlabel.lesions.errors import IntegrityError, NoModelError
from lesionlabel.registry.versions import Versions
from lesionlabel.settings import Settings
from lesionlabel.strategies.scoring import Work, write_work
from lesionlabel.strategies.states import file_of, state_of
from lesionlabel.strategies.views import CURATED, IMPORTED, MOST_TRIES, View, Views

#: Seconds before the process is started again after it has failed.
AFTER_FAILURE_S = 300.0


@dataclass(frozen=True)
class Board:
    """views: of the images that are scored as they are now. version: of the serving model, None where none serves.

    missing: what is still to be looked at; images that are on a PACS only are neither here nor there.
    """

    views: dict[str, View]
    missing: tuple[Work, ...]
    version: str | None


class Scoreboard:
    """Reads views, and has those that are missing made. Never waits for one."""

    def __init__(self, settings: Settings, versions: Versions) -> None:
        self._settings, self._versions = settings, versions
        self._views: Views | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._failed_at = float("-inf")
        self._lock = threading.Lock()

    def look(self, datastore: CuratedDatastore) -> Board:
        """What is known of the datastore's images under the serving model."""
        try:
            classifier = self._versions.champion()
        except (NoModelError, IntegrityError):
            return Board({}, (), None)
        with self._lock:
            fresh = Views(self._settings.scores_folder, classifier)
            if self._views is None or self._views.folder != fresh.folder:
                self._views = fresh
            views, missing = {}, {}
            unread, read = datastore.get_unlabeled_images(), datastore.get_labeled_images()
            for image_id in (*unread, *read):
                with suppress(LookupError, OSError):  # removed meanwhile
                    file = file_of(datastore, image_id)
                    if file is None:
                        continue
                    view, state = self._views.get(image_id), state_of(datastore, image_id, file)
                    if view is not None and view.state == state and not 0 < view.tries < MOST_TRIES:
                        views[image_id] = view
                    else:
                        missing[image_id] = _work(datastore, image_id, file)
        # Curated lesions are what the others are compared with, so both kinds come in turn.
        turns = chain.from_iterable(zip_longest(sorted(unread), sorted(read)))
        return Board(views, tuple(missing[image_id] for image_id in turns if image_id in missing), classifier.version)

    def complete(self, board: Board, image_ids: set[str]) -> None:
        """Have what is missing looked at, unless that is going on, and forget all but image_ids."""
        with self._lock:
            if not board.missing or self._is_running() or time.monotonic() - self._failed_at < AFTER_FAILURE_S:
                return
            if self._views is not None:
                self._views.forget_others(image_ids)
            path = self._settings.scores_folder / "work.json"
            write_work(path, board.missing)
            environment = {**os.environ, "LESIONLABEL_HOME": str(self._settings.home), "OMP_NUM_THREADS": "1"}
            # -P keeps the folder that the server was started in off the path.
            command = [sys.executable, "-P", "-m", "lesionlabel.strategies.scoring", str(path)]
            self._process = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)

    def _is_running(self) -> bool:
        if self._process is None:
            return False
        ended = self._process.poll()
        if ended is None:
            return True
        if ended != 0:
            self._failed_at = time.monotonic()
        self._process = None
        return False


def _work(datastore: CuratedDatastore, image_id: str, file: Path) -> Work:
    state = state_of(datastore, image_id, file)
    lesions = datastore.get_label_info(image_id, FINAL).get("lesions", []) if state.source == CURATED else []
    label = datastore.get_label_uri(image_id, ORIGINAL) if state.source == IMPORTED else None
    return Work(image_id, str(file), state, tuple(lesions), label)
