"""Queries page by page, on servers that behave as real ones were seen to: no real one can be made to in a test's time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from lesionlabel.imaging import dicomweb_answers
from lesionlabel.imaging.dicomweb_search import MAX_UNREADABLE, SERIES, Found, Items, Tries, find_all
from lesionlabel.lesions.errors import PacsError, PacsFaultError

BLANK: dict[str, Any] = {"00080005": {"vr": "CS", "Value": ["ISO_IR 100"]}}


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dicomweb_answers, "PAUSES_S", (0.0, 0.0, 0.0))


class Server:
    """Lists what it holds: numbers of series, None for a result without UIDs. damaged: those that no answer can be made with.

    before: called with the request's number before each answer. knows_offset: whether it heeds it. most: results of one answer.
    """

    def __init__(self, held: list[int | None], damaged: set[int], *, knows_offset: bool = True, most: int = 10_000) -> None:
        self.held, self.damaged, self._knows_offset, self._most = held, damaged, knows_offset, most
        self.before: Callable[[int], None] = lambda _: None
        self.requests = 0

    def page(self, limit: int, offset: int, tries: Tries) -> Items:
        def ask() -> Items:
            self.requests += 1
            self.before(self.requests)
            start = offset if self._knows_offset else 0
            asked = self.held[start : start + min(limit, self._most)]
            if self.damaged & set(asked):
                raise PacsFaultError("status 400", passing=False)
            return [BLANK if one is None else {SERIES: {"vr": "UI", "Value": [f"1.{one}"]}} for one in asked]

        return tries(ask)

    def found(self) -> Found:
        return find_all(self.page)


def uids(found: Found) -> set[str]:
    return {item[SERIES]["Value"][0] for item in found.items}


def test_a_series_that_arrives_while_pages_are_small_cuts_no_list_short() -> None:
    whole = {f"1.{n}" for n in range(50) if n != 40}
    quiet = Server(list(range(50)), {40})
    assert uids(quiet.found()) == whole
    for at in range(1, quiet.requests + 1):
        server = Server(list(range(50)), {40})

        def arrive(request: int, server: Server = server, at: int = at) -> None:
            if request == at:
                server.held.insert(0, 99)

        server.before = arrive
        assert uids(server.found()) - {"1.99"} == whole, f"before request {at}"


@pytest.mark.parametrize("knows_offset", [True, False])
@pytest.mark.parametrize("held", [[None, 1, None, 2, 3], [None, None], [1, 2, None]])
def test_results_without_uids_are_counted_and_end_no_list(held: list[int | None], knows_offset: bool) -> None:
    found = Server(held, set(), knows_offset=knows_offset).found()
    assert uids(found) == {f"1.{one}" for one in held if one is not None}
    assert found.unreadable == held.count(None)


def test_a_page_of_nothing_but_results_without_uids_does_not_end_the_list(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lesionlabel.imaging.dicomweb_search.PAGE", 2)
    found = Server([1, 2, None, None, 3, None], set()).found()
    assert (uids(found), found.unreadable) == ({"1.1", "1.2", "1.3"}, 3)


def test_a_page_s_worth_of_arrivals_cuts_no_list_short() -> None:
    server = Server(list(range(300)), set(), most=100)

    def arrive(request: int) -> None:
        if request == 2:
            server.held[:0] = range(1000, 1100)

    server.before = arrive
    assert uids(server.found()) >= {f"1.{n}" for n in range(300)}


def test_a_list_that_must_be_whole_ends_at_the_first_that_cannot_be_read() -> None:
    held: list[int | None] = [*range(300)]
    assert find_all(Server(held, set()).page, whole=True).unreadable == 0
    damaged = Server(held, set(range(40, 240)))
    assert find_all(damaged.page, whole=True).unreadable == 1
    assert damaged.requests < 40
    assert find_all(Server([1, None, 2], set()).page, whole=True).unreadable == 1


def test_beyond_all_measure_is_no_list() -> None:
    with pytest.raises(PacsError, match="Is a disk of it lost"):
        Server([None] * (MAX_UNREADABLE + 1), set()).found()
    with pytest.raises(PacsError, match="Is a disk of it lost"):
        Server(list(range(MAX_UNREADABLE + 2)), set(range(MAX_UNREADABLE + 2))).found()


@pytest.mark.parametrize("error", [PacsFaultError("status 500"), PacsError("status 503"), PacsError("The connection broke.")])
def test_a_moments_trouble_calls_no_series_damaged(error: PacsError) -> None:
    quiet = Server(list(range(20)), {13})
    quiet.found()
    for at in range(1, quiet.requests + 1):
        server = Server(list(range(20)), {13})

        def fail(request: int, at: int = at) -> None:
            if request == at:
                raise error

        server.before = fail
        found = server.found()
        assert (len(found.items), found.unreadable) == (19, 1), f"at request {at}"


def test_trouble_that_outlasts_the_first_tries_calls_no_series_damaged() -> None:
    server = Server(list(range(6)), set())
    # The tries of the first page, not the question whether it heeds offsets, and the first page of one.
    failing = {1, 2, 3, 4, 6}

    def fail(request: int) -> None:
        if request in failing:
            raise PacsFaultError("status 500")

    server.before = fail
    found = server.found()
    assert (len(found.items), found.unreadable) == (6, 0)


def test_trouble_that_lasts_is_told_as_such_and_calls_no_series_damaged() -> None:
    """Whenever it begins while the list is read around a file that really is damaged."""
    quiet = Server(list(range(50)), {40})
    quiet.found()
    for at in range(1, quiet.requests + 1):
        server = Server(list(range(50)), {40})

        def fail(request: int, at: int = at) -> None:
            if request >= at:
                raise PacsFaultError("status 500")

        server.before = fail
        with pytest.raises(PacsFaultError, match="status 500"):
            server.found()
