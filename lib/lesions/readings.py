"""What readers decided on one volume: each reader's lesions, and lesion by lesion who said what."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lesionlabel.lesions.lesion import Lesion, Proof
from lesionlabel.lesions.matching import Spacing, same_lesions

#: What a reader calls a lesion of none of the classes. It is kept, and trains only where the configuration has such a class.
OTHER = "other"
#: The names of a segment that mean so, in lower case.
OTHER_NAMES = frozenset({OTHER, "none of these", "other / none of these", "other/none of these"})
#: An adjudicator's word for what is no lesion at all.
NO_LESION = "no lesion"
#: Distance of slices in mm that is taken where a label does not say it (saved before labels did).
USUAL_SLICE_MM = 5.0


@dataclass(frozen=True, eq=False)
class Decision:
    """One final label as one reader saved it.

    saved_at: UTC, ISO 8601. spacing: mm of columns, rows and slices, None where no lesion says it. problem: why no lesion was
    taken from it. questions: how many parts the reader was asked about. not_curated: names of segments that are only stored.
    """

    reader: str
    saved_at: str
    proof: Proof
    saw_model: bool | None
    lesions: tuple[Lesion, ...]
    spacing: Spacing | None = None
    problem: str | None = None
    questions: int = 0
    not_curated: tuple[str, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether every part of the label is a lesion of it, so that what it did not mark is no lesion to the reader."""
        return self.problem is None and not self.questions and not self.not_curated

    @property
    def blind(self) -> bool:
        """Whether it was made before the reader could have seen a model's answer for the image."""
        return self.saw_model is False

    def to_json(self) -> dict[str, Any]:
        return {
            "reader": self.reader,
            "saved_at": self.saved_at,
            "proof": str(self.proof),
            "saw_model": self.saw_model,
            "blind": self.blind,
            "lesions": [lesion.to_json() for lesion in self.lesions],
            "problem": self.problem,
            "questions": self.questions,
            "not_curated": list(self.not_curated),
        }


@dataclass(frozen=True, eq=False)
class Stance:
    """What one reader of the volume says of one lesion. lesion: as outlined, None where the reader did not mark it.

    Not marking a lesion is an opinion without proof, whatever proves the lesions that the reader marked.
    """

    reader: str
    saw_model: bool | None
    lesion: Lesion | None

    @property
    def label(self) -> str | None:
        return None if self.lesion is None else self.lesion.label

    @property
    def proof(self) -> Proof:
        return Proof.SINGLE_READER if self.lesion is None else self.lesion.proof

    def to_json(self) -> dict[str, Any]:
        lesion = self.lesion
        return {
            "reader": self.reader,
            "label": self.label,
            "proof": str(self.proof),
            "saw_model": self.saw_model,
            "lesion_id": lesion and lesion.lesion_id,
            "slice": lesion and lesion.contour.slice_index,
            "diameter_mm": lesion and round(lesion.diameter_mm, 1),
        }


@dataclass(frozen=True, eq=False)
class ReadLesion:
    """One lesion and what each reader of its volume says of it, in the order in which they saved."""

    stances: tuple[Stance, ...]

    @property
    def marked(self) -> tuple[Lesion, ...]:
        """As outlined by those who marked it, the one saved last at the end."""
        return tuple(stance.lesion for stance in self.stances if stance.lesion is not None)

    @property
    def disputed(self) -> bool:
        """Whether readers differ on its class, or on whether it is a lesion."""
        return len({stance.label for stance in self.stances}) > 1

    def has(self, lesion_id: str) -> bool:
        return any(lesion.lesion_id == lesion_id for lesion in self.marked)


def read_lesions(decisions: Sequence[Decision]) -> list[ReadLesion]:
    """The lesions of one volume, from one decision of each reader, in the order in which they saved.

    Readers are taken in that order, and each one's lesions are matched by same_lesions with those found
    before, as outlined by the first who marked them. A decision with a problem says nothing of any lesion, and one that is not
    complete nothing of those that it did not mark: the part that was asked about or not named may be the lesion.
    """
    readings = usable(decisions)
    spacing = spacing_of(readings)
    groups: list[dict[str, Lesion]] = []
    for decision in readings:
        first_outlines = [next(iter(group.values())) for group in groups]
        same = {theirs: known for known, theirs in same_lesions(first_outlines, decision.lesions, spacing)}
        for index, lesion in enumerate(decision.lesions):
            if index in same:
                groups[same[index]][reader_key(decision.reader)] = lesion
            else:
                groups.append({reader_key(decision.reader): lesion})
    return [ReadLesion(tuple(_stances(readings, group))) for group in groups]


def _stances(readings: Sequence[Decision], group: Mapping[str, Lesion]) -> list[Stance]:
    found = [(decision, group.get(reader_key(decision.reader))) for decision in readings]
    return [Stance(one.reader, one.saw_model, lesion) for one, lesion in found if lesion is not None or one.complete]


def reader_key(name: str) -> str:
    """What tells readers apart: "Dr Weber" and "dr  weber" are one."""
    return " ".join(unicodedata.normalize("NFC", name).split()).casefold()


def usable(decisions: Sequence[Decision]) -> list[Decision]:
    """Those that say something: which lesions there are, or, with a label that holds nothing at all, that there is none."""
    return [decision for decision in decisions if decision.problem is None and (decision.lesions or decision.complete)]


def spacing_of(decisions: Sequence[Decision]) -> Spacing:
    """The volume's spacing as a decision says it; from a lesion's diameter and USUAL_SLICE_MM where none does."""
    for decision in decisions:
        if decision.spacing is not None:
            return decision.spacing
    lesion = next((lesion for decision in decisions for lesion in decision.lesions), None)
    pixel_mm = 1.0 if lesion is None else lesion.diameter_mm / lesion.contour.diameter_px
    return (pixel_mm, pixel_mm, USUAL_SLICE_MM)
