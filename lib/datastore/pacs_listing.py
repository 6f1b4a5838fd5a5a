"""What the PACS lists: read in the background, kept over restarts, and never waited for."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import astuple, dataclass, replace
from pathlib import Path

from pydicom.dataset import Dataset
from pydicom.tag import Tag

from lesionlabel.imaging.dicomweb import AT_ONCE, CT, MEND, DicomWeb, PacsSeries
from lesionlabel.imaging.synthetic_tags import MARK_TAGS, is_synthetic
from lesionlabel.lesions.errors import InputError, NotFoundError, PacsError, PacsFaultError, places
from lesionlabel.lesions.files import write_atomically

logger = logging.getLogger(__name__)

#: Seconds after which a listing is read again when somebody asks.
FRESH_S = 5.0
#: A PACS that needs long for its list is asked more rarely: at most this share of the time.
SHARE = 0.1
#: Series whose headers are looked at before what is known is shown.
BATCH = 40
FILE = "listing.json"
#: Why a series was refused holds for so long, unless the PACS lists it otherwise: it may have been mended without that. Shorter
#: where the PACS does not say how many instances it has, as it may have been arriving still.
REFUSED_S, UNCOUNTED_S = 24 * 3600.0, 3600.0
MARKS = frozenset(f"{Tag(tag):08X}" for tag in MARK_TAGS)


@dataclass(frozen=True)
class Listed:
    """A series on the PACS. instances: how many, None where unknown. synthetic: None until a header was looked at.

    readable: not where the PACS listed it once, still has it, and cannot read it now. refused: why it cannot be used, None where
    nothing is known against it; refused_at: when that was found, in s since 1970, 0 where each reading of the list finds it anew.
    """

    study_uid: str
    instances: int | None = None
    synthetic: bool | None = None
    readable: bool = True
    refused: str | None = None
    refused_at: float = 0.0

    @property
    def ambiguous(self) -> bool:
        """Whether its UID names several series, so that no question about it can be answered."""
        return self.refused is not None and not self.refused_at


#: What a header says of being synthetic: None where it cannot be read, the error where the series is gone.
Said = bool | NotFoundError | None


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

    def settle(self, seconds: float) -> None:
        """Wait at most so long for what is read in the background."""
        with self._lock:
            reading = self._refreshing
        if reading is not None:
            reading.join(seconds)

    def refresh(self) -> None:
        """Read the listing now, and look at a header of each new series. What the PACS cannot read any more stays, marked.

        Raises PacsError.
        """
        before = self.series
        found, unreadable = self._client.readable_series(self._search)
        kept = self._not_lacked(before.keys() - {one.series_uid for one in found}) if unreadable else set()
        studies = Counter(one.series_uid for one in found)
        with self._changing() as series:
            # What was looked for meanwhile may have come after the PACS made its list.
            added = {uid: one for uid, one in series.items() if uid not in before}
            added |= {uid: replace(one, readable=False) for uid, one in series.items() if uid in kept}
            known = dict(series)
            series.clear()
            series |= added
            for one in found:
                listed = _listed(one, known.get(one.series_uid))
                if studies[one.series_uid] > 1:
                    listed = replace(listed, refused=in_studies(studies[one.series_uid]), refused_at=0.0)
                series[one.series_uid] = listed
        unknown = [uid for uid, one in self.series.items() if one.synthetic is None and one.readable and studies[uid] <= 1]
        with ThreadPoolExecutor(AT_ONCE, "pacs-headers") as pool:
            for start in range(0, len(unknown), BATCH):
                said = dict(zip(batch := unknown[start : start + BATCH], pool.map(self._said_if_any, batch), strict=True))
                self._take(said)
                # One damaged file hides no other series; a PACS that answers nothing is not asked on.
                failed = [one for one in said.values() if isinstance(one, PacsError)]
                if len(failed) == len(batch):
                    if all(one.synthetic is None for one in self.series.values()):
                        raise failed[0]
                    break
        self._say(unreadable_series(unreadable) if unreadable else None)

    def look_for(self, series_uid: str, *, everywhere: bool = False) -> Listed | None:
        """Ask for one series, which may have come a moment ago; None where there is none. everywhere: not only in the search.

        Raises PacsError, InputError where several studies hold a series of that UID, in the search or not.
        """
        found = self._named(CT, series_uid)
        if not found or not (everywhere or self._search == CT or self._named(self._search, series_uid)):
            return None
        if len(found) > 1:
            raise InputError(in_studies(len(found)))
        with self._changing() as series:
            series[series_uid] = listed = _listed(found[0], series.get(series_uid))
        with suppress(PacsFaultError):  # a damaged file; retrieval looks at every slice
            said = self._said(series_uid)
            self._take({series_uid: said})
            if isinstance(said, NotFoundError):
                return None
        # Not listed any more where the list was read meanwhile, and the search does not find it.
        return self.series.get(series_uid, listed)

    def _named(self, search: Mapping[str, str], series_uid: str) -> list[PacsSeries]:
        found = self._client.series({**search, "SeriesInstanceUID": series_uid})
        return [one for one in found if one.series_uid == series_uid]

    def mark(self, series_uid: str, synthetic: bool) -> None:
        """Say what its slices, all of which were read and can be used, say."""
        with self._changing() as series:
            if (one := series.get(series_uid)) is not None:
                if not one.ambiguous:  # that its UID is in two studies is no matter of its slices
                    one = replace(one, refused=None, refused_at=0.0)
                series[series_uid] = replace(one, synthetic=synthetic)

    def refuse(self, series_uid: str, retrieved: Listed, reason: str) -> None:
        """Keep why a series cannot be used as it was retrieved, so that it is not offered before that may have changed."""
        with self._changing() as series:
            one = series.get(series_uid)
            if one is not None and not one.ambiguous and _same_slices(one, retrieved):
                series[series_uid] = replace(one, refused=reason, refused_at=time.time())

    def _refresh_quietly(self) -> None:
        started = time.monotonic()
        try:
            self.refresh()
        except (PacsError, InputError) as error:
            self._say(str(error))
        except Exception as error:  # a thread that ends silently would leave the listing as it is for ever
            self.problem = "The PACS's series cannot be listed: something unexpected went wrong."
            logger.error("The PACS's series cannot be listed: %s", places(error))
        finally:
            took = time.monotonic() - started
            self._next = time.monotonic() + max(FRESH_S, took / SHARE)

    def _say(self, problem: str | None) -> None:
        if problem is not None and problem != self.problem:
            logger.warning("The PACS's series cannot be listed, or not all. %s", problem)
        self.problem = problem

    def _not_lacked(self, uids: Collection[str]) -> set[str]:
        """Those of which the PACS does not say that it has them no more. Raises PacsError."""
        with ThreadPoolExecutor(AT_ONCE, "pacs-listing") as pool:
            lacks = pool.map(lambda uid: self._client.lacks({**self._search, "SeriesInstanceUID": uid}), uids)
            return {uid for uid, lacking in zip(uids, lacks, strict=True) if not lacking}

    def _said(self, series_uid: str) -> Said:
        """What the series' first header says of being synthetic. Raises PacsError."""
        one = self.series.get(series_uid)
        if one is None:
            return None
        try:
            header = self._client.first_header(one.study_uid, series_uid)
        except NotFoundError as gone:
            return gone
        try:
            return is_synthetic(Dataset.from_json({tag: value for tag, value in header.items() if tag.upper() in MARKS}))
        except Exception:  # pydicom raises anything on values that break the standard; retrieval looks at every slice
            return None

    def _said_if_any(self, series_uid: str) -> Said | PacsError:
        try:
            return self._said(series_uid)
        except PacsError as error:
            return error

    def _take(self, said: Mapping[str, Said | PacsError]) -> None:
        with self._changing() as series:
            for uid, mark in said.items():
                if isinstance(mark, NotFoundError):
                    series.pop(uid, None)
                elif uid in series and isinstance(mark, bool):
                    series[uid] = replace(series[uid], synthetic=mark)

    @contextmanager
    def _changing(self) -> Iterator[dict[str, Listed]]:
        """The series to change, by one thread at a time; shown when the block ends well.

        What is known as synthetic stays so: a first header says nothing of the slices that said it.
        """
        with self._lock:
            series = dict(self.series)
            yield series
            for uid, one in series.items():
                before = self.series.get(uid)
                if before is not None and before.synthetic:
                    series[uid] = replace(one, synthetic=True)
            if series == self.series:
                return
            self.series, self.changed = series, time.time_ns()
            content = {uid: astuple(one) for uid, one in series.items()}
            try:
                write_atomically(self._file, json.dumps(content).encode())
            except OSError as error:  # it is only for the next start
                logger.warning("The list of the PACS's series could not be kept: %s", places(error))


def in_studies(count: int) -> str:
    """A Series Instance UID in two studies names nothing: a click on one would be answered about the other."""
    return f"The PACS holds {count} studies with a series of this UID: nobody knows which is meant. Mend it there."


def _same_slices(one: Listed, other: Listed) -> bool:
    """As far as a list tells."""
    return (one.study_uid, one.instances) == (other.study_uid, other.instances)


def _listed(one: PacsSeries, before: Listed | None) -> Listed:
    """A series that is listed now, with what is known of it from before."""
    listed = Listed(one.study_uid, one.instances, before.synthetic if before else None)
    holds = UNCOUNTED_S if one.instances is None else REFUSED_S
    if before is None or not _same_slices(before, listed) or time.time() - before.refused_at > holds:
        return listed
    return replace(listed, refused=before.refused, refused_at=before.refused_at)


def unreadable_series(count: int) -> str:
    return f"The PACS cannot read {count} of its CT series; all others are listed. {MEND}"


def _read(file: Path) -> dict[str, Listed]:
    try:
        return {uid: Listed(*kept) for uid, kept in json.loads(file.read_bytes()).items()}
    except (FileNotFoundError, ValueError, TypeError, AttributeError):  # the PACS tells again
        return {}
