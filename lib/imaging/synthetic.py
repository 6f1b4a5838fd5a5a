"""What a synthetic image says of itself wherever it goes: its mark, the words of it, and the names of its files."""

from __future__ import annotations

import math
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from lesionlabel.lesions.errors import InputError

#: Every mark begins with these words; what begins with them, or is the first of them alone, is read as a mark.
WORDS = "SYNTHETIC, no patient"
WORD = "SYNTHETIC"
#: Every file name of a synthetic image begins with this.
PREFIX = "SYNTHETIC-"
#: The key of the whole mark as JSON, in PNG.
MARK_KEY = "lesionlabel-synthetic"

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,63}")
PSEUDONYM = re.compile(r"(?<![A-Za-z0-9])p-[0-9a-f]{16}(?![0-9a-f])")
SHA256 = re.compile(r"[0-9a-f]{64}")
LABEL_LENGTH = 40


@dataclass(frozen=True)
class SyntheticMark:
    """Where synthetic ROIs of one class come from; enough to make them again. It never holds a patient or a pseudonym.

    label: the class. generator, version: its name and version. sha256: of its weights. seed, first: the images are those from
    first on in the seed's sequence. trained_on: what the generator has seen. truncation: bound of the latent numbers, None
    where there is none. Raises InputError for anything else.
    """

    label: str
    generator: str
    version: str
    sha256: str
    seed: int
    first: int
    trained_on: Literal["phantom", "patients"]
    truncation: float | None = None

    def __post_init__(self) -> None:
        if not self.label.strip() or len(self.label) > LABEL_LENGTH or not self.label.isprintable() or "\\" in self.label:
            raise InputError(
                f"A class in a synthetic mark has 1 to {LABEL_LENGTH} printable characters, no backslash; got {self.label!r}."
            )
        for what, value in (("generator", self.generator), ("version", self.version)):
            if not NAME.fullmatch(value):
                raise InputError(f"A {what} in a synthetic mark is 1 to 64 of A-Z, a-z, 0-9 and . _ + -; got {value!r}.")
        if any(PSEUDONYM.search(value) for value in (self.label, self.generator, self.version)):
            raise InputError("A synthetic mark must not hold a patient's pseudonym: a synthetic image is nobody's.")
        if not SHA256.fullmatch(self.sha256):
            raise InputError(f"The weights' SHA-256 is 64 of 0-9 and a-f, got {self.sha256!r}.")
        if self.seed < 0 or self.first < 0:
            raise InputError(f"Seed and first image must be 0 or more, got {self.seed} and {self.first}.")
        if self.trained_on not in ("phantom", "patients"):
            raise InputError(f"A generator was trained on 'phantom' or 'patients', got {self.trained_on!r}.")
        if self.truncation is not None and not (math.isfinite(self.truncation) and self.truncation > 0):
            raise InputError(f"The truncation must be a positive number or None, got {self.truncation}.")

    @property
    def text(self) -> str:
        """The mark in one line; its first 79 characters, all that a NIfTI header holds, name class and generator."""
        truncation = "" if self.truncation is None else f", truncation {self.truncation:g}"
        return (
            f"{WORDS}: {self.label} by LesionLabel {self.generator} {self.version}, weights {self.sha256[:12]}, "
            f"seed {self.seed}, image {self.first} on{truncation}, generator trained on {self.trained_on}"
        )

    @property
    def stem(self) -> str:
        """The beginning of a file name, of A-Z, a-z, 0-9 and dashes."""
        parts = (self.label, self.generator, self.version, f"s{self.seed}", f"{self.first:05d}")
        return PREFIX + "-".join(re.sub(r"[^A-Za-z0-9]+", "-", part).strip("-") or "x" for part in parts)

    def to_json(self) -> dict[str, Any]:
        """Everything, with "synthetic": true and the text."""
        return {"synthetic": True, "text": self.text, **asdict(self)}


def is_synthetic_name(path: Path | str) -> bool:
    """Whether the name of a file, or an image id, is that of a synthetic image."""
    return Path(path).name.casefold().startswith(PREFIX.casefold())


def says_synthetic(text: str) -> bool:
    """Whether a text in a header is a mark, in any case of its letters."""
    plain = text.strip(" \0").casefold()
    return plain == WORD.casefold() or plain.startswith(WORDS.casefold())


def not_a_patients(how: str) -> str:
    """The message by which a synthetic image is refused. how: it is recognised, as 'its name begins with SYNTHETIC-'."""
    return f"It is a synthetic image ({how}): made by a generator, no patient's. It is never taken as patient data."
