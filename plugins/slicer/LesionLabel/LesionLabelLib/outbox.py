"""Decisions on their way to the server: on this computer's disk before they are sent, until the server has them."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from .client import Client
from .errors import NotKeptError, ReaderError

LABEL, RECORD = "label.nrrd", "decision.json"
#: An empty file beside a record that could not be taken away: the decision does not wait any more.
DONE = "done"
WAITING, REPLACED = "waiting", "replaced"


@dataclass(frozen=True)
class Waiting:
    """A decision that the server does not have yet. made_at: UTC, ISO 8601."""

    folder: Path
    server: str
    image: str
    params: dict[str, Any]
    made_at: str

    @property
    def reader(self) -> str:
        return str(self.params.get("client_id", ""))


class Outbox:
    """Decisions below a folder that only this user can read. None is ever deleted before the server has confirmed it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        # For a disk that takes not even the mark.
        self._done: set[Path] = set()

    def send(self, client: Client, image: str, label: bytes, params: dict[str, Any]) -> dict[str, Any]:
        """Keep a decision, send it, and forget it once the server has it. Returns the server's answer.

        One of the same reader for the same image that still waits is set aside: it is older. Raises NotKeptError where the disk
        does not take the decision, which is not sent then, and any other ReaderError where it waits.
        """
        params = {**params, "client_id": client.client_id}
        older = [one for one in self.waiting() if (one.server, one.image, one.reader) == (client.url, image, client.client_id)]
        kept = self._keep(client.url, image, label, params)
        answer = self._deliver(client, kept, label)
        for one in older:
            self._set_aside(one)
        return answer

    def send_again(self, client: Client) -> tuple[list[Waiting], list[tuple[Waiting, str]]]:
        """Send what waits for that server and its reader, oldest first.

        Returns what was delivered, and what was not with the reason.
        """
        delivered, failed = [], []
        for one in self.waiting():
            if (one.server, one.reader) != (client.url, client.client_id):
                continue
            try:
                self._deliver(client, one, _label_of(one))
                delivered.append(one)
            except FileNotFoundError:
                continue  # another 3D Slicer has just delivered it
            except ReaderError as error:
                failed.append((one, str(error)))
        return delivered, failed

    def waiting(self) -> list[Waiting]:
        """All that was not confirmed, oldest first, without what cannot be read."""
        return [one for _, one in self._entries() if one is not None]

    def damaged(self) -> list[Path]:
        """The folders of decisions that were not confirmed and whose record cannot be read: they are not sent."""
        return [folder for folder, one in self._entries() if one is None]

    def _entries(self) -> Iterator[tuple[Path, Waiting | None]]:
        """Folder and decision, oldest first; None where the record cannot be read."""
        for record in sorted((self.folder / WAITING).glob(f"[0-9]*/{RECORD}")):
            folder = record.parent
            if folder in self._done or (folder / DONE).exists():
                continue
            try:
                entry = json.loads(record.read_text(encoding="utf-8"))
                server, image, made_at = (str(entry[name]) for name in ("server", "image", "made_at"))
                yield folder, Waiting(folder, server, image, dict(entry["params"]), made_at)
            except FileNotFoundError:
                continue  # another 3D Slicer has just delivered it
            except (OSError, ValueError, KeyError, TypeError):
                yield folder, None

    def _keep(self, server: str, image: str, label: bytes, params: dict[str, Any]) -> Waiting:
        now = datetime.now(timezone.utc)
        place, staged = self.folder / WAITING, None
        try:
            place.mkdir(parents=True, exist_ok=True)
            self.folder.chmod(0o700)
            staged = Path(tempfile.mkdtemp(prefix=".new-", dir=place))
            _write(staged / LABEL, label)
            record = {"server": server, "image": image, "params": params, "made_at": now.isoformat(timespec="seconds")}
            _write(staged / RECORD, json.dumps(record, ensure_ascii=False, indent=1).encode())
            kept = place / f"{now:%Y%m%dT%H%M%S%f}-{staged.name[5:]}"
            os.replace(staged, kept)
        except OSError as error:
            if staged is not None:
                shutil.rmtree(staged, ignore_errors=True)
            why = error.strerror or type(error).__name__
            raise NotKeptError(
                f"The decision could not be kept in {place} ({why}), so it was not sent. Make room there, then submit again."
            ) from None
        return Waiting(kept, server, image, params, record["made_at"])

    def _deliver(self, client: Client, one: Waiting, label: bytes) -> dict[str, Any]:
        """Once the server has it, it is delivered, whatever the disk says to its removal. The record goes first: without it
        nothing waits, even where the removal is cut off."""
        answer = client.save_label(one.image, label, one.params)
        try:
            (one.folder / RECORD).unlink()
        except OSError:
            self._mark_done(one)
        else:
            shutil.rmtree(one.folder, ignore_errors=True)
        return answer

    def _set_aside(self, one: Waiting) -> None:
        place = self.folder / REPLACED
        try:
            place.mkdir(parents=True, exist_ok=True)
            os.replace(one.folder, place / one.folder.name)
        except OSError:
            self._mark_done(one)

    def _mark_done(self, one: Waiting) -> None:
        self._done.add(one.folder)
        with suppress(OSError):
            (one.folder / DONE).touch()


def _label_of(one: Waiting) -> bytes:
    """Raises FileNotFoundError where it is gone with its record, ReaderError where it is there and cannot be read."""
    try:
        return (one.folder / LABEL).read_bytes()
    except OSError as error:
        if isinstance(error, FileNotFoundError) and not (one.folder / RECORD).exists():
            raise
        why = error.strerror or type(error).__name__
        raise ReaderError(f"The outline kept in {one.folder} cannot be read ({why}), so it was not sent.") from None


def _write(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
