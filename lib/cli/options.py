"""What a request's parameters are called on the command line."""

from __future__ import annotations

from collections.abc import Mapping

from lesionlabel.infers.asked import WAYS
from lesionlabel.lesions.errors import InputError

OPTIONS = (
    "Give one of: --point I,J,K (with --diameter-mm, or alone to have the lesion outlined), --center-lps X,Y,Z with "
    "--diameter-mm, --points I,J,K I,J,K (the ends of its diameter), or --label FILE (with --segment where it holds several)."
)
#: What messages say of a request, in an order in which none takes a part of another away.
WORDS = (
    (WAYS, OPTIONS),
    ("Set override_phase to true", "Give --override-phase"),
    ("Name one as segment,", "Name one with --segment,"),
    ("as center_lps", "as --center-lps"),
    ("center_lps needs diameter_mm", "--center-lps needs --diameter-mm"),
    ("diameter_mm does not go with points", "--diameter-mm does not go with --points"),
    ("diameter_mm does not go with label", "--diameter-mm does not go with --label"),
    ("diameter_mm must be", "--diameter-mm must be"),
)


def in_options(text: str) -> str:
    """A message about a request, naming options instead of parameters."""
    for parameter, option in WORDS:
        text = text.replace(parameter, option)
    return text


def require_one_way(options: Mapping[str, object]) -> None:
    """Raise InputError unless exactly one of the options that say where the lesion is was given. options: name -> value."""
    given = [option for option, value in options.items() if value is not None]
    if len(given) != 1:
        raise InputError(f"{'No lesion was' if not given else ' and '.join(given) + ' were all'} given. {OPTIONS}")
