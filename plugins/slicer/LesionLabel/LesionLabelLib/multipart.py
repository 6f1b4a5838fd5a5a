"""Forms as bytes, to the server and from it (RFC 7578), because Slicer's Python comes with no library for them."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping

from .errors import ServerError

NAME = re.compile(rb'name="([^"]*)"', re.IGNORECASE)
BOUNDARY = re.compile(r'boundary="?([^";]+)"?', re.IGNORECASE)


def encode(fields: Mapping[str, str], files: Mapping[str, tuple[str, bytes]]) -> tuple[str, bytes]:
    """The content type and the body of a form. files: field -> (file name, content)."""
    boundary = secrets.token_hex(16)
    parts = []
    for name, value in fields.items():
        parts.append(f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'.encode())
    for name, (file_name, content) in files.items():
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"; filename="{file_name}"\r\n'
        parts.append(head.encode() + b"Content-Type: application/octet-stream\r\n\r\n" + content + b"\r\n")
    parts.append(f"--{boundary}--\r\n".encode())
    return f"multipart/form-data; boundary={boundary}", b"".join(parts)


def decode(content_type: str, body: bytes) -> dict[str, bytes]:
    """Field -> content. Raises ServerError where the answer is no form."""
    found = BOUNDARY.search(content_type)
    if not found:
        raise ServerError(502, "The server's answer is not of the expected kind. Is this a LesionLabel server?")
    fields = {}
    for part in (b"\r\n" + body).split(b"\r\n--" + found.group(1).encode())[1:]:
        head, separator, content = part.partition(b"\r\n\r\n")
        name = NAME.search(head)
        if separator and name:
            fields[name.group(1).decode("utf-8", "replace")] = content
    return fields
