"""All results of a QIDO-RS query, page by page, and around those that the PACS itself cannot read.

Orthanc 1.10 fails a whole answer (status 400 or 500) when one file that it would be made of is damaged or missing, and answers
every page without that file. So pages get smaller until each such result is alone, and that one is left out and counted.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from lesionlabel.imaging.dicomweb_answers import again, once, text_of
from lesionlabel.lesions.errors import PacsError, PacsFaultError

PAGE = 1000
MAX_LISTED = 100_000
#: Beyond so many a disk of the PACS is lost, and no list of what is left is of use.
MAX_UNREADABLE = 200
SOP_INSTANCE, STUDY, SERIES = "00080018", "0020000D", "0020000E"
UIDS = (STUDY, SERIES, SOP_INSTANCE)

Items = list[dict[str, Any]]
#: How often a request is made: `again` or `once`.
Tries = Callable[[Callable[[], Items]], Items]
#: A page of a query by limit and offset (PS3.18 8.3.4.4), in DICOM JSON.
Page = Callable[[int, int, Tries], Items]


@dataclass(frozen=True)
class Found:
    """What a query finds. unreadable: how many results more the PACS holds and cannot read."""

    items: Items
    unreadable: int


def find_all(page: Page) -> Found:
    """All results of a query, whatever the server's own limit of one answer is. Raises PacsError."""
    seen: dict[tuple[str, ...], dict[str, Any]] = {}
    offset = unreadable = 0
    tries: Tries = again
    size = PAGE
    while len(seen) < MAX_LISTED:
        try:
            items = page(size, offset, tries)
        except PacsFaultError:
            if tries is again:
                # Where nothing has to be read, a PACS that fails too fails at everything, and one that finds something ignores
                # the offset.
                if page(1, MAX_LISTED, once):
                    raise
                tries, size = once, 1
            elif size > 1:
                size //= 2
            elif unreadable < MAX_UNREADABLE:
                offset, unreadable = offset + 1, unreadable + 1
            else:
                raise PacsError(f"The PACS cannot read more than {MAX_UNREADABLE} results. Is a disk of it lost?") from None
            continue
        offset += len(items)
        new = {key: item for item in items if (key := tuple(text_of(item, tag) for tag in UIDS)) not in seen}
        # A server that does not know offset answers the same again.
        if not new:
            return Found(list(seen.values()), unreadable)
        seen.update(new)
        size = min(2 * size, PAGE)
    raise PacsError(f"The PACS lists more than {MAX_LISTED} results. Serve a part of it, such as an Orthanc of its own.")
