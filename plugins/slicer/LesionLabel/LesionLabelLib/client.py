"""The server's REST interface, over http.client alone: Slicer's Python comes with no other."""

from __future__ import annotations

import http.client
import json
import os
import socket
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

from .errors import ReaderError, ServerError, UnreachableError
from .multipart import decode, encode

#: Seconds to wait for the next bytes of an answer. A file is longer on the way, but never silent for so long.
QUICK_S, SLOW_S = 20.0, 120.0
CHUNK = 1 << 20
SHORT = 400


class Client:
    """Asks one server. Each request has a connection and a timeout of its own, so it can be used from any thread.

    url: http or https, with or without a path. ca_file: PEM certificates to trust besides the system's. client_id: the reader.
    Raises ReaderError for an address or a file that cannot be used. Every method raises UnreachableError or ServerError.
    """

    def __init__(self, url: str, client_id: str, ca_file: str = "", quick_s: float = QUICK_S, slow_s: float = SLOW_S) -> None:
        given = url.strip()
        parts = urlsplit(given if "://" in given else f"http://{given}")
        try:
            port = parts.port
        except ValueError:
            port = -1
        if parts.scheme not in ("http", "https") or not parts.hostname or port == -1 or "@" in parts.netloc:
            raise ReaderError(f"{given!r} is no server's address. It looks like http://127.0.0.1:8000.")
        self.url = f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"
        self.client_id = client_id.strip()
        self._host, self._port, self._base = parts.hostname, port, parts.path.rstrip("/")
        self._quick_s, self._slow_s = quick_s, slow_s
        self._tls = _tls(ca_file.strip()) if parts.scheme == "https" else None

    def info(self) -> dict[str, Any]:
        return self._json("GET", "/info/")

    def next_sample(self, strategy: str, options: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """What the strategy offers, {} where there is nothing. Making synthetic examples takes a while."""
        body = json.dumps({**(options or {}), "client_id": self.client_id}).encode()
        return self._json("POST", f"/activelearning/{quote(strategy, safe='')}", body, "application/json", self._slow_s)

    def image_info(self, image: str) -> dict[str, Any]:
        return self._json("GET", f"/datastore/image/info?{urlencode({'image': image})}")

    def download_image(self, image: str, folder: Path) -> Path:
        """Write the image into folder under a name that says nothing of the patient. Returns the file once it is whole."""
        path = f"/datastore/image?{urlencode({'image': image})}"
        with self._ask("GET", path, timeout=self._slow_s) as answer:
            target = folder / f"case{_ending(answer.headers.get('content-disposition', ''))}"
            partial = folder / "case.partial"
            with partial.open("wb") as file:
                while chunk := answer.read(CHUNK):
                    file.write(chunk)
            expected = answer.headers.get("content-length")
            if expected is not None and partial.stat().st_size != int(expected):
                raise UnreachableError(f"The connection to {self.url} broke while the image came. Open the case again.")
            os.replace(partial, target)
        return target

    def infer(self, model: str, image: str, params: Mapping[str, Any], label: bytes | None = None) -> dict[str, Any]:
        """The answer as JSON. label: a segmentation as .nrrd."""
        query = urlencode({"image": image, "output": "json"})
        return self._form_json("POST", f"/infer/{quote(model, safe='')}?{query}", params, label)

    def infer_mask(self, model: str, image: str, params: Mapping[str, Any]) -> tuple[bytes, dict[str, Any]]:
        """The answer's file, .nrrd, and its JSON."""
        query = urlencode({"image": image, "output": "all"})
        asked = {**params, "result_extension": ".nrrd"}
        content_type, body = self._form("POST", f"/infer/{quote(model, safe='')}?{query}", asked, None)
        fields = decode(content_type, body)
        return fields.get("image", b""), _loads(fields.get("params", b"{}"), 502)

    def save_label(self, image: str, label: bytes, params: Mapping[str, Any], tag: str = "final") -> dict[str, Any]:
        """Save a segmentation, .nrrd. Returns what the server made of it."""
        query = urlencode({"image": image, "tag": tag})
        return self._form_json("PUT", f"/datastore/label?{query}", params, label)

    def heat_map(self, image: str, params: Mapping[str, Any], label: bytes) -> bytes:
        """The overlay as .nrrd. label: the lesion as a segmentation, .nrrd."""
        return self._form("POST", f"/api/v1/heat-map?{urlencode({'image': image})}", params, label)[1]

    def similar(self, image: str, params: Mapping[str, Any], label: bytes) -> dict[str, Any]:
        """Curated lesions that look alike. label: the lesion as a segmentation, .nrrd."""
        return self._form_json("POST", f"/api/v1/similar?{urlencode({'image': image})}", params, label)

    def _form_json(self, method: str, path: str, params: Mapping[str, Any], label: bytes | None) -> dict[str, Any]:
        return _loads(self._form(method, path, params, label)[1], 502)

    def _form(self, method: str, path: str, params: Mapping[str, Any], label: bytes | None) -> tuple[str, bytes]:
        files = {} if label is None else {"label": ("label.nrrd", label)}
        content_type, body = encode({"params": json.dumps({"client_id": self.client_id, **params})}, files)
        with self._ask(method, path, body, content_type, self._slow_s) as answer:
            return answer.headers.get("content-type", ""), answer.read()

    def _json(
        self, method: str, path: str, body: bytes | None = None, content_type: str = "", timeout: float | None = None
    ) -> dict[str, Any]:
        with self._ask(method, path, body, content_type, timeout or self._quick_s) as answer:
            return _loads(answer.read(), 502)

    def _ask(
        self, method: str, path: str, body: bytes | None = None, content_type: str = "", timeout: float = QUICK_S
    ) -> _Answer:
        """The open answer to a request that the server accepted."""
        if self._tls is not None:
            connection: http.client.HTTPConnection = http.client.HTTPSConnection(
                self._host, self._port, timeout=timeout, context=self._tls
            )
        else:
            connection = http.client.HTTPConnection(self._host, self._port, timeout=timeout)
        answer = _Answer(self.url, connection)
        try:
            answer.start(method, self._base + path, body, content_type)
            if answer.status >= 400:
                raise ServerError(answer.status, _reason(answer.status, answer.read()))
            if answer.status >= 300:
                raise ServerError(answer.status, f"{self.url} sends elsewhere. Give the address that it sends to.")
        except BaseException:
            answer.close()
            raise
        return answer


class _Answer:
    """A response whose network errors are sentences; closes its connection."""

    def __init__(self, url: str, connection: http.client.HTTPConnection) -> None:
        self._url, self._connection = url, connection
        self._response: http.client.HTTPResponse | None = None

    def start(self, method: str, path: str, body: bytes | None, content_type: str) -> None:
        headers = {"Content-Type": content_type} if content_type else {}
        try:
            self._connection.request(method, path, body, headers)
            self._response = self._connection.getresponse()
        except (OSError, http.client.HTTPException) as error:
            raise UnreachableError(_why(self._url, error)) from None
        self.status: int = self._response.status
        self.headers = self._response.headers

    def read(self, size: int | None = None) -> bytes:
        assert self._response is not None
        try:
            return self._response.read(size)
        except (OSError, http.client.HTTPException) as error:
            raise UnreachableError(_why(self._url, error)) from None

    def close(self) -> None:
        if self._response is not None:
            self._response.close()
        self._connection.close()

    def __enter__(self) -> _Answer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _tls(ca_file: str) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if ca_file:
        try:
            context.load_verify_locations(cafile=ca_file)
        except (OSError, ssl.SSLError):
            raise ReaderError(f"The certificate file {ca_file!r} cannot be read: it must hold certificates in PEM.") from None
    return context


def _why(url: str, error: Exception) -> str:
    """The network's error in a sentence."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return (
            f"The certificate of {url} is not trusted ({error.verify_message}). "
            "Name the file with your hospital's certificate authority in the module's settings."
        )
    if isinstance(error, ssl.SSLError):
        return f"No secure connection to {url}. Does the address begin with https, and does the server speak it?"
    if isinstance(error, (TimeoutError, socket.timeout)):
        return f"The server at {url} did not answer in time. Try again; if it stays so, ask who runs it."
    if isinstance(error, (http.client.HTTPException, ConnectionResetError, BrokenPipeError)):
        return f"The connection to {url} broke before the answer was there. Try again."
    return f"The server at {url} cannot be reached. Is the address right, and does the server run?"


def _reason(status: int, body: bytes) -> str:
    """The server's own sentence."""
    try:
        detail = json.loads(body)["detail"]
    except (ValueError, KeyError, TypeError):
        return f"The server answered {status} without a reason. Ask who runs it; its log has the time."
    if isinstance(detail, list):
        return "; ".join(str(entry.get("msg", entry)) if isinstance(entry, dict) else str(entry) for entry in detail)[:SHORT]
    return str(detail)


def _loads(body: bytes, status: int) -> dict[str, Any]:
    try:
        found = json.loads(body)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise ServerError(status, "The server's answer is not of the expected kind. Is this a LesionLabel server?")
    return found


def _ending(disposition: str) -> str:
    """The ending of the file that the server sends, which tells Slicer how to read it."""
    name = disposition.rpartition("filename")[2].strip("*=\"'; ").casefold()
    return next((ending for ending in (".nii.gz", ".nii", ".nrrd") if name.endswith(ending)), ".nii.gz")
