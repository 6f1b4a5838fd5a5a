"""What synthetic ROIs this site has made, by their pixels: recognised when file name and header say nothing any more.

A synthetic volume saved again by another program, one slice of it, or a renamed file would else look like a patient's.
"""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from lesionlabel.imaging.synthetic_pixels import BURNT_ROWS, grey_hu, to_grey, to_hu
from lesionlabel.lesions.files import sync
from lesionlabel.lesions.roi import ROI_SIZE

FILE, LOCK = "digests.bin", ".lock"
DIGEST_BYTES = 16
#: Pixels at each edge that are not looked at: a burnt-in mark lies there.
EDGE = BURNT_ROWS + 1
INT16_RANGE = (-32768, 32767)


class SyntheticRegister:
    """Digests of the middle 48 × 48 pixels of each synthetic ROI, whichever way it is turned or mirrored.

    folder: one file in it, 16 bytes for each form of a ROI, to which threads and processes append. Images are recognised in
    whole HU and in the 8-bit greys of a PNG, with a burnt-in mark and without; not once they were resampled or filtered.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._file = folder / FILE
        self._known: set[bytes] = set()
        self._read = 0
        self._lock = threading.Lock()

    def add(self, images: NDArray[np.float32]) -> None:
        """Remember ROIs (n, 64, 64) in [0, 1]: before their files are written, so that none is about that is not known.

        A ROI of one grey is left out: it could be anything, and import refuses it as empty. Raises InputError as to_hu.
        """
        hu = to_hu(images)
        found = {_digest(plane): None for form in (hu, grey_hu(to_grey(hu))) for plane in form if np.ptp(_middle(plane))}
        self._folder.mkdir(parents=True, exist_ok=True)
        with self._lock, FileLock(self._folder / LOCK):
            self._follow()
            new = [digest for digest in found if digest not in self._known]
            with self._file.open("ab") as file:
                # A process that died while writing may have left part of a digest, which would shift all later ones.
                file.truncate(file.tell() // DIGEST_BYTES * DIGEST_BYTES)
                file.write(b"".join(new))
                file.flush()
                os.fsync(file.fileno())
            sync(self._folder)
            self._follow()

    def knows(self, hu: NDArray[Any]) -> bool:
        """Whether hu (rows, columns) is such a ROI. Anything but 64 × 64 finite numbers is not."""
        values = np.asarray(hu)
        if values.shape != (ROI_SIZE, ROI_SIZE) or not np.all(np.isfinite(values)):
            return False
        digest = _digest(np.clip(np.rint(values), *INT16_RANGE).astype(np.int16))
        with self._lock:
            self._follow()
            return digest in self._known

    def knows_volume(self, voxels: NDArray[Any]) -> bool:
        """Whether any slice of voxels (slices, rows, columns), cut along any axis, is such a ROI."""
        return any(self.knows(plane) for plane in _square_planes(voxels))

    def _follow(self) -> None:
        """Read what was appended since. The caller holds the lock."""
        try:
            size = self._file.stat().st_size // DIGEST_BYTES * DIGEST_BYTES
        except FileNotFoundError:
            size = 0
        if size < self._read:  # another file was put in its place
            self._known, self._read = set(), 0
        if size == self._read:
            return
        with self._file.open("rb") as file:
            file.seek(self._read)
            content = file.read(size - self._read)
        whole = len(content) // DIGEST_BYTES * DIGEST_BYTES
        self._known.update(content[at : at + DIGEST_BYTES] for at in range(0, whole, DIGEST_BYTES))
        self._read += whole


def may_hold_rois(shape: tuple[int, ...]) -> bool:
    """Whether a volume of that shape has slices of the size of a ROI along any axis."""
    return len(shape) == 3 and sum(side == ROI_SIZE for side in shape) >= 2


def _square_planes(voxels: NDArray[Any]) -> Iterator[NDArray[Any]]:
    if not may_hold_rois(voxels.shape):
        return
    for axis in range(3):
        if all(side == ROI_SIZE for at, side in enumerate(voxels.shape) if at != axis):
            yield from np.moveaxis(voxels, axis, 0)


def _middle(plane: NDArray[np.int16]) -> NDArray[np.int16]:
    return plane[EDGE:-EDGE, EDGE:-EDGE]


def _digest(plane: NDArray[np.int16]) -> bytes:
    """The same for the plane's eight orientations: programs turn and mirror slices."""
    middle = _middle(plane).astype("<i2")
    turned = [np.rot90(side, quarter) for side in (middle, middle.T) for quarter in range(4)]
    return hashlib.blake2b(min(one.tobytes() for one in turned), digest_size=DIGEST_BYTES, person=b"ll-synthetic-1").digest()
