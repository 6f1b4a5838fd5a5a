"""What can be wrong with what a user gives. Each message says what was wrong, the value, what is allowed, and what to do."""

from __future__ import annotations

import re
import traceback
from pathlib import Path


class InputError(ValueError):
    """The input cannot be used as it is: the message names the value, what is allowed, and what to do."""


class OutsideVolumeError(InputError):
    """A point or a lesion lies outside the volume, or where there is no tissue."""


class NoLesionError(InputError):
    """What was clicked is no lesion. what: "vessel", "liver", "outside the liver" or "air"."""

    def __init__(self, what: str, message: str) -> None:
        super().__init__(message)
        self.what = what


class NotCTError(InputError):
    """A file or a series is no usable CT."""


class OtherKindError(NotCTError):
    """A DICOM file says that it is something else than a slice of its series: a scout, a picture, a report."""


class UnknownClassError(InputError):
    """A class name is not in the configured class list."""


class LeakError(InputError):
    """A run would be tested on a patient that its data or its generator has seen."""


class UnfitError(InputError):
    """A generator copies training patients, so its images may not train anything."""


class NotFoundError(LookupError):
    """Nothing is stored under that name."""


class NoModelError(RuntimeError):
    """No trained model serves this task. The server never answers with random weights."""


class IntegrityError(RuntimeError):
    """A stored product does not match the hash in its manifest, so it is not used."""


class PacsError(RuntimeError):
    """The PACS is away, slow, refuses, or did not confirm. passing: whether trying again later may help."""

    def __init__(self, message: str, *, passing: bool = True) -> None:
        super().__init__(message)
        self.passing = passing


class PacsFaultError(PacsError):
    """The PACS fails at what it was asked, as it does when a file that it needs for the answer is damaged or missing."""


class PacsDamagedError(PacsFaultError):
    """The PACS cannot read, or give, a slice that it lists: trying again does not help before somebody mends it there."""

    def __init__(self, message: str) -> None:
        super().__init__(message, passing=False)


#: A DICOM UID (PS3.5 9.1) of five parts or more, or of three and long, as 2.25 followed by a UUID; with what a file is called
#: after one. Real ones begin with other numbers than 0 to 2, too.
UID = re.compile(r"(?<![\d.])(?:\d+(?:\.\d+){4,}|(?=[\d.]{16})\d+(?:\.\d+){2,})(?:\.[A-Za-z]{2,4}\b)*")


def without_uids(text: str) -> str:
    """The text as it may be logged and shown: UIDs, and files that are called after one, are not named."""
    return UID.sub("(UID)", text)


def places(error: BaseException) -> str:
    """The error's kind and the places it went through, for a log: its text can hold what a patient's file or a request said."""
    frames = reversed(traceback.extract_tb(error.__traceback__)[-6:])
    return f"{type(error).__name__} at {' < '.join(f'{Path(frame.filename).name}:{frame.lineno}' for frame in frames)}"
