"""Versions of one model under one folder, and which of them serves: for classifiers and generators alike.

A version is a bundle folder. Training adds versions and never changes what serves; promote does, and keeps a record.
"""

from __future__ import annotations

import fcntl
import json
import logging
import threading
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar, Generic, Protocol, TypeVar

from lesionlabel.lesions.errors import InputError, IntegrityError, NoModelError, NotFoundError
from lesionlabel.lesions.files import append_line, write_atomically
from lesionlabel.registry.manifest import MANIFEST_NAME, M, manifest_digest, read_manifest
from lesionlabel.registry.profiles import TRIAL
from lesionlabel.settings import Settings

logger = logging.getLogger(__name__)

POINTER_NAME = "champion.json"
RECORD_NAME, RETIRED_NAME = "promotions.jsonl", "retired.jsonl"


@dataclass(frozen=True)
class VersionInfo(Generic[M]):
    """One version. folder: its bundle. is_champion: whether it serves. was_promoted: now or at any time before.

    is_retired: whether it may never serve again.
    """

    manifest: M
    folder: Path
    is_champion: bool
    was_promoted: bool
    is_retired: bool = False

    @property
    def version(self) -> str:
        return self.manifest.version

    @property
    def state(self) -> str:
        """Whether it serves, did so before, is a candidate, or may never serve."""
        if self.is_retired:
            return "retired"
        return "serves" if self.is_champion else "served before" if self.was_promoted else "candidate"


@dataclass(frozen=True)
class Consent:
    """Who wants a version to serve, and why. reader: a second person, who has seen every lesion that was won or lost.

    accepts: ids of malignant lesions newly called benign, each of which the reader accepts. override: against the gate.
    """

    by: str
    reason: str
    reader: str = ""
    accepts: tuple[str, ...] = ()
    override: bool = False


class Loaded(Protocol):
    """What a bundle is loaded into."""

    @property
    def manifest(self) -> Any: ...

    def warm_up(self) -> None: ...


L = TypeVar("L", bound=Loaded)


class VersionStore(ABC, Generic[M, L]):
    """The registry of one model of one home folder. Safe to use from several threads and processes."""

    KIND: ClassVar[type]
    #: What to do where nothing serves.
    ADVICE: ClassVar[str]

    def __init__(self, settings: Settings, folder: Path) -> None:
        self.settings, self.folder = settings, folder
        self._lock = threading.Lock()
        self._loaded: tuple[tuple[str, int], L] | None = None
        #: Why what was promoted last does not serve and what served before still does, None where all is well.
        self.problem: str | None = None

    @abstractmethod
    def starter_folder(self) -> Path:
        """The bundle that comes with the package, trained on the phantom."""

    @abstractmethod
    def load(self, folder: Path, manifest_sha256: str | None = None) -> L:
        """The model of a bundle, verified. Raises NoModelError, IntegrityError."""

    @abstractmethod
    def refuse_promotion(self, info: VersionInfo[M], serving: str | None, consent: Consent) -> dict[str, Any]:
        """What the record says of the evidence beside who promoted the version and why.

        serving: the version promoted last. Raises InputError when the version may not serve with this consent.
        """

    def list(self) -> tuple[VersionInfo[M], ...]:
        """Every stored version whose manifest can be read, oldest first."""
        found = []
        for name in self._names():
            with suppress(IntegrityError):
                found.append(self.get(name))
        return tuple(found)

    def damaged(self) -> tuple[str, ...]:
        """Names of stored versions whose manifest cannot be read."""
        return tuple(sorted(set(self._names()) - {info.folder.name for info in self.list()}))

    def candidates(self) -> tuple[VersionInfo[M], ...]:
        """Versions that were never promoted and are not retired, newest first."""
        return tuple(info for info in reversed(self.list()) if not info.was_promoted and not info.is_retired)

    def get(self, version: str) -> VersionInfo[M]:
        """The version of that name. Raises NotFoundError, or IntegrityError when its manifest cannot be read."""
        if version not in self._names():
            raise NotFoundError(f"No version {version!r}. Stored versions: {', '.join(self._names()) or 'none'}.")
        pointer = None
        with suppress(IntegrityError):  # a damaged pointer is champion's to report: a promotion must still mend it
            pointer = self._pointer()
        return VersionInfo(
            manifest=read_manifest(self.folder / version, self.KIND),
            folder=self.folder / version,
            is_champion=pointer is not None and pointer["version"] == version,
            was_promoted=any(entry["version"] == version for entry in self.promotions()),
            is_retired=any(entry["version"] == version for entry in self.retirements()),
        )

    def champion(self) -> L:
        """The model that serves: the promoted version, else the starter when settings allow it.

        Milliseconds when nothing changed since the last call. A promotion is seen by the next call, which verifies and warms up
        the new version; until that is done, and when it fails, the one before serves. Raises NoModelError when nothing may
        serve, IntegrityError when what should serve was changed and nothing was loaded before.
        """
        try:
            model = self._current()
        except Exception as error:  # whatever torch says of a full GPU: what is loaded already can answer
            if self._loaded is None:
                raise
            if self.problem is None:
                self.problem = f"What was promoted last cannot serve, so what served before still does. {error}"
                logger.error("%s", self.problem)
            model = self._loaded[1]
        problem = self._class_mismatch(model.manifest)
        if problem:
            raise NoModelError(f"{problem} {self.ADVICE}")
        return model

    def _current(self) -> L:
        """The model of the pointer, swapped in when it is another one than was loaded."""
        pointer = self._pointer()
        folder = self.starter_folder() if pointer is None else self.folder / pointer["version"]
        if pointer is None:
            self._check_starter(folder)
        try:
            stamp = (str(folder), (folder / MANIFEST_NAME).stat().st_mtime_ns)
        except OSError as error:
            raise NoModelError(f"The promoted version {folder.name} is gone from {self.folder}. {self.ADVICE}") from error
        loaded = self._loaded
        if loaded is not None and loaded[0] == stamp:
            self.problem = None
            return loaded[1]
        # Whoever comes while another swaps is served by what there is.
        if not self._lock.acquire(blocking=loaded is None) and loaded is not None:
            return loaded[1]
        try:
            if self._loaded is None or self._loaded[0] != stamp:
                model = self.load(folder, None if pointer is None else pointer["manifest_sha256"])
                model.warm_up()
                self._loaded = (stamp, model)
                self.problem = None
            return self._loaded[1]
        finally:
            self._lock.release()

    def promote(
        self, version: str, by: str, reason: str, *, reader: str = "", accepts: Sequence[str] = (), override: bool = False
    ) -> VersionInfo[M]:
        """Let a version serve from now on, and record who decided it and why. An earlier version is rolled back to the same way.

        reader, accepts, override: as in Consent. Raises NotFoundError, IntegrityError, or InputError when the version may not be
        promoted.
        """
        if not by.strip() or not reason.strip():
            raise InputError("A promotion needs who decided it and the reason: give both.")
        with self._exclusive():
            info = self.get(version)
            if info.is_retired:
                raise InputError(f"{version} is retired: it may not serve again. 'lesionlabel models show {version}' says why.")
            self.load(info.folder)
            problem = self._class_mismatch(info.manifest)
            if problem:
                raise InputError(f"{problem} It is not promoted.")
            if info.manifest.config.get("profile") == TRIAL:
                raise InputError(
                    f"{version} was made by the profile {TRIAL!r}, which only shows that everything works. It never serves."
                )
            previous = self.promotions()[-1:]
            consent = Consent(by.strip(), reason.strip(), reader.strip(), tuple(accepts), override)
            evidence = self.refuse_promotion(info, previous[0]["version"] if previous else None, consent)
            if info.manifest.trained_on == "phantom" and previous and previous[0]["trained_on"] == "patients":
                raise InputError(
                    f"{version} was trained on the phantom and {previous[0]['version']}, which serves, on patients. "
                    "A phantom result says nothing about patients: it is not promoted."
                )
            entry = {
                "time": datetime.now(UTC).isoformat(timespec="seconds"),
                "version": version,
                "previous": previous[0]["version"] if previous else None,
                "trained_on": info.manifest.trained_on,
                "by": consent.by,
                "reason": consent.reason,
                **evidence,
                "manifest_sha256": manifest_digest(info.folder),
            }
            append_line(self.folder / RECORD_NAME, json.dumps(entry, ensure_ascii=False).encode())
            write_atomically(self.folder / POINTER_NAME, json.dumps(entry, ensure_ascii=False).encode())
        return VersionInfo(info.manifest, info.folder, True, True)

    def rollback(self, by: str, reason: str) -> VersionInfo[M]:
        """Let the version serve again that served before this one. Raises InputError when there is none, and as promote."""
        served = [entry["version"] for entry in self.promotions()]
        retired = {entry["version"] for entry in self.retirements()}
        before = [version for version in served if version != served[-1] and version not in retired]
        if not before:
            raise InputError("No other version has served before: there is nothing to go back to.")
        return self.promote(before[-1], by, reason)

    def retire(self, version: str, by: str, reason: str) -> VersionInfo[M]:
        """Let a version never serve again; its files stay. Raises NotFoundError, InputError for the one that serves."""
        if not by.strip() or not reason.strip():
            raise InputError("Retiring a version needs who decided it and the reason: give both.")
        with self._exclusive():
            info = self.get(version)
            if info.is_champion:
                raise InputError(f"{version} serves. Promote another version first, or roll back.")
            now = datetime.now(UTC).isoformat(timespec="seconds")
            entry = {"time": now, "version": version, "by": by.strip(), "reason": reason.strip()}
            append_line(self.folder / RETIRED_NAME, json.dumps(entry, ensure_ascii=False).encode())
        return replace(info, is_retired=True)

    def retirements(self) -> tuple[dict[str, Any], ...]:
        """Every retirement in order: time, version, by, reason."""
        return self._entries(RETIRED_NAME)

    def promotions(self) -> tuple[dict[str, Any], ...]:
        """Every promotion in order: time, version, previous, trained_on, by, reason, evidence, manifest_sha256."""
        return self._entries(RECORD_NAME)

    def _entries(self, name: str) -> tuple[dict[str, Any], ...]:
        path = self.folder / name
        if not path.exists():
            return ()
        entries = []
        for line in path.read_bytes().split(b"\n"):
            with suppress(ValueError):  # a line that a power cut left half written, before anything was promoted
                entries.append(json.loads(line))
        return tuple(entries)

    def _names(self) -> tuple[str, ...]:
        return tuple(sorted(path.parent.name for path in self.folder.glob(f"[!.]*/{MANIFEST_NAME}")))

    def _pointer(self) -> dict[str, str] | None:
        """What was promoted last, None before the first promotion."""
        path = self.folder / POINTER_NAME
        try:
            content = json.loads(path.read_bytes())
            pointer = {name: str(content[name]) for name in ("version", "manifest_sha256")}
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError) as error:
            raise IntegrityError(f"{path} is damaged ({error!r}). Promote a version again.") from error
        if Path(pointer["version"]).name != pointer["version"] or pointer["version"].startswith("."):
            raise IntegrityError(f"{path} names {pointer['version']!r}, which is no version. Promote a version again.")
        return pointer

    @abstractmethod
    def _class_mismatch(self, manifest: M) -> str | None:
        """What differs between the version's classes and the configured ones."""

    def _check_starter(self, folder: Path) -> None:
        if not self.settings.allow_starter:
            raise NoModelError(
                f"No version is promoted and the starter is switched off (LESIONLABEL_ALLOW_STARTER). {self.ADVICE}"
            )
        problem = self._class_mismatch(read_manifest(folder, self.KIND))
        if problem:
            raise NoModelError(f"No version is promoted, and the starter does not fit: {problem} {self.ADVICE}")

    @contextmanager
    def _exclusive(self) -> Iterator[None]:
        """One promotion at a time, over threads and processes."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / ".lock").open("wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield
