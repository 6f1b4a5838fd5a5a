"""Decisions on their way to the server: on this computer's disk before they are sent, until the server has them."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from .client import Client
from .errors import ReaderError

LABEL, RECORD = "label.nrrd", "decision.json"
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

    def send(self, client: Client, image: str, label: bytes, params: dict[str, Any]) -> dict[str, Any]:
        """Keep a decision, send it, and forget it once the server has it. Returns the server's answer.

        One of the same reader for the same image that still waits is set aside: it is older. Raises ReaderError, and then the
        decision waits.
        """
        params = {**params, "client_id": client.client_id}
        older = [one for one in self.waiting() if (one.server, one.image, one.reader) == (client.url, image, client.client_id)]
        kept = self._keep(client.url, image, label, params)
        answer = self._deliver(client, kept)
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
                self._deliver(client, one)
                delivered.append(one)
            except ReaderError as error:
                failed.append((one, str(error)))
        return delivered, failed

    def waiting(self) -> list[Waiting]:
        """All that was not confirmed, oldest first."""
        found = []
        for record in sorted((self.folder / WAITING).glob(f"[0-9]*/{RECORD}")):
            entry = json.loads(record.read_text(encoding="utf-8"))
            found.append(Waiting(record.parent, entry["server"], entry["image"], entry["params"], entry["made_at"]))
        return found

    def _keep(self, server: str, image: str, label: bytes, params: dict[str, Any]) -> Waiting:
        now = datetime.now(timezone.utc)
        place = self.folder / WAITING
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
            why = error.strerror or type(error).__name__
            raise ReaderError(
                f"The decision could not be kept in {place} ({why}), so it was not sent. Make room there, then submit again."
            ) from None
        return Waiting(kept, server, image, params, record["made_at"])

    def _deliver(self, client: Client, one: Waiting) -> dict[str, Any]:
        answer = client.save_label(one.image, (one.folder / LABEL).read_bytes(), one.params)
        shutil.rmtree(one.folder)
        return answer

    def _set_aside(self, one: Waiting) -> None:
        place = self.folder / REPLACED
        place.mkdir(parents=True, exist_ok=True)
        os.replace(one.folder, place / one.folder.name)


def _write(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
