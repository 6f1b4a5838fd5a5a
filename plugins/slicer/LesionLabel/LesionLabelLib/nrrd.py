"""Voxels as NRRD files in memory, with their place: what goes to the server and what it sends back."""

from __future__ import annotations

import gzip
import zlib
from typing import Any

import numpy as np

from .errors import ServerError
from .geometry import RAS_TO_LPS, Geometry

TYPES = {
    "uchar": "u1", "unsigned char": "u1", "uint8": "u1", "uint8_t": "u1", "signed char": "i1", "int8": "i1", "int8_t": "i1",
    "short": "i2", "int16": "i2", "int16_t": "i2", "ushort": "u2", "unsigned short": "u2", "uint16": "u2", "uint16_t": "u2",
    "int": "i4", "int32": "i4", "int32_t": "i4", "uint": "u4", "unsigned int": "u4", "uint32": "u4", "uint32_t": "u4",
    "float": "f4", "double": "f8",
}  # fmt: skip
BROKEN = "The file that the server sent cannot be read: {}. Try again; if it stays so, tell who runs the server."


def write(mask: np.ndarray[Any, Any], geometry: Geometry) -> bytes:
    """A labelmap (slices, rows, columns) of values up to 255 as a .nrrd file."""
    axes = " ".join(_vector(geometry.to_lps[:3, axis]) for axis in range(3))
    sizes = " ".join(str(size) for size in mask.shape[::-1])
    header = (
        "NRRD0004\ntype: uint8\ndimension: 3\nspace: left-posterior-superior\n"
        f"sizes: {sizes}\nspace directions: {axes}\nkinds: domain domain domain\n"
        f"encoding: gzip\nspace origin: {_vector(geometry.to_lps[:3, 3])}\n\n"
    )
    return header.encode("ascii") + gzip.compress(np.ascontiguousarray(mask, dtype=np.uint8).tobytes(), compresslevel=1)


def read(content: bytes) -> tuple[np.ndarray[Any, Any], Geometry]:
    """Voxels (slices, rows, columns) and their place. Raises ServerError for anything but a whole 3-D file with a place."""
    head, separator, data = content.partition(b"\n\n")
    lines = head.decode("ascii", "replace").splitlines()
    if not separator or not lines or not lines[0].startswith("NRRD"):
        raise ServerError(502, BROKEN.format("it is no NRRD file"))
    fields = dict(line.split(": ", 1) for line in lines[1:] if ": " in line and not line.startswith("#"))
    try:
        sizes = tuple(int(size) for size in fields["sizes"].split())
        kind = np.dtype(TYPES[fields["type"]]).newbyteorder(">" if fields.get("endian") == "big" else "<")
        vectors = [_numbers(vector) for vector in fields["space directions"].split()]
        space = {"left-posterior-superior": np.eye(4), "right-anterior-superior": RAS_TO_LPS, "LPS": np.eye(4), "RAS": RAS_TO_LPS}
        to_lps = np.eye(4)
        to_lps[:3, :3] = np.array(vectors).T
        to_lps[:3, 3] = _numbers(fields["space origin"])
        raw = gzip.decompress(data) if fields["encoding"] in ("gzip", "gz") else data
        columns, rows, slices = sizes
        voxels = np.frombuffer(raw, dtype=kind).reshape(slices, rows, columns)
        return voxels, Geometry((slices, rows, columns), space[fields["space"]] @ to_lps)
    except (KeyError, ValueError, OSError, EOFError, zlib.error):
        raise ServerError(502, BROKEN.format("its header or its voxels are not as expected")) from None


def _vector(values: Any) -> str:
    return "(" + ",".join(repr(float(value)) for value in values) + ")"


def _numbers(vector: str) -> list[float]:
    return [float(number) for number in vector.strip("()").split(",")]
