"""A DICOMweb client (PS3.18: QIDO-RS, WADO-RS, STOW-RS) that hospitals can rely on: bounded, retried, resumable, and silent.

`dicomweb-client` was looked at: it has no timeouts, does not try again after a broken connection, parses and re-encodes what it
stores, and takes an answer without a list of what was stored as success.
"""

from __future__ import annotations

import logging
import secrets
import shutil
import ssl
import weakref
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit

import httpx

from lesionlabel.imaging.dicom import read_dataset
from lesionlabel.imaging.dicomweb_answers import (
    again,
    faults_once,
    is_uid,
    items_in,
    items_of,
    refusal,
    require_uid,
    text_of,
    told,
)
from lesionlabel.imaging.dicomweb_search import SERIES, SOP_INSTANCE, STUDY, Found, Tries, find_all
from lesionlabel.imaging.multipart import DICOM_MULTIPART, boundary_of, multipart_body, multipart_length, parts_to_files
from lesionlabel.lesions.errors import InputError, NotFoundError, PacsDamagedError, PacsError, PacsFaultError
from lesionlabel.lesions.files import sync

#: httpx tells of each request with its address, so with identifiers.
logging.getLogger("httpx").setLevel(logging.WARNING)

JSON = "application/dicom+json"
#: As stored, whatever the compression: decoding is the reader's work, and the pixels stay what they were.
AS_STORED = f"{DICOM_MULTIPART}; transfer-syntax=*"
CT = MappingProxyType({"Modality": "CT"})
MAX_INSTANCES = 10_000
MAX_SERIES_BYTES = 16 * 2**30
AT_ONCE = 4
#: A server closes idle connections (Orthanc: after a second); one that is about to be closed is not used again.
KEEP_S = 0.5
#: What to do where the PACS cannot read what it holds.
MEND = (
    "Look at the PACS's own log first. Only where it names a damaged or missing file, delete that series there and send it again."
)
REFERENCED, FAILED = "00081199", "00081198"
REFERENCED_INSTANCE, FAILURE_REASON = "00081155", "00081197"


@dataclass(frozen=True)
class PacsSeries:
    """A series as the PACS lists it. instances: how many, None where it does not say."""

    study_uid: str
    series_uid: str
    instances: int | None


def is_dicomweb(studies: str) -> bool:
    """Whether studies names a DICOMweb server and not a folder."""
    return studies.lower().startswith(("http://", "https://"))


class DicomWeb:
    """A PACS. url: of its DICOMweb root, such as http://orthanc:8042/dicom-web. ca_file: certificates to trust, PEM.

    Every request ends when nothing moves for timeout seconds; reading requests are tried again a few times. Proxies of the
    environment are not used. Safe to use from several threads. Raises InputError for an address that is none or has credentials
    in it, or for a file of certificates that cannot be read.
    """

    def __init__(
        self, url: str, user: str | None = None, password: str | None = None, ca_file: Path | None = None, timeout: float = 30.0
    ) -> None:
        self.url = check_url(url)
        self._http = httpx.Client(
            auth=None if user is None else httpx.BasicAuth(user, password or ""),
            verify=trust(ca_file),
            timeout=httpx.Timeout(timeout),
            # Compressing pixels costs a PACS more than sending them (119 slices from Orthanc: 2.6 s, so 0.45 s).
            headers={"Accept-Encoding": "identity"},
            limits=httpx.Limits(max_connections=4 * AT_ONCE, keepalive_expiry=KEEP_S),
            trust_env=False,
            follow_redirects=False,
        )
        # For those who open studies, read, and drop them.
        weakref.finalize(self, self._http.close)

    def close(self) -> None:
        self._http.close()

    def series(self, search: Mapping[str, str] = CT) -> list[PacsSeries]:
        """All series that a search finds (QIDO-RS attributes and values). Raises PacsError, also where it cannot read one."""
        found, unreadable = self._series(search, whole=True)
        if unreadable:
            raise PacsDamagedError(f"The PACS cannot read a series that was asked for. {MEND}")
        return found

    def readable_series(self, search: Mapping[str, str] = CT) -> tuple[list[PacsSeries], int]:
        """The series that a search finds and the PACS can read, and how many more it holds. Raises PacsError."""
        return self._series(search, whole=False)

    def _series(self, search: Mapping[str, str], *, whole: bool) -> tuple[list[PacsSeries], int]:
        found: dict[tuple[str, str], PacsSeries] = {}
        try:
            answer = self._search("/series", search, whole=whole)
        except NotFoundError:
            raise PacsError("The PACS lists no series under its address. Is it that of DICOMweb?", passing=False) from None
        modality = search.get("Modality", "")
        for item in answer.items:
            study, series = text_of(item, STUDY), text_of(item, SERIES)
            # What a server does not filter by, it may ignore.
            if text_of(item, "00080060") in (modality, "") and is_uid(study) and is_uid(series):
                count = text_of(item, "00201209")
                found.setdefault((study, series), PacsSeries(study, series, int(count) if count.isdigit() else None))
        return list(found.values()), answer.unreadable

    def lacks(self, search: Mapping[str, str]) -> bool:
        """Whether the PACS says that it has no such series; not where it cannot read one. Raises PacsError."""
        try:
            return not self._json("/series", {**search, "limit": "1"}, faults_once)
        except PacsFaultError:
            return False

    def instances(self, study_uid: str, series_uid: str) -> list[str]:
        """The SOP Instance UIDs of a series, sorted; none where the PACS has no such series (any more).

        Raises PacsError, also where it cannot read one: a volume without a slice of its own would look whole.
        """
        path = f"/studies/{require_uid(study_uid)}/series/{require_uid(series_uid)}/instances"
        try:
            found = self._search(path, {}, whole=True)
        except NotFoundError:
            return []
        uids = {uid for uid in (text_of(item, SOP_INSTANCE) for item in found.items) if is_uid(uid)}
        if found.unreadable or len(uids) < len(found.items):
            raise PacsDamagedError(f"The PACS cannot read a slice of the series. {MEND}")
        return sorted(uids)

    def first_header(self, study_uid: str, series_uid: str) -> dict[str, Any]:
        """The elements of a series' first instance without pixels, as DICOM JSON (PS3.18 F).

        Raises NotFoundError, PacsError, also where the PACS cannot read that instance.
        """
        path = f"/studies/{require_uid(study_uid)}/series/{require_uid(series_uid)}/instances"
        listed = self._json(path, {"limit": "1"})
        uid = text_of(listed[0], SOP_INSTANCE) if listed else ""
        found = self._json(f"{path}/{uid}/metadata", {}) if is_uid(uid) else listed
        if not found:
            raise NotFoundError("The PACS has no such series (any more).")
        if not is_uid(uid) or text_of(found[0], SOP_INSTANCE) != uid:
            raise PacsDamagedError(f"The PACS cannot read a slice of the series. {MEND}")
        return found[0]

    def retrieve(self, study_uid: str, series_uid: str, folder: Path, *, only: Collection[str] | None = None) -> list[Path]:
        """Have every instance of a series in folder, as <SOP Instance UID>.dcm, just as the PACS stores it.

        What is there already is not asked for again, so that a retrieval that was cut off goes on where it was. only: the SOP
        Instance UIDs that are wanted, of those that there are. Raises
        NotFoundError where the PACS has no such series, InputError where it is larger than allowed, PacsError when not all of
        it came.
        """
        uids = self.instances(study_uid, series_uid)
        if not uids:
            raise NotFoundError("The PACS has no such series (any more).")
        if len(uids) > MAX_INSTANCES:
            raise InputError(f"The series has {len(uids)} instances; allowed are {MAX_INSTANCES}.")
        folder.mkdir(parents=True, exist_ok=True)
        paths = {uid: folder / f"{uid}.dcm" for uid in uids if only is None or uid in only}
        left = _Allowance(MAX_SERIES_BYTES - sum(path.stat().st_size for path in paths.values() if path.exists()))
        missing = [uid for uid, path in paths.items() if not path.exists()]
        base = f"/studies/{study_uid}/series/{series_uid}/instances"
        with ThreadPoolExecutor(AT_ONCE, "retrieve") as pool:
            works = [pool.submit(self._retrieve_one, f"{base}/{uid}", series_uid, uid, paths[uid], left) for uid in missing]
            try:
                for work in works:
                    work.result()
            except NotFoundError:
                raise NotFoundError("The series was deleted on the PACS while it was retrieved.") from None
            finally:
                pool.shutdown(cancel_futures=True)
        return list(paths.values())

    def stow(self, paths: Sequence[Path]) -> None:
        """Store DICOM files. Returns only when the PACS has said of each one that it is stored. Not tried again here.

        Storing the same instances again is allowed (PS3.18 10.5), so after a PacsError the caller may. Raises PacsError whenever
        it is not certain that all were stored, InputError for a file that is no DICOM instance.
        """
        if not paths:
            return
        wanted = set()
        for path in paths:
            uid = str(read_dataset(path, ["SOPInstanceUID"]).get("SOPInstanceUID") or "")
            if not is_uid(uid):
                raise InputError("A file to be stored on the PACS has no SOP Instance UID.")
            wanted.add(uid)
        boundary = secrets.token_hex(16)
        headers = {
            "Content-Type": f"{DICOM_MULTIPART}; boundary={boundary}",
            "Content-Length": str(multipart_length(paths, boundary)),
            "Accept": JSON,
        }
        url, body = f"{self.url}/studies", multipart_body(paths, boundary)
        with told(), self._http.stream("POST", url, headers=headers, content=body) as answer:
            if answer.status_code not in (200, 202, 409):
                raise refusal(answer.status_code, "store results")
            said = items_in(answer)
        report = said[0] if said else {}
        stored = {text_of(item, REFERENCED_INSTANCE) for item in items_of(report, REFERENCED)}
        failed = {text_of(item, REFERENCED_INSTANCE): text_of(item, FAILURE_REASON) for item in items_of(report, FAILED)}
        if failed:
            reasons = ", ".join(sorted(set(filter(None, failed.values())))) or "none given"
            raise PacsError(
                f"The PACS did not store {len(failed)} of {len(wanted)} object(s) (reasons: {reasons}; PS3.18 table I.2-2)."
            )
        if wanted - stored:
            raise PacsError(
                f"The PACS did not confirm {len(wanted - stored)} of {len(wanted)} object(s): they may not be stored."
            )

    def _search(self, path: str, query: Mapping[str, str], *, whole: bool) -> Found:
        def page(limit: int, offset: int, tries: Tries) -> list[dict[str, Any]]:
            return self._json(path, {**query, "limit": str(limit), "offset": str(offset)}, tries)

        return find_all(page, whole=whole)

    def _json(self, path: str, query: Mapping[str, str], tries: Tries = again) -> list[dict[str, Any]]:
        def ask() -> list[dict[str, Any]]:
            with self._http.stream("GET", self.url + path, params=query, headers={"Accept": JSON}) as answer:
                if answer.status_code == 204:
                    return []
                if answer.status_code != 200:
                    raise refusal(answer.status_code, "list series")
                return items_in(answer)

        return tries(ask)

    def _retrieve_one(self, path: str, series_uid: str, uid: str, target: Path, left: _Allowance) -> None:
        partial = target.with_suffix(".part")

        def ask() -> None:
            with self._http.stream("GET", self.url + path, headers={"Accept": AS_STORED}) as answer:
                if answer.status_code != 200:
                    raise refusal(answer.status_code, "retrieve a series")
                boundary = boundary_of(answer.headers.get("content-type", ""))
                if boundary is None:
                    raise PacsError(
                        "The PACS answered a retrieval with something other than DICOM. Is its address that of DICOMweb?"
                    )
                count = parts_to_files(left.counted(answer.iter_bytes(1 << 16)), boundary, lambda n: None if n else partial)
            if count != 1:
                raise PacsError("The PACS sent an instance only in part. Try again.")

        try:
            again(ask)
            try:
                header = read_dataset(partial, ["SOPInstanceUID", "SeriesInstanceUID"])
            except InputError:
                raise PacsDamagedError(f"The PACS sent a slice that cannot be read. {MEND}") from None
            if (str(header.get("SOPInstanceUID")), str(header.get("SeriesInstanceUID"))) != (uid, series_uid):
                raise PacsError("The PACS sent another instance than was asked for, so nothing of it is used.")
            sync(partial)
            partial.replace(target)
        except OSError as error:
            free = shutil.disk_usage(target.parent).free / 2**30
            raise PacsError(
                f"What the PACS sent could not be written ({error.strerror}; {free:.1f} GiB free in LESIONLABEL_HOME). Make room."
            ) from None
        finally:
            partial.unlink(missing_ok=True)


class _Allowance:
    """How many bytes of a series may still come; a count by several threads, which may be over by a chunk each."""

    def __init__(self, size: int) -> None:
        self._left = size

    def counted(self, chunks: Iterator[bytes]) -> Iterator[bytes]:
        for chunk in chunks:
            self._left -= len(chunk)
            if self._left < 0:
                raise InputError(f"The series is larger than {MAX_SERIES_BYTES // 2**30} GiB, so it is not retrieved.")
            yield chunk


def check_url(url: str) -> str:
    """The address without a slash at the end. Raises InputError where it is none or holds a user or password."""
    try:
        parts = urlsplit(url)
        valid = parts.scheme.lower() in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        valid = False
    if not valid:
        raise InputError("The address of the PACS is none. It looks like http://orthanc:8042/dicom-web.")
    if "@" in parts.netloc:
        raise InputError(
            "The address of the PACS holds a user or password, which other programs could see. Set LESIONLABEL_DICOMWEB_USERNAME "
            "and LESIONLABEL_DICOMWEB_PASSWORD instead."
        )
    if parts.query or parts.fragment:
        raise InputError("The address of the PACS has a '?' or '#'. It looks like http://orthanc:8042/dicom-web.")
    return url.rstrip("/")


def trust(ca_file: Path | None) -> ssl.SSLContext:
    """The certificates that are trusted: the system's, or those in a PEM file. Raises InputError when it cannot be read."""
    try:
        return ssl.create_default_context(cafile=None if ca_file is None else str(ca_file))
    except (OSError, ssl.SSLError) as error:
        raise InputError(
            f"LESIONLABEL_DICOMWEB_CA_FILE={ca_file} is no readable file of certificates in PEM ({error})."
        ) from None
