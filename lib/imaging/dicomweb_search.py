"""All results of a QIDO-RS query, page by page, and around those that the PACS itself cannot read.

Orthanc 1.10 fails a whole answer (status 400 or 500) when one file that it would be made of is damaged or missing, and answers
every page without that file. So pages get smaller until each such result is alone, and that one is left out and counted. What
some damaged files give (zeros, of a size that is 4 more than a multiple of 8) is a result without UIDs: it is counted likewise.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from lesionlabel.imaging.dicomweb_answers import again, faults_once, later, text_of
from lesionlabel.lesions.errors import PacsError, PacsFaultError

PAGE = 1000
MAX_LISTED = 100_000
#: Beyond so many a disk of the PACS is lost, and no list of what is left is of use.
MAX_UNREADABLE = 200
SOP_INSTANCE, STUDY, SERIES = "00080018", "0020000D", "0020000E"
UIDS = (STUDY, SERIES, SOP_INSTANCE)
#: A result has one of these, or says nothing.
OWN_UIDS = (SERIES, SOP_INSTANCE)

Items = list[dict[str, Any]]
#: How often a request is made: `again`, `faults_once` or `later`.
Tries = Callable[[Callable[[], Items]], Items]
#: A page of a query by limit and offset (PS3.18 8.3.4.4), in DICOM JSON.
Page = Callable[[int, int, Tries], Items]


@dataclass(frozen=True)
class Found:
    """What a query finds. unreadable: how many results more the PACS holds and cannot read."""

    items: Items
    unreadable: int


def is_blank(item: dict[str, Any]) -> bool:
    """Whether a result says of no series or instance that it is there: its file cannot be read."""
    return not any(text_of(item, tag) for tag in OWN_UIDS)


def find_all(page: Page, *, whole: bool = False) -> Found:
    """All results of a query, whatever the server's own limit of one answer is. Raises PacsError.

    whole: a list that lacks one is of no use, so it ends at the first result that cannot be read.
    """
    seen: dict[tuple[str, ...], dict[str, Any]] = {}
    offset = unreadable = 0
    tries: Tries = again
    size = PAGE
    while len(seen) < MAX_LISTED:
        if unreadable > MAX_UNREADABLE:
            raise PacsError(f"The PACS cannot read more than {MAX_UNREADABLE} results. Is a disk of it lost?")
        try:
            items = page(size, offset, tries)
        except PacsFaultError:
            if tries is again:
                # Where nothing has to be read, a PACS that fails too fails at everything, and one that finds something ignores
                # the offset.
                if page(1, MAX_LISTED, again):
                    raise
                tries, size = faults_once, 1
            elif size > 1:
                size //= 2
            elif tries is faults_once:
                # Nothing is called damaged for a moment's trouble of the PACS.
                tries = later
            else:
                # Nor for trouble that lasts: a PACS that now fails where nothing has to be read fails at everything.
                page(1, MAX_LISTED, again)
                offset, unreadable, tries = offset + 1, unreadable + 1, faults_once
                if whole:
                    break
            continue
        blank = sum(map(is_blank, items))
        read = {tuple(text_of(item, tag) for tag in UIDS): item for item in items if not is_blank(item)}
        new = {key: item for key, item in read.items() if key not in seen}
        # A server that does not know offset answers the same again, and anything far behind the end. Around faults it is known to
        # know it (see above). What was seen also comes again where a result came before it meanwhile.
        stuck = bool(items) and not new and tries is again and bool(page(1, MAX_LISTED, again))
        if not items or stuck:
            return Found(list(seen.values()), max(unreadable, blank))
        offset, unreadable = offset + len(items), unreadable + blank
        seen.update(new)
        size, tries = min(2 * size, PAGE), again if tries is again else faults_once
        if whole and unreadable:
            break
    else:
        raise PacsError(f"The PACS lists more than {MAX_LISTED} results. Serve a part of it, such as an Orthanc of its own.")
    return Found(list(seen.values()), unreadable)
