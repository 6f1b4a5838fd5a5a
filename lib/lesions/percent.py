"""How finely a probability may be told: in steps of 5 %, because no more is known."""

from __future__ import annotations

STEP = 5


def whole_percent(probability: float) -> int:
    """The probability as percent in steps of 5, from 0 to 100."""
    return STEP * round(probability * 100 / STEP)


def never_certain(probability: float) -> int:
    """The same, kept within 5 and 95: 5 stands for "5 or less", 95 for "95 or more". For numbers that words cannot go with."""
    return min(max(whole_percent(probability), STEP), 100 - STEP)
