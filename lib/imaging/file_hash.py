"""The SHA-256 of a file, read in blocks."""

from __future__ import annotations

import hashlib
from pathlib import Path

from lesionlabel.lesions.errors import InputError

BLOCK = 1 << 20


def hash_file(path: Path) -> str:
    """SHA-256 of the file's bytes as hex. Raises InputError when the file may not be read."""
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            while block := file.read(BLOCK):
                digest.update(block)
    except OSError as error:
        raise InputError(f"{path.name} cannot be opened: {error.strerror}.") from error
    return digest.hexdigest()
