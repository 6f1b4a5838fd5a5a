"""Messages of type multipart/related (RFC 2387), as DICOMweb sends instances: read and written a piece at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from email.message import Message
from pathlib import Path
from typing import BinaryIO

DICOM_MULTIPART = 'multipart/related; type="application/dicom"'
#: No part's header is longer.
MAX_HEADER = 1 << 16
PIECE = 1 << 20


def boundary_of(content_type: str) -> bytes | None:
    """What separates the parts of a message of that Content-Type; None where it has no parts."""
    message = Message()
    message["Content-Type"] = content_type
    boundary = message.get_boundary()
    return None if message.get_content_type() != "multipart/related" or not boundary else boundary.encode("latin-1", "replace")


def parts_to_files(chunks: Iterator[bytes], boundary: bytes, file_of: Callable[[int], Path | None]) -> int:
    """Write the body of each part to file_of(its number from 0), None for one that is not wanted. Returns how many were whole.

    Holds a few chunks at most, whatever the size of a part. A message that ends too soon gives fewer parts.
    """
    marker = b"\r\n--" + boundary
    held = bytearray(b"\r\n")  # so that the first boundary looks like the others
    whole = 0
    inside = False
    with ExitStack() as stack:
        target: BinaryIO | None = None
        for chunk in chunks:
            held += chunk
            while True:
                if inside:
                    at = held.find(marker)
                    body = held[:at] if at >= 0 else held[: max(0, len(held) - len(marker))]
                    if target is not None:
                        target.write(body)
                    del held[: len(body)]
                    if at < 0:
                        break
                    stack.close()
                    target, inside, whole = None, False, whole + 1
                at = held.find(marker)
                start = held.find(b"\r\n\r\n", at + len(marker)) if at >= 0 else -1
                if at >= 0 and held[at + len(marker) : at + len(marker) + 2] == b"--":
                    return whole
                if start < 0:
                    if len(held) > MAX_HEADER:
                        return whole
                    break
                del held[: start + 4]
                path = file_of(whole)
                target, inside = (None if path is None else stack.enter_context(path.open("wb"))), True
    return whole


def multipart_body(paths: Sequence[Path], boundary: str) -> Iterator[bytes]:
    """The files as one message, in pieces."""
    for path in paths:
        yield _before(boundary)
        with path.open("rb") as file:
            while piece := file.read(PIECE):
                yield piece
        yield b"\r\n"
    yield _end(boundary)


def multipart_length(paths: Sequence[Path], boundary: str) -> int:
    """The number of bytes of multipart_body."""
    return sum(len(_before(boundary)) + path.stat().st_size + 2 for path in paths) + len(_end(boundary))


def _before(boundary: str) -> bytes:
    return f"--{boundary}\r\nContent-Type: application/dicom\r\n\r\n".encode()


def _end(boundary: str) -> bytes:
    return f"--{boundary}--\r\n".encode()
