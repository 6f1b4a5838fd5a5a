"""Work that takes a while, one piece at a time, in a thread; the window looks now and then whether it is done."""

from __future__ import annotations

import queue
import threading
from typing import Any, Callable

from .errors import ReaderError

UNFORESEEN = "Something unexpected went wrong in the module ({}). What you marked is still there. Please report it."


class Worker:
    """start and poll are called from the window's thread; so are the functions that are told how it ended."""

    def __init__(self) -> None:
        self._ended: queue.SimpleQueue[Callable[[], Any]] = queue.SimpleQueue()
        self._running = 0

    @property
    def is_busy(self) -> bool:
        """Whether a piece of work is under way, or its end was not told yet."""
        return self._running > 0

    def start(self, work: Callable[[], Any], done: Callable[[Any], Any], failed: Callable[[str], Any]) -> bool:
        """Begin, unless something is under way: then False, and nothing happens.

        done: told what work returned. failed: told the sentence of a ReaderError, or that something else went wrong.
        """
        if self.is_busy:
            return False
        self._running += 1
        threading.Thread(target=self._run, args=(work, done, failed), name="LesionLabel", daemon=True).start()
        return True

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
