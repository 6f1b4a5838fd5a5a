"""What can go wrong, each with a sentence for the reader."""

from __future__ import annotations


class ReaderError(Exception):
    """Something that the reader is told; the text is the whole sentence."""


class UnreachableError(ReaderError):
    """No answer came from the server: it is away, too slow, or its certificate is not trusted."""


class ServerError(ReaderError):
    """The server refused, in its own words. status: of HTTP."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


class NotKeptError(ReaderError):
    """A decision that this computer's disk did not take, and that was therefore not sent either."""


class StepError(ReaderError):
    """This step does not come now: what has to come first."""
