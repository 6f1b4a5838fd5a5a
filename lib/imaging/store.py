"""The volume store: images converted once, then memory-mapped, keyed by content and bounded on disk."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import time
from pathlib import Path

import numpy as np
from filelock import FileLock, Timeout

from lesionlabel.imaging.content_key import ContentKeys
from lesionlabel.imaging.read import read_volume
from lesionlabel.imaging.sidecar import info_beside
from lesionlabel.lesions.errors import InputError
from lesionlabel.lesions.volume import Geometry, Volume

VOXELS, HEADER = "voxels.npy", "volume.json"
#: A half-made entry of this age in seconds was left by a process that was killed.
ABANDONED_S = 3600


class VolumeStore:
    """Opens CT images in milliseconds after the first time, for any number of threads and processes.

    folder: where converted volumes are kept, one folder each, named by the SHA-256 of the image's content. max_bytes: bound
    of their size on disk; beyond it the volumes that were opened longest ago are removed, never the one being opened, so a
    single volume larger than the bound is kept alone. A volume in use stays valid when it is removed from disk.
    """

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self._entries = folder / "volumes"
        self._locks = folder / "locks"
        self._max_bytes = max_bytes
        self._keys = ContentKeys(folder / "keys")
        for made in (self._entries, self._locks):
            made.mkdir(parents=True, exist_ok=True)

    def open(self, path: Path) -> Volume:
        """The volume of a NIfTI or NRRD file or a DICOM folder; its voxels are a read-only memory map.

        Raises what read_volume raises, InputError when the image changes meanwhile. A damaged entry is made anew.
        """
        key = self._keys.key(path)
        volume = self._mapped(key)
        if volume is None:
            with FileLock(self._locks / key):
                volume = self._mapped(key)
                if volume is None:
                    self._convert(path, key)
                    volume = self._mapped(key)
                    # Another process may have evicted it in the meantime; what was read is still right.
                    volume = volume if volume is not None else read_volume(path)
            self._evict(key)
        info = volume.info if path.is_dir() else info_beside(path)
        return Volume(volume.voxels, volume.geometry, volume.native, info)

    def _mapped(self, key: str) -> Volume | None:
        """The stored volume, or None where it is absent or damaged."""
        entry = self._entries / key
        try:
            os.utime(entry)  # the time of last opening, which eviction goes by
            return _map(entry)
        except (OSError, ValueError, KeyError, TypeError, EOFError):
            return None

    def _convert(self, path: Path, key: str) -> None:
        """Read the image and put the entry in place whole. The caller holds the key's lock."""
        volume = read_volume(path)
        if self._keys.key(path) != key:
            raise InputError(f"{path.name} changes while it is read. Try again when it is written completely.")
        made = Path(tempfile.mkdtemp(dir=self._entries, prefix=".new-"))
        try:
            with (made / VOXELS).open("wb") as file:
                np.save(file, np.ascontiguousarray(volume.voxels), allow_pickle=False)
                file.flush()
                os.fsync(file.fileno())
            header = {"geometry": _to_json(volume.geometry), "native": _to_json(volume.native), "info": volume.info}
            (made / HEADER).write_text(json.dumps(header), encoding="utf-8")
            self._remove(key)
            made.rename(self._entries / key)
        finally:
            shutil.rmtree(made, ignore_errors=True)

    def _remove(self, key: str) -> None:
        """Take the entry away at once, then delete it, so that nobody finds half of it."""
        gone = Path(tempfile.mkdtemp(dir=self._entries, prefix=".old-"))
        try:
            (self._entries / key).rename(gone / key)
        except FileNotFoundError:
            return
        finally:
            shutil.rmtree(gone, ignore_errors=True)

    def _evict(self, opened: str) -> None:
        """Remove what was opened longest ago until the rest fits; entries that are being opened elsewhere are passed over."""
        entries = []
        for entry in self._entries.iterdir():
            try:
                if entry.name.startswith("."):
                    if time.time() - entry.stat().st_mtime > ABANDONED_S:
                        shutil.rmtree(entry, ignore_errors=True)
                else:
                    entries.append((entry.stat().st_mtime_ns, sum(file.stat().st_size for file in entry.iterdir()), entry.name))
            except FileNotFoundError:
                continue
        total = sum(size for _, size, _ in entries)
        for _, size, key in sorted(entries):
            if total <= self._max_bytes:
                return
            if key == opened:
                continue
            try:
                with FileLock(self._locks / key, timeout=0):
                    self._remove(key)
            except Timeout:
                continue
            total -= size


def _map(entry: Path) -> Volume:
    header = json.loads((entry / HEADER).read_bytes())
    geometry = _from_json(header["geometry"])
    voxels = np.load(entry / VOXELS, mmap_mode="r", allow_pickle=False)
    if voxels.shape != geometry.shape or voxels.dtype != np.int16:
        raise ValueError(f"The voxels in {entry} are {voxels.shape} {voxels.dtype}, its header says {geometry.shape} int16.")
    return Volume(voxels, geometry, _from_json(header["native"]), header["info"])


def _to_json(geometry: Geometry) -> dict[str, list[int] | list[list[float]]]:
    return {"shape": list(geometry.shape), "affine": geometry.affine.tolist()}


def _from_json(record: dict[str, list]) -> Geometry:
    slices, rows, columns = (int(n) for n in record["shape"])
    return Geometry((slices, rows, columns), np.array(record["affine"], dtype=np.float64).reshape(4, 4))
