"""The lesion classes: names, order, SNOMED CT codes and whether a class is benign. A site changes a file, not code."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from lesionlabel.lesions.errors import InputError, UnknownClassError


@dataclass(frozen=True)
class LesionClass:
    """One lesion type.

    name: as in labels and answers. snomed: SNOMED CT concept id, "" where there is none. meaning: that concept's name.
    benign: whether calling a malignant lesion this is the error that harms. colour: RGB in 0-255, for segments.
    """

    name: str
    snomed: str
    meaning: str
    benign: bool
    colour: tuple[int, int, int]


@dataclass(frozen=True)
class ClassList:
    """The classes in their fixed order; a class's index is its position in every probability vector."""

    classes: tuple[LesionClass, ...]

    def __post_init__(self) -> None:
        names = [c.name for c in self.classes]
        if len(names) < 2:
            raise InputError(f"A class list needs at least two classes, got {names}.")
        if len({n.casefold() for n in names}) != len(names):
            raise InputError(f"Class names must differ in more than case, got {names}.")
        if "background" in (n.casefold() for n in names):
            raise InputError("A class cannot be called 'background': 3D Slicer reserves that name.")

    def __iter__(self) -> Iterator[LesionClass]:
        return iter(self.classes)

    def __len__(self) -> int:
        return len(self.classes)

    @property
    def names(self) -> list[str]:
        return [c.name for c in self.classes]

    def index(self, name: str) -> int:
        """The position of the class called name, ignoring case and outer blanks. Raises UnknownClassError."""
        wanted = name.strip().casefold()
        for position, lesion_class in enumerate(self.classes):
            if lesion_class.name.casefold() == wanted:
                return position
        raise UnknownClassError(f"Unknown lesion class {name!r}. Allowed: {', '.join(self.names)}.")

    def benign_indices(self) -> list[int]:
        return [i for i, c in enumerate(self.classes) if c.benign]

    def malignant_indices(self) -> list[int]:
        return [i for i, c in enumerate(self.classes) if not c.benign]


DEFAULT_CLASSES = ClassList(
    (
        LesionClass("cyst", "85057007", "Cyst of liver", True, (80, 160, 255)),
        LesionClass("metastasis", "94381002", "Metastatic malignant neoplasm to liver", False, (235, 90, 70)),
        LesionClass("hemangioma", "93469006", "Hemangioma of liver", True, (150, 220, 90)),
    )
)


def read_classes(path: Path) -> ClassList:
    """The class list in a TOML file of [[class]] tables with name, benign, colour, and where it has them snomed and meaning.

    Raises InputError when the file cannot be read or a table lacks a key.
    """
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8")).get("class", [])
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"The class list {path} cannot be read: {error}.") from error
    if not isinstance(tables, list):
        raise InputError(f"The class list {path} needs [[class]] tables, in double brackets.")
    classes = []
    for number, table in enumerate(tables, start=1):
        try:
            red, green, blue = (int(v) for v in table["colour"])
            if not all(0 <= v <= 255 for v in (red, green, blue)):
                raise ValueError(f"colour {table['colour']} is not within 0 to 255")
            if not isinstance(table["benign"], bool):
                raise TypeError(f"benign must be true or false without quotes, not {table['benign']!r}")
            name, snomed = str(table["name"]), str(table.get("snomed", ""))
            if snomed and not (snomed.isascii() and snomed.isdigit() and len(snomed) <= 18):
                raise ValueError(f"snomed {snomed!r} is no SNOMED CT concept id, which has up to 18 digits")
            classes.append(LesionClass(name, snomed, str(table.get("meaning", name)), table["benign"], (red, green, blue)))
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(
                f"Class {number} in {path} is not complete ({error!r}): "
                "each [[class]] needs name, benign and colour = [r, g, b], and should have snomed and meaning."
            ) from error
    return ClassList(tuple(classes))
