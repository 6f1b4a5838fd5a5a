"""Every version of every label and image ever saved. Folders are only added, never changed: the index is rebuilt from them."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from lesionlabel.lesions.files import sync

RECORD = "record.json"
#: The event of a label that was kept and never became current.
REFUSED = "refused"
#: The events of a label that was taken out of use, alone or with its image.
REMOVED = ("removed", "image removed", "image replaced")


@dataclass(frozen=True)
class Version:
    """One kept version. folder: where. file: the label or image, None where only a record was kept. info: as saved."""

    folder: Path
    file: Path | None
    info: dict[str, Any]
    event: str
    sha256: str | None


class History:
    """Kept versions under one folder: labels/<tag>/<image id>/<time>/ and images/<image id>/<time>/."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def keep_label(self, tag: str, image_id: str, file: Path | None, name: str, info: dict[str, Any], event: str) -> Version:
        """Copy a label file (None: the record alone) with its info as a new version. event: what happened, in one word."""
        return self._keep(self.folder / "labels" / tag / image_id, file, name, info, event, move=False)

    def keep_image(self, image_id: str, files: list[Path], info: dict[str, Any], event: str) -> Version:
        """Move an image, the first of files, and what lies beside it into a new version."""
        version = self._keep(self.folder / "images" / image_id, files[0], files[0].name, info, event, move=True)
        for extra in files[1:]:
            if extra.exists():
                shutil.move(extra, version.folder / extra.name)
        return version

    def labels(self, tag: str, image_id: str) -> list[Version]:
        """Versions of a label, oldest first."""
        return self._read(self.folder / "labels" / tag / image_id)

    def label_stamps(self, tag: str, image_id: str) -> tuple[str, ...]:
        """When the versions of a label were kept, oldest first: the names of their folders, which never change."""
        return tuple(folder.name for folder in self._folders(self.folder / "labels" / tag / image_id))

    def images(self, image_id: str) -> list[Version]:
        """Earlier versions of an image, oldest first."""
        return self._read(self.folder / "images" / image_id)

    def accepted(self, tag: str, image_id: str) -> list[Version]:
        """The versions of a label that have a file and were once current, oldest first."""
        return [version for version in self.labels(tag, image_id) if version.file is not None and version.event != REFUSED]

    def info_of(self, tag: str, image_id: str, file: Path) -> dict[str, Any] | None:
        """The info that was last saved with exactly this label file, None if it was never saved here."""
        versions = self.accepted(tag, image_id)
        if not versions:
            return None
        digest = sha256_of(file)
        return next((version.info for version in reversed(versions) if version.sha256 == digest), None)

    def _keep(self, parent: Path, file: Path | None, name: str, info: dict[str, Any], event: str, move: bool) -> Version:
        now = datetime.now(UTC)
        parent.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(dir=parent, prefix=".new-"))
        stored = None if file is None else staging / name
        digest = None
        if file is not None and stored is not None:
            digest = sha256_of(file)
            if not move:
                shutil.copyfile(file, stored)
                sync(stored)
        record = {"event": event, "kept_at": now.isoformat(), "file": stored and name, "sha256": digest, "info": info}
        (staging / RECORD).write_text(json.dumps(record, indent=2, default=str), encoding="utf-8")
        sync(staging / RECORD)
        folder = self._place(staging, parent, now)
        if file is not None and move:
            shutil.move(file, folder / name)
        sync(parent)
        return Version(folder, None if stored is None else folder / name, info, event, digest)

    def _place(self, staging: Path, parent: Path, now: datetime) -> Path:
        """Rename staging to the time, with a number where two fall together."""
        staging.chmod(0o755)
        stamp = stamp_of(now)
        for number in range(10_000):
            folder = parent / (stamp if number == 0 else f"{stamp}-{number:04d}")
            try:
                staging.rename(folder)
            except OSError:
                if not folder.exists():
                    raise
                continue
            return folder
        raise OSError(f"Too many versions within one microsecond in {parent}.")

    def _read(self, parent: Path) -> list[Version]:
        versions = []
        for folder in self._folders(parent):
            record = json.loads((folder / RECORD).read_text(encoding="utf-8"))
            file = folder / record["file"] if record["file"] else None
            versions.append(Version(folder, file, record["info"], record["event"], record["sha256"]))
        return versions

    @staticmethod
    def _folders(parent: Path) -> list[Path]:
        return sorted(path for path in parent.iterdir() if not path.name.startswith(".")) if parent.is_dir() else []


def stamp_of(when: datetime) -> str:
    """A moment in UTC as a name that sorts by time."""
    return when.strftime("%Y%m%dT%H%M%S.%fZ")


def sha256_of(file: Path) -> str:
    """SHA-256 of a file's content."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
