"""What a DICOMweb server's answers say: elements of DICOM JSON (PS3.18 F), and what went wrong in words that name no address."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

import httpx

from lesionlabel.lesions.errors import InputError, NotFoundError, PacsError, PacsFaultError

T = TypeVar("T")
#: A list of instances is some kilobytes each; an answer beyond this is none.
MAX_JSON_BYTES = 256 * 2**20
#: Seconds between tries of a reading request.
PAUSES_S = (0.5, 1.0, 2.0)
PASSING = frozenset({408, 429, 500, 502, 503, 504})
UID = re.compile(r"[0-9]+(\.[0-9]+)*")


def is_uid(text: str) -> bool:
    """Whether text is a DICOM UID (PS3.5 9.1); leading zeros in a part are common and let through."""
    return len(text) <= 64 and UID.fullmatch(text) is not None


def require_uid(text: str) -> str:
    """Return text. Raises InputError unless it is a UID: it goes into an address."""
    if not is_uid(text):
        raise InputError("That is no DICOM UID (digits and dots, at most 64).")
    return text


def text_of(item: Mapping[str, Any], tag: str) -> str:
    """The first value of an element in DICOM JSON as text, "" where there is none."""
    element = item.get(tag)
    values = element.get("Value") if isinstance(element, dict) else None
    return "" if not isinstance(values, list) or not values or values[0] is None else str(values[0])


def items_of(item: Mapping[str, Any], tag: str) -> list[dict[str, Any]]:
    """The items of a sequence in DICOM JSON."""
    element = item.get(tag)
    values = element.get("Value") if isinstance(element, dict) else None
    return [value for value in values if isinstance(value, dict)] if isinstance(values, list) else []


@contextmanager
def told() -> Iterator[None]:
    """What can go wrong on the way as PacsError, in words that name no address."""
    try:
        yield
    except httpx.TimeoutException:
        raise PacsError("The PACS did not answer in time. Try again later, or raise LESIONLABEL_DICOMWEB_TIMEOUT_S.") from None
    except httpx.TransportError as error:
        if "CERTIFICATE_VERIFY_FAILED" in str(error):
            raise PacsError(
                "The PACS shows a certificate that is not trusted. Name the file of the hospital's certificates in "
                "LESIONLABEL_DICOMWEB_CA_FILE."
            ) from None
        raise PacsError(
            "The PACS cannot be reached. Ask who runs it, and try again later; what was saved here is kept."
        ) from None
    except httpx.HTTPError:
        raise PacsError("The PACS answered something that is no HTTP. Is its address right?") from None


def again(ask: Callable[[], T], *, faults: bool = True) -> T:
    """What ask returns, tried again after a pause where the PACS was away, slow or busy. Raises PacsError, or what ask raises.

    faults: whether it is tried again also where the PACS fails at what it was asked.
    """
    for pause in PAUSES_S:
        try:
            with told():
                return ask()
        except PacsError as error:
            if not error.passing or (isinstance(error, PacsFaultError) and not faults):
                raise
            time.sleep(pause)
    with told():
        return ask()


def faults_once(ask: Callable[[], T]) -> T:
    """As `again`, but what the PACS fails at is not tried again."""
    return again(ask, faults=False)


def later(ask: Callable[[], T]) -> T:
    """As `faults_once`, after a pause."""
    time.sleep(min(PAUSES_S, default=0.0))
    return faults_once(ask)


def refusal(status: int, what: str) -> Exception:
    """What a status other than success means: NotFoundError or PacsError. what: was asked of the PACS, as in "could not …"."""
    if status == 404:
        return NotFoundError("The PACS has no such thing (any more), or its address is not that of DICOMweb.")
    if status in (401, 403):
        return PacsError(
            f"The PACS refuses to {what} (status {status}). Check LESIONLABEL_DICOMWEB_USERNAME and "
            "LESIONLABEL_DICOMWEB_PASSWORD, and what that user may do.",
            passing=False,
        )
    if 300 <= status < 400:
        return PacsError(
            f"The PACS points to another address (status {status}). Serve that one: none is followed.", passing=False
        )
    if status == 500:
        return PacsFaultError(f"The PACS could not {what} (status {status}). Try again later; its own log says why.")
    if status == 400:
        return PacsFaultError(
            f"The PACS would not {what} (status {status}). Is its address that of DICOMweb? Its own log says why.", passing=False
        )
    if status in PASSING:
        return PacsError(f"The PACS could not {what} (status {status}). Try again later.")
    return PacsError(f"The PACS would not {what} (status {status}). Is its address that of DICOMweb?", passing=False)


def items_in(answer: httpx.Response) -> list[dict[str, Any]]:
    """The data sets of an answer in DICOM JSON. Raises PacsError."""
    return _parse(_read(answer, MAX_JSON_BYTES))


def _read(answer: httpx.Response, most: int) -> bytes:
    content = bytearray()
    for chunk in answer.iter_bytes():
        content += chunk
        if len(content) > most:
            raise PacsError(f"The PACS sent a list of more than {most // 2**20} MiB, so it is not read.", passing=False)
    return bytes(content)


def _parse(content: bytes) -> list[dict[str, Any]]:
    if not content.strip():
        return []
    try:
        found = json.loads(content)
    except ValueError:
        raise PacsError("The PACS answered no DICOM JSON. Is its address that of DICOMweb?", passing=False) from None
    if isinstance(found, dict):
        found = [found]
    if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
        raise PacsError("The PACS answered no DICOM JSON. Is its address that of DICOMweb?", passing=False)
    return found
