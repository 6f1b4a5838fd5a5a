"""Yes or no, as the loose parameters of clients say it."""

from __future__ import annotations

from typing import Any

from lesionlabel.lesions.errors import InputError


def read_flag(value: Any, name: str) -> bool:
    """True or false, also as text: 3D Slicer's options table sends text. Raises InputError for anything else."""
    text = str(value).strip().casefold()
    if text in ("true", "1", "yes"):
        return True
    if text in ("false", "0", "no", "", "none"):
        return False
    raise InputError(f"{name} must be true or false, got {str(value)[:40]!r}.")
