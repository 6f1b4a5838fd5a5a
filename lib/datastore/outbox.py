"""DICOM results on their way to a PACS, on disk: what is in here was promised, and leaves only when the PACS has confirmed it."""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from filelock import FileLock
from pydicom.dataset import Dataset

from lesionlabel.datastore.result_words import in_words
from lesionlabel.lesions.errors import IntegrityError, NotFoundError
from lesionlabel.lesions.files import sync, write_atomically

logger = logging.getLogger(__name__)

RECORD, TRIES = "record.json", "tries.json"
#: How the folder of a version begins that is not complete.
MAKING = ".new-"
#: Seconds from one try to the next: doubled each time, up to an hour.
FIRST_PAUSE_S, LONGEST_PAUSE_S = 5.0, 3600.0
#: Seconds until an entry that cannot be sent as things are is looked at again.
BLOCKED_S = 60.0

DAMAGED = (
    "Its record cannot be read, so it is not sent. Restore record.json in its folder from a backup, or move the folder away."
)
INCOMPLETE = (
    "{} of its {} DICOM files are there, so it is not sent. Restore the files in its folder from a backup, "
    "or move the folder away."
)
ELSEWHERE = (
    "It was made for {}, and results now go to {}, so it is not sent. Set LESIONLABEL_RESULTS_URL (for the PACS of --studies: "
    "unset it) as it was, or move its folder away."
)

Stow = Callable[[Sequence[Path]], None]


@dataclass(frozen=True)
class Entry:
    """One version of an image's results. name: made of the image's key and the version. sent: whether the PACS has it.

    record: what was said of it when it was put in, empty where it is damaged. tries, problem, next_try: how sending went so far.
    """

    folder: Path
    sent: bool
    record: dict[str, Any]
    tries: int = 0
    problem: str = ""
    next_try: float = 0.0

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def files(self) -> list[Path]:
        return sorted(self.folder.glob("*.dcm"))

    def to_json(self) -> dict[str, Any]:
        """For whoever looks after it: no identifier of the image or a patient."""
        waits_until = datetime.fromtimestamp(self.next_try, UTC).isoformat(timespec="seconds") if self.problem else None
        return {
            "name": self.name,
            "state": "sent" if self.sent else "waiting",
            "version": self.record.get("version"),
            "created": self.record.get("created"),
            "documents": [document["what"] for document in self.record.get("documents", [])],
            "tries": self.tries,
            "problem": self.problem,
            "next_try": None if self.sent else waits_until,
        }


def key_of(image_id: str) -> str:
    """The image in names of files: an id is often a Series Instance UID."""
    return hashlib.sha256(image_id.encode()).hexdigest()[:16]


class Outbox:
    """waiting/ and sent/ under folder, one folder for each version of an image's results. Shared by threads and processes.

    Of what was sent the record stays, for the versions to come; the DICOM files, which name the patient, do not.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._waiting, self._sent = folder / "waiting", folder / "sent"
        for made in (self._waiting, self._sent):
            made.mkdir(parents=True, exist_ok=True)
        # What it holds names patients.
        folder.chmod(0o700)
        self._sending = FileLock(folder / ".sending")
        self._thread = threading.Lock()
        #: Set whenever something new waits.
        self.new = threading.Event()

    def put(self, image_id: str, record: dict[str, Any], documents: Sequence[tuple[str, Dataset]]) -> Entry:
        """Keep a version until it is sent; on return it is on the disk. documents: (file name's stem, data set)."""
        name = f"{key_of(image_id)}-v{record['version']:04d}"
        making = Path(tempfile.mkdtemp(dir=self.folder, prefix=MAKING))
        try:
            for number, (stem, ds) in enumerate(documents):
                path = making / f"{number}-{stem}.dcm"
                ds.save_as(path, write_like_original=False)
                sync(path)
            write_atomically(making / RECORD, json.dumps(record).encode())
            sync(making)
            making.rename(self._waiting / name)
            sync(self._waiting)
        finally:
            shutil.rmtree(making, ignore_errors=True)
        self.new.set()
        return Entry(self._waiting / name, sent=False, record=record)

    def records(self, image_id: str) -> Iterator[dict[str, Any]]:
        """The records of the image's versions, waiting or sent, newest first. Raises IntegrityError at a damaged one."""
        pattern = f"{key_of(image_id)}-v*"
        places = (self._waiting, self._sent)
        found = sorted((path for place in places for path in place.glob(pattern)), key=lambda path: path.name)
        for path in reversed(found):
            entry = self._read(path)
            if not entry.record:
                raise IntegrityError(f"The result {entry.name}: {entry.problem}")
            yield entry.record

    def list(self, sent: bool = False) -> list[Entry]:
        """What waits, oldest first; with sent, what was sent instead."""
        place = self._sent if sent else self._waiting
        entries = [self._read(path) for path in place.iterdir() if not path.name.startswith(".")]
        return sorted((entry for entry in entries if entry.sent == sent), key=_age)

    def get(self, name: str) -> Entry:
        """Raises NotFoundError for a name that is none."""
        for place in (self._waiting, self._sent):
            if name in {path.name for path in place.iterdir()}:
                return self._read(place / name)
        raise NotFoundError(f"No result {name!r}. `lesionlabel results list` names them.")

    def send_due(self, stow: Stow, target: str, now: float, *, all_of_them: bool = False) -> tuple[int, int]:
        """Send what is due, in order for each image: a later version never comes before an earlier one.

        target: the address that stow sends to; what was made for another one stays. all_of_them: also what would wait longer.
        Returns how many were sent and how many still wait. What the PACS did not take stays, with the reason and a time to try
        again. Raises OSError where even that cannot be written, once all was tried.
        """
        done, unwritten = 0, None
        with self._thread, self._sending:
            self._tidy()
            held: set[str] = set()
            for entry in self.list():
                key = entry.name.rpartition("-v")[0]
                try:
                    if entry.record and entry.record.get("target") != target:
                        self._block(entry, ELSEWHERE.format(entry.record.get("target") or "an unknown address", target), now)
                        continue
                    if key in held or not entry.record or (entry.next_try > now and not all_of_them):
                        held.add(key)
                        continue
                    files, documents = entry.files, len(entry.record["documents"])
                    if len(files) != documents:
                        held.add(key)
                        self._block(entry, INCOMPLETE.format(len(files), documents), now)
                        continue
                    if self._sent_or_noted(stow, entry, files, now):
                        done += 1
                    else:
                        held.add(key)
                except OSError as error:  # a full disk: those behind it can be sent, which makes room
                    held.add(key)
                    unwritten = error
        if unwritten is not None:
            raise unwritten
        return done, len(self.list())

    def _sent_or_noted(self, stow: Stow, entry: Entry, files: Sequence[Path], now: float) -> bool:
        try:
            stow(files)
            self._done(entry, now)
        except Exception as error:  # whatever is wrong with this one is no matter of the others
            tries = entry.tries + 1
            pause = min(FIRST_PAUSE_S * 2 ** min(tries - 1, 20), LONGEST_PAUSE_S)
            self._note(entry, tries, in_words(error), now + pause)
            return False
        return True

    def _block(self, entry: Entry, problem: str, now: float) -> None:
        """Not sent, and not tried: as it stands the PACS cannot help it."""
        if problem == entry.problem and entry.next_try > now:
            return
        if problem != entry.problem:
            logger.warning("The result %s waits: %s", entry.name, problem)
        self._note(entry, entry.tries, problem, now + BLOCKED_S)

    @staticmethod
    def _note(entry: Entry, tries: int, problem: str, next_try: float) -> None:
        said = {"tries": tries, "problem": problem, "next_try": next_try}
        write_atomically(entry.folder / TRIES, json.dumps(said).encode())

    def _done(self, entry: Entry, now: float) -> None:
        """One rename says that it was sent; a process that dies before sends the same instances again, which changes nothing."""
        sent_at = datetime.fromtimestamp(now, UTC).isoformat(timespec="seconds")
        said = {"tries": entry.tries + 1, "problem": "", "sent_at": sent_at}
        write_atomically(entry.folder / TRIES, json.dumps(said).encode())
        target = self._sent / entry.name
        entry.folder.rename(target)
        try:
            sync(self._sent)
            sync(self._waiting)
        except OSError as error:  # it is sent all the same
            logger.warning("What was sent could not be put on record for certain: %s", in_words(error))
        self._forget(target)

    def _tidy(self) -> None:
        """Patients' files of what was sent just before a process died."""
        for path in self._sent.iterdir():
            self._forget(path)

    @staticmethod
    def _forget(folder: Path) -> None:
        try:
            for file in folder.glob("*.dcm"):
                file.unlink(missing_ok=True)
        except OSError as error:  # tried again with each round
            logger.warning("Files of what was sent could not be deleted: %s", in_words(error))

    def _read(self, folder: Path) -> Entry:
        tries: dict[str, Any] = {}
        with suppress(OSError, ValueError):
            tries = json.loads((folder / TRIES).read_bytes())
        try:
            record = dict(json.loads((folder / RECORD).read_bytes()))
            if not record["documents"]:
                raise ValueError("A record of nothing.")
        except (OSError, ValueError, KeyError, TypeError):
            if folder.parent == self._waiting and (self._sent / folder.name).exists():  # sent in this moment
                return self._read(self._sent / folder.name)
            return Entry(folder, folder.parent == self._sent, {}, problem=DAMAGED)
        return Entry(
            folder,
            sent=folder.parent == self._sent,
            record=record,
            tries=int(tries.get("tries", 0)),
            problem=str(tries.get("problem", "")),
            next_try=float(tries.get("next_try", 0.0)),
        )


def _age(entry: Entry) -> tuple[str, str]:
    return str(entry.record.get("created", "")), entry.name
