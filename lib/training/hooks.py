"""The two hooks that a loop offers to whoever runs it: say how far it is, and ask whether to stop."""

from __future__ import annotations

from collections.abc import Callable

#: Told the share done, from 0 to 1, and what is being done.
Progress = Callable[[float, str], None]
#: Asked often; True ends the run with StoppedError.
ShouldStop = Callable[[], bool]


class DivergedError(RuntimeError):
    """The loss or the weights are no longer finite numbers. Lower the learning rate or look at the images."""


class StoppedError(RuntimeError):
    """The run was stopped on request before its end; nothing of it is kept."""


def no_progress(share: float, what: str) -> None:
    """The progress hook of a run that nobody watches."""


def never_stop() -> bool:
    """The stop hook of a run that nobody can stop."""
    return False


def part_of(progress: Progress, start: float, end: float, name: str = "") -> Progress:
    """A hook for a part of a run that takes it from start to end, both in 0 to 1."""

    def tell(share: float, what: str) -> None:
        progress(start + (end - start) * share, f"{name}: {what}" if name else what)

    return tell
