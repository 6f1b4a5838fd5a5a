"""The versions of the classifier under one folder, and which of them serves.

A version is a bundle folder. Training adds versions and never changes what serves; promote does, and keeps a record.
"""

from __future__ import annotations

import fcntl
import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib import resources
from pathlib import Path
from typing import Any

from lesionlabel.lesions.errors import InputError, IntegrityError, NoModelError, NotFoundError
from lesionlabel.lesions.files import write_atomically
from lesionlabel.networks.paper_cnn import PaperCNN
from lesionlabel.registry.bundle import load_classifier, save_bundle
from lesionlabel.registry.classifier import Classifier
from lesionlabel.registry.manifest import MANIFEST_NAME, Manifest, manifest_digest, read_manifest
from lesionlabel.settings import Settings

POINTER_NAME = "champion.json"
RECORD_NAME = "promotions.jsonl"
ADVICE = "Run 'lesionlabel train classifier' on curated lesions, then 'lesionlabel models promote'."


@dataclass(frozen=True)
class VersionInfo:
    """One version. folder: its bundle. is_champion: whether it serves. was_promoted: now or at any time before."""

    manifest: Manifest
    folder: Path
    is_champion: bool
    was_promoted: bool

    @property
    def version(self) -> str:
        return self.manifest.version


def starter_folder() -> Path:
    """The bundle that comes with the package, trained on the phantom."""
    return Path(str(resources.files("lesionlabel.models"))) / "lesion_classifier"


class Versions:
    """The registry of one home folder. Safe to use from several threads and processes."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.folder = settings.versions_folder
        self._lock = threading.Lock()
        self._loaded: tuple[tuple[str, int], Classifier] | None = None

    def list(self) -> tuple[VersionInfo, ...]:
        """Every stored version whose manifest can be read, oldest first."""
        found = []
        for name in self._names():
            with suppress(IntegrityError):
                found.append(self.get(name))
        return tuple(found)

    def damaged(self) -> tuple[str, ...]:
        """Names of stored versions whose manifest cannot be read."""
        return tuple(sorted(set(self._names()) - {info.folder.name for info in self.list()}))

    def candidates(self) -> tuple[VersionInfo, ...]:
        """Versions that were never promoted, newest first."""
        return tuple(info for info in reversed(self.list()) if not info.was_promoted)

    def get(self, version: str) -> VersionInfo:
        """The version of that name. Raises NotFoundError, or IntegrityError when its manifest cannot be read."""
        if version not in self._names():
            raise NotFoundError(f"No version {version!r}. Stored versions: {', '.join(self._names()) or 'none'}.")
        pointer = None
        with suppress(IntegrityError):  # a damaged pointer is champion's to report: a promotion must still mend it
            pointer = self._pointer()
        return VersionInfo(
            manifest=read_manifest(self.folder / version),
            folder=self.folder / version,
            is_champion=pointer is not None and pointer["version"] == version,
            was_promoted=any(entry["version"] == version for entry in self.promotions()),
        )

    def add(self, network: PaperCNN, manifest: Manifest, evaluation_text: str = "") -> VersionInfo:
        """Store a trained network as a version that does not serve."""
        folder = self.folder / manifest.version
        return VersionInfo(save_bundle(folder, network, manifest, evaluation_text), folder, False, False)

    def champion(self) -> Classifier:
        """The classifier that serves: the promoted version, else the starter when settings allow it.

        Milliseconds when nothing changed since the last call; a promotion is seen by the next call. Raises NoModelError when
        nothing may serve, IntegrityError when what should serve was changed.
        """
        pointer = self._pointer()
        folder = starter_folder() if pointer is None else self.folder / pointer["version"]
        if pointer is None:
            self._check_starter(folder)
        try:
            stamp = (str(folder), (folder / MANIFEST_NAME).stat().st_mtime_ns)
        except OSError as error:
            raise NoModelError(f"The promoted version {folder.name} is gone from {self.folder}. {ADVICE}") from error
        with self._lock:
            if self._loaded is None or self._loaded[0] != stamp:
                promoted = None if pointer is None else pointer["manifest_sha256"]
                self._loaded = (stamp, load_classifier(folder, self.settings.device, promoted))
            classifier = self._loaded[1]
        problem = self._class_mismatch(classifier.manifest)
        if problem:
            raise NoModelError(f"{problem} {ADVICE}")
        return classifier

    def promote(self, version: str, by: str, reason: str) -> VersionInfo:
        """Let a version serve from now on, and record who decided it and why. An earlier version is rolled back to the same way.

        Raises NotFoundError, IntegrityError, or InputError when the version may not be promoted.
        """
        if not by.strip() or not reason.strip():
            raise InputError("A promotion needs who decided it and the reason: give both.")
        with self._exclusive():
            info = self.get(version)
            load_classifier(info.folder)
            problem = self._class_mismatch(info.manifest)
            if problem:
                raise InputError(f"{problem} It is not promoted.")
            if info.manifest.evaluation is None:
                raise InputError(
                    f"{version} has no out-of-fold evaluation, so nobody knows how it does. It is not promoted: "
                    "train again with lesions that were saved before the model was asked about their image."
                )
            previous = self.promotions()[-1:]
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
                "by": by.strip(),
                "reason": reason.strip(),
                "manifest_sha256": manifest_digest(info.folder),
            }
            _append_line(self.folder / RECORD_NAME, json.dumps(entry, ensure_ascii=False).encode())
            write_atomically(self.folder / POINTER_NAME, json.dumps(entry, ensure_ascii=False).encode())
        return VersionInfo(info.manifest, info.folder, True, True)

    def promotions(self) -> tuple[dict[str, Any], ...]:
        """Every promotion in order: time, version, previous, trained_on, by, reason, manifest_sha256."""
        path = self.folder / RECORD_NAME
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

    def _class_mismatch(self, manifest: Manifest) -> str | None:
        """What differs between the version's classes and the configured ones, order included."""
        configured = tuple(self.settings.classes.names)
        if manifest.class_names == configured:
            return None
        return (
            f"{manifest.version} chooses among {', '.join(manifest.class_names)}; the configured classes are "
            f"{', '.join(configured)}."
        )

    def _check_starter(self, folder: Path) -> None:
        if not self.settings.allow_starter:
            raise NoModelError(f"No version is promoted and the starter is switched off (LESIONLABEL_ALLOW_STARTER). {ADVICE}")
        problem = self._class_mismatch(read_manifest(folder))
        if problem:
            raise NoModelError(f"No version is promoted, and the starter does not fit: {problem} {ADVICE}")

    @contextmanager
    def _exclusive(self) -> Iterator[None]:
        """One promotion at a time, over threads and processes."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / ".lock").open("wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield


def _append_line(path: Path, line: bytes) -> None:
    """Add a line, on its own even after one that was cut short, and fsync."""
    cut_short = path.exists() and not path.read_bytes().endswith(b"\n")
    with path.open("ab") as file:
        file.write(b"\n" * cut_short + line + b"\n")
        file.flush()
        os.fsync(file.fileno())
