"""Who is who without saying so: pseudonyms by keyed hash, from identifiers that never leave this module."""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import json
import os
import re
import secrets
import tempfile
from pathlib import Path

from lesionlabel.lesions.errors import InputError, IntegrityError

KEY_FILE = "pseudonym.key"
KEY_BYTES = 32
#: 64 bits: among a million patients two share a pseudonym with a chance of 3 in 100 million.
HEX_DIGITS = 16


class Identity:
    """Pseudonyms that only this installation can make again. home: the folder with the key, which is made at first use.

    The key (0600) must be kept: without it the same patient gets another pseudonym. Raises IntegrityError when it is damaged.
    """

    def __init__(self, home: Path) -> None:
        self._key = _key(home / KEY_FILE)

    def patient(self, patient_id: str, issuer: str = "", study_uid: str = "", series_uid: str = "") -> str:
        """The pseudonym of (Patient ID, Issuer of Patient ID); without a Patient ID, of the study, else of the series.

        An empty Patient ID is never shared: two patients without one stay two. Raises InputError when all are empty.
        """
        patient_id, issuer = patient_id.strip(), issuer.strip()
        for parts in (("patient", patient_id, issuer), ("study", study_uid.strip()), ("series", series_uid.strip())):
            if parts[1]:
                return f"p-{self._digest(*parts)}"
        raise InputError("Patient ID, Study and Series Instance UID are all empty: nothing says whose image this is.")

    def image(self, *parts: str) -> str:
        """A short code for an image that is made of what identifies it."""
        return self._digest("image", *parts)

    def place(self, pseudonym: str) -> float:
        """Where a patient stands in [0, 1), for ever, so that a share of patients can be set apart at first sight."""
        return int(self._digest("place", pseudonym), 16) / 16**HEX_DIGITS

    def _digest(self, *parts: str) -> str:
        message = json.dumps(parts).encode()
        return hmac.new(self._key, message, hashlib.sha256).hexdigest()[:HEX_DIGITS]


def _key(path: Path) -> bytes:
    """The key in the file, made if there is none; when several processes make one at once, all use the first."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{KEY_FILE}.")
        try:
            with os.fdopen(handle, "w", encoding="ascii") as file:
                file.write(secrets.token_hex(KEY_BYTES))
                file.flush()
                os.fsync(file.fileno())
            with contextlib.suppress(FileExistsError):
                os.link(temporary, path)
        finally:
            Path(temporary).unlink(missing_ok=True)
    text = path.read_text(encoding="ascii", errors="replace").strip()
    if not re.fullmatch(rf"[0-9a-f]{{{2 * KEY_BYTES}}}", text):
        raise IntegrityError(
            f"The pseudonym key {path} is damaged. Restore it from a backup: a new key would rename all patients."
        )
    path.chmod(0o600)
    return bytes.fromhex(text)
