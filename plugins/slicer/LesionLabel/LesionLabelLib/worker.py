"""Work that takes a while, one piece at a time, in a thread; the window looks now and then whether it is done."""

from __future__ import annotations

import queue
import threading
from typing import Any, Callable

from .errors import ReaderError, StepError

UNFORESEEN = "Something unexpected went wrong in the module ({}). What you marked is still there. Please report it."
BUSY = "The module still waits for what you asked before. Try again when it is there."


class Worker:
    """start and poll are called from the window's thread; so are the functions that are told how it ended.

    before: called at each start; it ends what the reader had begun with the mouse, so that nothing is marked while work goes on.
    """

    def __init__(self, before: Callable[[], Any]) -> None:
        self._before = before
        self._ended: queue.SimpleQueue[Callable[[], Any]] = queue.SimpleQueue()
        self._running = 0

    @property
    def is_busy(self) -> bool:
        """Whether a piece of work is under way, or its end was not told yet."""
        return self._running > 0

    def start(self, work: Callable[[], Any], done: Callable[[Any], Any], failed: Callable[[str], Any]) -> None:
        """Begin. Raises StepError, and does nothing, where something is under way.

        done: told what work returned. failed: told the sentence of a ReaderError, or that something else went wrong.
        """
        self._before()
        if self.is_busy:
            raise StepError(BUSY)
        self._running += 1
        threading.Thread(target=self._run, args=(work, done, failed), name="LesionLabel", daemon=True).start()

    def poll(self) -> None:
        """Tell the ends that have come."""
        while not self._ended.empty():
            tell = self._ended.get()
            self._running -= 1
            tell()

    def _run(self, work: Callable[[], Any], done: Callable[[Any], Any], failed: Callable[[str], Any]) -> None:
        try:
            result = work()
        except ReaderError as error:
            sentence = str(error)
            self._ended.put(lambda: failed(sentence))
        except Exception as error:  # its text could hold what a file said of a patient
            kind = type(error).__name__
            self._ended.put(lambda: failed(UNFORESEEN.format(kind)))
        else:
            self._ended.put(lambda: done(result))
