"""The two hooks that a loop offers to whoever runs it: say how far it is, and ask whether to stop."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from lesionlabel.lesions.errors import InputError, IntegrityError, NoModelError, NotFoundError, PacsError

#: Told the share done, from 0 to 1, and what is being done.
Progress = Callable[[float, str], None]
#: Asked often; True ends the run with StoppedError.
ShouldStop = Callable[[], bool]


class DivergedError(RuntimeError):
    """The loss or the weights are no longer finite numbers. Lower the learning rate or look at the images."""


class StoppedError(RuntimeError):
    """The run was stopped on request before its end. What is kept to go on from is said in the message, or nothing is."""


#: Errors in our own words, which say what to do and name no patient; another's text can hold what a file said.
TOLD = (InputError, NotFoundError, NoModelError, IntegrityError, PacsError, DivergedError, StoppedError)


def no_progress(share: float, what: str) -> None:
    """The progress hook of a run that nobody watches."""


def never_stop() -> bool:
    """The stop hook of a run that nobody can stop."""
    return False


@contextmanager
def stopping_on_signals() -> Iterator[ShouldStop]:
    """A hook that is True once the process was told to end (SIGINT, SIGTERM): the loop then ends in good order.

    A second signal ends the process at once. Outside of the main thread, where no signal arrives, it is always False.
    """
    told: list[int] = []
    before: dict[int, Any] = {}
    if threading.current_thread() is not threading.main_thread():
        yield never_stop
        return

    def note(number: int, _frame: object) -> None:
        told.append(number)
        signal.signal(number, before[number])

    for number in (signal.SIGINT, signal.SIGTERM):
        before[number] = signal.signal(number, note)
    try:
        yield lambda: bool(told)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def part_of(progress: Progress, start: float, end: float, name: str = "") -> Progress:
    """A hook for a part of a run that takes it from start to end, both in 0 to 1."""

    def tell(share: float, what: str) -> None:
        progress(start + (end - start) * share, f"{name}: {what}" if name else what)

    return tell
