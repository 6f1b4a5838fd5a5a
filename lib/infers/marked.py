"""The lesions that a reader has marked in an open image and not saved yet: for a report about them."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from lesionlabel.infers.outlining import overlap
from lesionlabel.lesions.segmenter import Segmented
from lesionlabel.lesions.volume import Volume

#: Lesions that are remembered of one reader in one image.
MOST = 100


@dataclass(frozen=True)
class Mark:
    """An outline, and when it was made (seconds since 1970)."""

    outlined: Segmented
    at: float


class Marks:
    """Of one open image, by client. In memory only: what a reader wants kept is saved as a label. Safe to use from threads."""

    def __init__(self, volume: Volume) -> None:
        self._volume = volume
        self._marks: dict[str, list[Mark]] = defaultdict(list)
        self._lock = threading.Lock()

    def note(self, client_id: Any, outlined: Sequence[Segmented]) -> None:
        """Remember outlines; one that overlaps an earlier one of the same client is that lesion, corrected."""
        now = time.time()
        with self._lock:
            marks = self._marks[str(client_id or "")]
            for one in reversed(outlined):
                marks[:] = [mark for mark in marks if not overlap(self._volume, mark.outlined, one)]
                marks.append(Mark(one, now))
            del marks[:-MOST]

    def of(self, client_id: Any) -> list[Mark]:
        """What that client has marked, oldest first."""
        with self._lock:
            return list(self._marks.get(str(client_id or ""), []))
