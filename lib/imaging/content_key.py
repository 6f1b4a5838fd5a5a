"""The SHA-256 of an image's bytes, remembered for as long as the file's size and times stay the same."""

from __future__ import annotations

import hashlib
import json
import os
import threading
from pathlib import Path

from lesionlabel.imaging.file_hash import hash_file
from lesionlabel.imaging.series import files_below, name_below
from lesionlabel.lesions.errors import InputError, NotFoundError
from lesionlabel.lesions.files import write_atomically

#: Raised when what a cached volume holds changes meaning, so that older entries are made anew.
FORMAT = "lesionlabel-volume-2"

Stamp = tuple[tuple[str, int, int, int], ...]


class ContentKeys:
    """Names images by content. folder: where hashes are remembered between processes, one small file an image."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._known: dict[str, tuple[Stamp, str]] = {}
        self._lock = threading.Lock()

    def key(self, path: Path) -> str:
        """The key of a file, or of all files in a folder. Raises NotFoundError, InputError when the file keeps changing."""
        name = os.fspath(path.absolute())
        for _ in range(3):
            stamp = _stamp(Path(name))
            known = self._remembered(name)
            if known is not None and known[0] == stamp:
                return known[1]
            key = _hash(Path(name))
            if _stamp(Path(name)) == stamp:
                self._remember(name, stamp, key)
                return key
        raise InputError(f"{path.name} changes while it is read. Try again when it is written completely.")

    def _remembered(self, name: str) -> tuple[Stamp, str] | None:
        with self._lock:
            if name in self._known:
                return self._known[name]
        try:
            record = json.loads(self._file(name).read_bytes())
            found = tuple((str(n), int(s), int(m), int(i)) for n, s, m, i in record["stamp"]), str(record["key"])
        except (OSError, ValueError, KeyError, TypeError):
            return None
        with self._lock:
            self._known[name] = found
        return found

    def _remember(self, name: str, stamp: Stamp, key: str) -> None:
        with self._lock:
            self._known[name] = (stamp, key)
        write_atomically(self._file(name), json.dumps({"stamp": stamp, "key": key}).encode())

    def _file(self, name: str) -> Path:
        return self._folder / f"{hashlib.sha256(os.fsencode(name)).hexdigest()[:32]}.json"


def _stamp(path: Path) -> Stamp:
    """Name, size, time of change and inode of the file, or of every file in the folder."""
    try:
        if not path.is_dir():
            found = path.stat()
            return (("", found.st_size, found.st_mtime_ns, found.st_ino),)
        stats = [(name_below(file, path), file.stat()) for file in files_below(path)]
    except (FileNotFoundError, NotADirectoryError):
        raise NotFoundError(f"There is no image at {path}.") from None
    return tuple((name, found.st_size, found.st_mtime_ns, found.st_ino) for name, found in stats)


def _hash(path: Path) -> str:
    digest = hashlib.sha256(FORMAT.encode())
    # A DICOM folder is read as a series, a file by its ending, so what the same bytes mean depends on it.
    if path.is_dir():
        for file in files_below(path):
            digest.update(hash_file(file).encode())
    else:
        digest.update(path.suffixes[-1].casefold().encode() if path.suffixes else b"")
        digest.update(hash_file(path).encode())
    return digest.hexdigest()
