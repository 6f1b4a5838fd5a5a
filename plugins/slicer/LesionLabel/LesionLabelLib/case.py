"""What a reader has open: a case with its lesions, and what was made of each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .answer import Answer
from .geometry import Geometry
from .segmentation import Region, same_regions

OTHER = "other / none of these"
#: The server's words for how a type was proven, strongest first, and how a reader sees them.
PROOFS = {
    "pathology": "biopsy or pathology",
    "follow-up": "follow-up of 6 months or more",
    "other imaging": "other imaging",
    "consensus": "consensus of readers",
    "single reader": "single reader",
}
SYNTHETIC = "SYNTHETIC"
NO_PATIENTS = "SYNTHETIC: made by a generator, no patient's. It can be looked at, and is never submitted."


@dataclass(eq=False)
class Case:
    """A volume as the server gave it.

    file: on this computer. grid: of the file, as the server counts clicks. info: as the server has it. synthetic: the words
    that say that a generator made it, None for a CT. geometry: of the volume node, known once it is loaded.
    """

    image: str
    file: Path
    grid: Geometry
    info: dict[str, Any]
    synthetic: str | None = None
    geometry: Geometry | None = None

    @property
    def title(self) -> str:
        """The name of its node: nobody can take a synthetic one for a patient's."""
        return f"{SYNTHETIC}, no patient: {self.image}" if self.synthetic is not None else self.image

    @property
    def is_simulated(self) -> bool:
        return bool(self.info.get("simulated")) or self.synthetic is not None


@dataclass(eq=False)
class MarkedLesion:
    """number: by which the reader knows it; never given twice in a case. how: "click", "measurement" or "drawn".

    inside, outside: clicks so far, voxel indices (i, j, k), the newest last. own_type: before the model's answer; it stays what
    it was. final_type: what counts now.
    """

    number: int
    how: str
    inside: list[tuple[float, float, float]] = field(default_factory=list)
    outside: list[tuple[float, float, float]] = field(default_factory=list)
    own_type: str = ""
    final_type: str = ""
    answer: Answer | None = None


@dataclass(frozen=True, eq=False)
class Decision:
    """What a reader says of a case at one moment: outline and type of each lesion by its number, and how they were proven."""

    regions: Mapping[int, Region]
    types: Mapping[int, str]
    proof: str

    def is_same(self, other: Decision | None) -> bool:
        return (
            other is not None
            and self.types == other.types
            and self.proof == other.proof
            and same_regions(self.regions, other.regions)
        )


@dataclass(frozen=True)
class Outcome:
    """What became of a decision. saw_model: what the server knows of it, None where it cannot tell. sentences: for the reader."""

    saved: bool
    saw_model: bool | None
    sentences: list[str]


def is_synthetic(image: str, info: Mapping[str, Any]) -> bool:
    """Whether the id or what the server says of it marks a generator's image."""
    return image.casefold().startswith("synthetic-") or bool(info.get("synthetic"))
