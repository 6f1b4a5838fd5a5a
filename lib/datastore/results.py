"""DICOM results of readers' submits: made once a label is saved as final, kept on disk, and sent until the PACS has them.

Readers do not wait for it: what a submit leaves on the disk before it is answered is enough to do the rest later.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import Any, Protocol

from filelock import FileLock
from pydicom.uid import generate_uid

from lesionlabel.datastore.drafts import Draft, Drafts
from lesionlabel.datastore.given_answers import GivenAnswers
from lesionlabel.datastore.history import History, Version, stamp_of
from lesionlabel.datastore.index import FINAL
from lesionlabel.datastore.outbox import Outbox, Stow
from lesionlabel.datastore.result_documents import KINDS, Case, Kind, compose, references
from lesionlabel.datastore.result_lesions import result_lesions
from lesionlabel.datastore.result_source import SourceOf
from lesionlabel.datastore.result_words import in_words
from lesionlabel.imaging.dicom_sr import Said
from lesionlabel.imaging.result_instance import Reference
from lesionlabel.lesions.classes import ClassList
from lesionlabel.lesions.errors import InputError, NotFoundError
from lesionlabel.lesions.files import write_atomically
from lesionlabel.lesions.volume import Volume

logger = logging.getLogger(__name__)

#: Seconds after which to look again although nothing is due: another process may have put something in.
LOOK_EVERY_S = 30.0
#: Seconds after which a submit that did not say how it ended is looked at: its process is gone by then.
UNSURE_S = 600.0
#: What the history calls a label that was submitted.
SAVED = "saved"
NOTHING: dict[str, Any] = {"version": 0, "sides": {}, "series": {}, "lesions": []}


class Opened(Protocol):
    """An open image: its volume, and whether it is no patient's."""

    @property
    def volume(self) -> Volume: ...

    @property
    def simulated(self) -> bool: ...


class OpenImage(Protocol):
    def __call__(self, path: Path, /) -> Opened: ...


class Labels(Protocol):
    """What is needed of the datastore."""

    @property
    def history(self) -> History: ...

    def get_image_uri(self, image_id: str) -> str: ...

    def get_label_info(self, label_id: str, label_tag: str) -> dict[str, Any]: ...


class Cases:
    """Makes cases of images: what documents are about and by. folder: where the installation's own UID is kept."""

    def __init__(self, folder: Path, classes: ClassList, labels: Labels, open_image: OpenImage, source_of: SourceOf) -> None:
        self._folder, self._classes, self._labels = folder, classes, labels
        self._open_image, self._source_of = open_image, source_of

    @contextmanager
    def of(self, image_id: str) -> Iterator[tuple[Case, Volume]]:
        """The image's case, without lesions, and its volume. Raises what the datastore and the PACS raise."""
        opened = self._open_image(Path(self._labels.get_image_uri(image_id)))
        with self._source_of(image_id, opened.volume) as source:
            case = Case(
                source=source,
                grid=opened.volume.geometry,
                classes=self._classes,
                simulated=opened.simulated or source.simulated,
                info={},
                lesions=(),
                version=1,
                said_at=datetime.now(UTC),
                device_uid=self._device_uid(),
            )
            yield case, opened.volume

    def _device_uid(self) -> str:
        """Of this installation, made once."""
        file = self._folder / "device.uid"
        with FileLock(self._folder / ".device"):
            if not file.exists():
                write_atomically(file, str(generate_uid(prefix=None)).encode())
        return file.read_text(encoding="ascii").strip()


class Results:
    """Makes, keeps and sends. folder: below LESIONLABEL_HOME. stow: stores files on the PACS at target, or raises PacsError."""

    def __init__(self, folder: Path, labels: Labels, cases: Cases, stow: Stow, target: str) -> None:
        self.outbox = Outbox(folder)
        self.drafts = Drafts(folder / "drafts")
        self.answers = GivenAnswers(folder / "answers")
        self._labels, self._cases, self._stow, self._target = labels, cases, stow, target
        self._making = FileLock(folder / ".making")

    @contextmanager
    def submitting(self, image_id: str, tag: str) -> Iterator[None]:
        """Around the saving of a label: when it is saved, its results are promised on the disk.

        A draft is there before the label is saved and goes when its results are in the outbox, so that a crash delays them only.
        """
        if tag != FINAL:
            yield
            return
        draft = self.drafts.add(image_id)
        yield
        # Where saving failed, or this process died, it is found out later whether the label was saved after all.
        try:
            self.drafts.saved(draft)
        except OSError as error:  # the label is saved, and says so itself when the draft is looked at
            logger.warning("The note of a submit could not be written; its results come later: %s", in_words(error))
        self.outbox.new.set()

    def waiting(self) -> list[dict[str, Any]]:
        """All that is not on the PACS yet and why, oldest first, without identifiers."""
        now = time.time()
        drafts = [draft for draft in self.drafts.list() if draft.saved or now - draft.began > UNSURE_S]
        return sorted([one.to_json() for one in (*drafts, *self.outbox.list())], key=lambda one: str(one["created"]))

    def work(self, now: float, *, all_of_them: bool = False) -> tuple[int, int]:
        """One round: make what is to be made, send what is due. Returns how many were sent and how many still wait.

        all_of_them: also what would wait longer for its next try.
        """
        drafts = [draft for draft in self.drafts.list() if draft.saved or now - draft.began > UNSURE_S]
        unwritten = None
        for image_id in dict.fromkeys(draft.image_id for draft in drafts if all_of_them or draft.next_try <= now):
            try:
                self._settle(image_id, [draft for draft in drafts if draft.image_id == image_id], now)
            except OSError as error:  # a full disk: what can be sent makes room
                unwritten = error
        sent, _ = self.outbox.send_due(self._stow, self._target, now, all_of_them=all_of_them)
        if unwritten is not None:
            raise unwritten
        return sent, len(self.waiting())

    def run(self) -> None:
        """Work for ever, as soon as there is something to do."""
        while True:
            self.outbox.new.clear()
            try:
                self.work(time.time())
                pause = self._pause(time.time())
            except Exception as error:  # a full disk today may have room tomorrow
                logger.error("Results cannot be worked on: %s", in_words(error))
                pause = LOOK_EVERY_S
            self.outbox.new.wait(pause)

    def _pause(self, now: float) -> float:
        due = [entry.next_try for entry in self.outbox.list() if entry.record]
        due += [draft.next_try for draft in self.drafts.list() if draft.saved]
        return min(LOOK_EVERY_S, max(0.2, min(due, default=now + LOOK_EVERY_S) - now))

    def _settle(self, image_id: str, drafts: Sequence[Draft], now: float) -> None:
        """Make the results of an image's submits: of each version of its final label that was saved since the first of them."""
        try:
            with self._making:
                self._make(image_id, drafts)
        except Exception as error:
            problem = in_words(error, image_id)
            logger.warning("The results of a submit could not be made yet: %s", problem)
            for draft in drafts:
                self.drafts.note(draft, problem, now)
            return
        for draft in drafts:
            self.drafts.drop(draft)

    def _make(self, image_id: str, drafts: Sequence[Draft]) -> None:
        """Put the results of the submits into the outbox, unless they say nothing new."""
        versions = self._versions(image_id, drafts)
        for version in versions:
            try:
                self._make_version(image_id, version)
            except InputError as error:
                # A label that a later one has put right is no reason to have neither.
                if version is versions[-1]:
                    raise
                logger.warning("No results were made of a label that was replaced since: %s", in_words(error, image_id))

    def _make_version(self, image_id: str, version: Version) -> None:
        info, label = version.info, version.file
        # Of a label that could not be curated nothing is known, so what was said before stands.
        if label is None or info.get("curation_problem"):
            return
        before = self._before(image_id)
        if not before["version"] and not info.get("lesions"):
            return
        with self._cases.of(image_id) as (bare, volume):
            answers = self.answers.of(image_id)
            lesions = result_lesions(volume, label, info, bare.classes, answers, before["lesions"])
            decided = datetime.fromisoformat(info["curated_at"]) if "curated_at" in info else bare.said_at
            case = replace(bare, info=info, lesions=lesions, version=before["version"] + 1, said_at=decided)
            self._put(image_id, case, before, version.folder.name)

    def _before(self, image_id: str) -> dict[str, Any]:
        """The version before, with the documents that the target holds: those at another one cannot be replaced there."""
        records = self.outbox.records(image_id)
        newest = next(records, NOTHING)
        there = next((r for r in chain([newest], records) if r.get("target") == self._target), NOTHING)
        return {**newest, "sides": there["sides"], "series": there["series"]}

    def _put(self, image_id: str, case: Case, before: dict[str, Any], label: str) -> None:
        series = {kind: before["series"].get(kind.name) or str(generate_uid(prefix=None)) for kind in Kind}
        sides, documents = dict(before["sides"]), []
        for said in Said:
            known = before["sides"].get(said.name)
            digest = case.digest(said)
            if digest == known["digest"] if known else not case.told(said):
                continue
            newest = known["newest"] if known else {}
            earlier = {kind: Reference(**newest[kind.name]) for kind in KINDS[said] if kind.name in newest}
            made = compose(case, said, series, earlier)
            sides[said.name] = {"digest": digest, "newest": {**newest, **references(made)}}
            documents += list(made.items())
        if not documents:
            return
        record = {
            "version": case.version,
            "created": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "target": self._target,
            "label": label,
            "documents": [{"what": kind.value, "sop_uid": str(ds.SOPInstanceUID)} for kind, ds in documents],
            "sides": sides,
            "series": {kind.name: uid for kind, uid in series.items()},
            "lesions": [lesion.to_json() for lesion in case.lesions] or before["lesions"],
        }
        self.outbox.put(image_id, record, [(kind.name.lower().replace("_", "-"), ds) for kind, ds in documents])

    def _versions(self, image_id: str, drafts: Sequence[Draft]) -> list[Version]:
        """The versions of the final label that the submits saved, oldest first, without those whose results were made."""
        try:
            info = self._labels.get_label_info(image_id, FINAL)
        except NotFoundError:
            return []
        if not any(draft.saved or str(info.get("curated_at", "")) >= draft.at for draft in drafts):
            return []
        since = stamp_of(datetime.fromisoformat(min(draft.at for draft in drafts)))
        made = str(next(self.outbox.records(image_id), {}).get("label", ""))
        kept = [version for version in self._labels.history.accepted(FINAL, image_id) if version.event == SAVED]
        return [version for version in kept if version.folder.name >= since and version.folder.name > made]
