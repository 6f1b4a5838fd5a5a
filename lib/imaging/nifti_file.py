"""Whether a NIfTI file is whole. ITK's reader fills what is cut off with zeros, and turns NaN into zeros: both in silence."""

from __future__ import annotations

import gzip
import math
import struct
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np

from lesionlabel.lesions.errors import InputError, NotCTError

#: Data types of NIfTI that can hold NaN, by their code, and the bytes of every type that is a number.
FLOATS = {16: "f4", 64: "f8"}
BYTES = {2: 1, 4: 2, 8: 4, 16: 4, 64: 8, 256: 1, 512: 2, 768: 4, 1024: 8, 1280: 8, 32: 8, 128: 3, 1536: 16, 1792: 16, 2304: 4}
MAX_BYTES = 2**33
BLOCK = 1 << 22
#: Bytes after the voxels that are still read, to check the sum at the end of a .gz file.
TRAILING = 1 << 20


@dataclass(frozen=True)
class _Layout:
    order: str
    datatype: int
    start: int
    count: int

    @property
    def end(self) -> int:
        return self.start + self.count * BYTES[self.datatype]


@contextmanager
def whole_nifti(path: Path) -> Iterator[Path]:
    """The path of an uncompressed, complete NIfTI file with the content of path; made for the time of the block if need be.

    Raises InputError when the file is no NIfTI, damaged or cut short; NotCTError when voxels are NaN or infinite.
    """
    if not path.name.casefold().endswith(".gz"):
        with path.open("rb") as file:
            layout = _layout(path, file)
        if path.stat().st_size < layout.end:
            raise InputError(
                f"{path.name} cannot be read: it has {path.stat().st_size:,} of {layout.end:,} bytes, it was cut short."
            )
        _check_finite(path, path, layout)
        yield path
        return
    with tempfile.TemporaryDirectory() as folder:
        plain = Path(folder) / "whole.nii"
        try:
            with gzip.open(path) as packed:
                layout = _layout(path, packed)
                packed.seek(0)
                with plain.open("wb") as target:
                    _copy(path, packed, target, layout.end)
        except (OSError, EOFError, zlib.error) as error:
            raise InputError(f"{path.name} cannot be read: it is damaged or was cut short ({error}).") from error
        _check_finite(path, plain, layout)
        yield plain


def _layout(path: Path, file: IO[bytes] | gzip.GzipFile) -> _Layout:
    """Where the voxels are, from the header of NIfTI-1 (348 bytes) or NIfTI-2 (540 bytes)."""
    head = file.read(540)
    for order in "<>":
        if len(head) < 348:
            break
        size = struct.unpack_from(order + "i", head)[0]
        if size == 348 and head[344:347] == b"n+1":
            sizes = struct.unpack_from(order + "8h", head, 40)
            datatype, start = struct.unpack_from(order + "h", head, 70)[0], struct.unpack_from(order + "f", head, 108)[0]
        elif size == 540 and len(head) == 540 and head[4:7] == b"n+2":
            sizes = struct.unpack_from(order + "8q", head, 16)
            datatype, start = struct.unpack_from(order + "h", head, 12)[0], struct.unpack_from(order + "q", head, 168)[0]
        else:
            continue
        shape = sizes[1 : 1 + sizes[0]]
        if not 1 <= sizes[0] <= 7 or min(shape) < 1 or datatype not in BYTES or not (math.isfinite(start) and start >= size):
            break
        layout = _Layout(order, datatype, int(start), math.prod(shape))
        if layout.end > MAX_BYTES:
            raise InputError(f"{path.name} is too large ({' × '.join(map(str, shape))}). Crop it.")
        return layout
    raise InputError(f"{path.name} cannot be read: it is no NIfTI file (.nii with header and voxels in one), or damaged.")


def _copy(path: Path, packed: gzip.GzipFile, target: IO[bytes], wanted: int) -> None:
    left = wanted
    while left > 0:
        block = packed.read(min(BLOCK, left))
        if not block:
            raise InputError(f"{path.name} cannot be read: it has {wanted - left:,} of {wanted:,} bytes, it was cut short.")
        target.write(block)
        left -= len(block)
    packed.read(TRAILING)


def _check_finite(path: Path, plain: Path, layout: _Layout) -> None:
    if layout.datatype not in FLOATS:
        return
    kind = np.dtype(layout.order + FLOATS[layout.datatype])
    values = np.memmap(plain, dtype=kind, mode="r", offset=layout.start, shape=(layout.count,))
    bad = sum(int(np.count_nonzero(~np.isfinite(values[at : at + BLOCK]))) for at in range(0, layout.count, BLOCK))
    if bad:
        raise NotCTError(not_finite(path, bad))


def not_finite(path: Path, count: int) -> str:
    """The message for voxels that are no numbers."""
    return f"{path.name} has {count:,} NaN or infinite voxels; HU must be finite. Fill them with -1024 (air)."
