"""What a memorisation check can say."""

from __future__ import annotations

from enum import StrEnum


class Outcome(StrEnum):
    """What the check says of a generator's class. CANNOT_BE_TESTED is never called passed."""

    FIT = "fit"
    UNFIT = "unfit"
    CANNOT_BE_TESTED = "cannot be tested"
