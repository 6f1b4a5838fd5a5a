"""What a client asks of a generator, read from the loose parameters that clients send."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

from lesionlabel.lesions.errors import InputError
from lesionlabel.lesions.flags import read_flag
from lesionlabel.registry.generator import check_request

Format = Literal["nifti", "png", "npy", "dicom"]
FORMATS: tuple[Format, ...] = get_args(Format)
#: Most ROIs of one request to the server, which has them in memory; the command line makes more.
MOST = 1000
DEFAULT_N = 16


@dataclass(frozen=True)
class SyntheticRequest:
    """n ROIs of a class by a seed. label: None where the generator makes one class. version: None for the one that serves.

    truncation: as in LesionGenerator.sample. burn: with the word SYNTHETIC in the pixels.
    """

    n: int = DEFAULT_N
    seed: int = 0
    truncation: float = 1.0
    format: Format = "nifti"
    label: str | None = None
    version: str | None = None
    burn: bool = False

    def __post_init__(self) -> None:
        check_request(self.n, self.seed, self.truncation)
        if require_format(self.format) == "npy" and self.burn:
            raise InputError("A mark is burnt into png, nifti and dicom; an npy holds the plain numbers. Leave burn out.")


def require_format(text: str) -> Format:
    """The output format of that name. Raises InputError for another."""
    for known in FORMATS:
        if known == text.strip().casefold():
            return known
    raise InputError(f"Unknown format {text!r}. Allowed: {', '.join(FORMATS)}.")


def read_synthetic(request: dict[str, Any]) -> SyntheticRequest:
    """What the request asks. Parameters that are empty or None count as not given, and a list as its first entry.

    Raises InputError for a value of the wrong kind or out of range.
    """
    given: dict[str, Any] = {}
    for name in ("n", "seed", "truncation", "format", "label", "version", "burn"):
        value = request.get(name)
        value = value[0] if isinstance(value, list) and value else value
        if value is not None and value != "" and value != []:
            given[name] = value
    asked: dict[str, Any] = {}
    for name in ("n", "seed"):
        if name in given:
            asked[name] = _whole(given[name], name)
    if "truncation" in given:
        asked["truncation"] = _number(given["truncation"], "truncation")
    if "format" in given:
        asked["format"] = require_format(str(given["format"]))
    if "burn" in given:
        asked["burn"] = read_flag(given["burn"], "burn")
    asked |= {name: str(given[name]).strip() for name in ("label", "version") if name in given}
    check_request(asked.get("n", DEFAULT_N), asked.get("seed", 0), asked.get("truncation", 1.0), MOST)
    return SyntheticRequest(**asked)


def _whole(value: Any, name: str) -> int:
    """Whole numbers only, also as text: 3D Slicer's options table sends text."""
    try:
        if isinstance(value, bool) or (isinstance(value, float) and not value.is_integer()):
            raise ValueError
        return int(value)
    except (TypeError, ValueError, OverflowError):
        raise InputError(f"{name} must be a whole number, got {str(value)[:40]!r}.") from None


def _number(value: Any, name: str) -> float:
    try:
        if isinstance(value, bool):
            raise ValueError
        return float(value)
    except (TypeError, ValueError, OverflowError):
        raise InputError(f"{name} must be a number, got {str(value)[:40]!r}.") from None
