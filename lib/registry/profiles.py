"""Recipes by the name of their profile."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from lesionlabel.lesions.errors import InputError

R = TypeVar("R")

#: The profile that shows that everything works. What it makes never serves.
TRIAL = "trial"


def find_profile(profiles: Mapping[str, R], name: str) -> R:
    """The recipe of that name. Raises InputError for an unknown one."""
    if name not in profiles:
        raise InputError(f"Unknown profile {name!r}. Allowed: {', '.join(profiles)}.")
    return profiles[name]
