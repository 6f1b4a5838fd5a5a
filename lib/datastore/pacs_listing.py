"""What the PACS lists: read in the background, kept over restarts, and never waited for."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from pydicom.dataset import Dataset
from pydicom.tag import Tag

from lesionlabel.imaging.dicom import quiet_pydicom
from lesionlabel.imaging.dicomweb import AT_ONCE, DicomWeb
from lesionlabel.imaging.synthetic_tags import MARK_TAGS, is_synthetic
from lesionlabel.lesions.errors import InputError, NotFoundError, PacsError, places
from lesionlabel.lesions.files import write_atomically

logger = logging.getLogger(__name__)

#: Seconds after which a listing is read again when somebody asks.
FRESH_S = 5.0
#: A PACS that needs long for its list is asked more rarely: at most this share of the time.
SHARE = 0.1
#: Series whose headers are looked at before what is known is shown.
BATCH = 40
FILE = "listing.json"
MARKS = frozenset(f"{Tag(tag):08X}" for tag in MARK_TAGS)


@dataclass(frozen=True)
class Listed:
    """A series on the PACS. instances: how many, None where unknown. synthetic: None until a header was looked at."""

    study_uid: str
    instances: int | None = None
    synthetic: bool | None = None


class PacsListing:
    """The CT series on a PACS by Series Instance UID. folder: where the last listing is kept. search: as DicomWeb.series.

    Only `refresh` and `look_for` ask the PACS; everything else answers at once with what is known.
    """

    def __init__(self, client: DicomWeb, folder: Path, search: Mapping[str, str]) -> None:
        self._client, self._file, self._search = client, folder / FILE, {**search, "Modality": "CT"}
        self._lock = threading.Lock()
        self._refreshing: threading.Thread | None = None
        self._next = 0.0
        self.series: Mapping[str, Listed] = _read(self._file)
        #: When the listing last changed, in ns.
        self.changed = time.time_ns()
        #: Why it could not be read last time, None where it could.
        self.problem: str | None = None

    def refresh_soon(self) -> None:
        """See to it that the listing is read again, in the background, if it was not within seconds."""
        with self._lock:
            if time.monotonic() < self._next or (self._refreshing is not None and self._refreshing.is_alive()):
                return
            self._refreshing = threading.Thread(target=self._refresh_quietly, name="pacs-listing", daemon=True)
            self._refreshing.start()

    def refresh(self) -> None:
        """Read the listing now, and look at a header of each new series. Raises PacsError."""
        found = self._client.series(self._search)
        studies = Counter(one.series_uid for one in found)
        # A Series Instance UID in two studies names nothing: a click on one would be answered about the other.
        listed = [one for one in found if studies[one.series_uid] == 1]
        known = self.series
        marks = {uid: known[uid].synthetic for uid in known}
        self._show({one.series_uid: Listed(one.study_uid, one.instances, marks.get(one.series_uid)) for one in listed})
        unknown = [uid for uid, one in self.series.items() if one.synthetic is None]
        with ThreadPoolExecutor(AT_ONCE, "pacs-headers") as pool:
            for start in range(0, len(unknown), BATCH):
                batch = unknown[start : start + BATCH]
                self._update(dict(zip(batch, pool.map(self._looked_at, batch), strict=True)))

    def look_for(self, series_uid: str) -> Listed | None:
        """Ask for one series, which may have come a moment ago; None where there is none.

        Raises PacsError, InputError where several studies hold a series of that UID.
        """
        found = self._client.series({**self._search, "SeriesInstanceUID": series_uid})
        found = [one for one in found if one.series_uid == series_uid]
        if not found:
            return None
        if len(found) > 1:
            raise InputError(
                f"The PACS holds {len(found)} studies with a series of this UID: nobody knows which is meant. Mend it there."
            )
        one = found[0]
        before = self.series.get(series_uid)
        self._update({series_uid: Listed(one.study_uid, one.instances, before.synthetic if before else None)}, add=True)
        self._update({series_uid: self._looked_at(series_uid)})
        return self.series.get(series_uid)

    def mark(self, series_uid: str, synthetic: bool) -> None:
        """Say what its slices, all of which were read, say."""
        before = self.series.get(series_uid)
        if before is not None and before.synthetic != synthetic:
            self._update({series_uid: replace(before, synthetic=synthetic)})

    def _refresh_quietly(self) -> None:
        started = time.monotonic()
        try:
            self.refresh()
            self.problem = None
        except (PacsError, InputError) as error:
            if self.problem is None:
                logger.warning("The PACS's series cannot be listed. %s", error)
            self.problem = str(error)
        except Exception as error:  # a thread that ends silently would leave the listing as it is for ever
            self.problem = "The PACS's series cannot be listed: something unexpected went wrong."
            logger.error("The PACS's series cannot be listed: %s", places(error))
        finally:
            took = time.monotonic() - started
            self._next = time.monotonic() + max(FRESH_S, took / SHARE)

    def _looked_at(self, series_uid: str) -> Listed | None:
        """The series with what its first header says; None where it is gone."""
        one = self.series.get(series_uid)
        if one is None:
            return None
        try:
            header = self._client.first_header(one.study_uid, series_uid)
        except NotFoundError:
            return None
        with quiet_pydicom():
            try:
                said = is_synthetic(Dataset.from_json({tag: value for tag, value in header.items() if tag.upper() in MARKS}))
            except Exception:  # pydicom raises anything on values that break the standard; retrieval looks at every slice
                return replace(one, synthetic=None)
        return replace(one, synthetic=said)

    def _update(self, changes: Mapping[str, Listed | None], *, add: bool = False) -> None:
        kept = {uid: one for uid, one in changes.items() if one is not None and (add or uid in self.series)}
        self._show({**{uid: one for uid, one in self.series.items() if changes.get(uid, one) is not None}, **kept})

    def _show(self, series: dict[str, Listed]) -> None:
        with self._lock:
            if series == self.series:
                return
            content = {uid: [one.study_uid, one.instances, one.synthetic] for uid, one in series.items()}
            write_atomically(self._file, json.dumps(content).encode())
            self.series, self.changed = series, time.time_ns()


def _read(file: Path) -> dict[str, Listed]:
    try:
        return {
            uid: Listed(study, instances, synthetic)
            for uid, (study, instances, synthetic) in json.loads(file.read_bytes()).items()
        }
    except (FileNotFoundError, ValueError, TypeError, AttributeError):  # the PACS tells again
        return {}
