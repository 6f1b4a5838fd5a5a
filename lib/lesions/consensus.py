"""Which class of a lesion counts where several readers decided: what all say, the stronger proof, or an adjudicator."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from lesionlabel.lesions.errors import InputError
from lesionlabel.lesions.lesion import Lesion, Proof, parse_proof
from lesionlabel.lesions.matching import Spacing, apart_mm, same_lesions
from lesionlabel.lesions.readings import NO_LESION, ReadLesion, Stance, reader_key

#: Strongest first.
PROOFS = tuple(Proof)


class Agreement(StrEnum):
    """How it was settled which class of a lesion counts, or that none does yet."""

    ONE_READER = "one reader"
    AGREED = "agreed"
    BY_PROOF = "by proof"
    ADJUDICATED = "adjudicated"
    OPEN = "open"


@dataclass(frozen=True)
class Word:
    """What a reader said when an adjudicator decided: class (None: not marked) and proof; lesion_id as saved then."""

    reader: str
    label: str | None
    proof: Proof
    lesion_id: str | None


@dataclass(frozen=True, eq=False)
class Adjudication:
    """A decision over readers who differ, kept for ever.

    place: the lesion as one of them outlined it. label: a class, "other" or "no lesion". saw_model: whether the adjudicator
    was shown a model's answer for the image, None if perhaps. replaces: the id of an earlier one that it takes the place of.
    """

    id: str
    image: str
    label: str
    by: str
    reason: str
    at: str
    saw_model: bool | None
    proof: Proof
    words: tuple[Word, ...]
    place: Lesion
    replaces: str | None = None

    def to_json(self) -> dict[str, Any]:
        return {
            **{name: value for name, value in vars(self).items() if name not in ("words", "place", "proof")},
            "proof": str(self.proof),
            "words": [{**vars(word), "proof": str(word.proof)} for word in self.words],
            "place": self.place.to_json(),
        }

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> Adjudication:
        """Read what to_json wrote. Raises InputError when it is not complete."""
        try:
            plain = {name: record[name] for name in ("id", "image", "label", "by", "reason", "at", "saw_model", "replaces")}
            words = tuple(Word(w["reader"], w["label"], parse_proof(w["proof"]), w["lesion_id"]) for w in record["words"])
            return cls(**plain, proof=parse_proof(record["proof"]), words=words, place=Lesion.from_json(record["place"]))
        except (KeyError, TypeError, AttributeError) as error:
            raise InputError(f"An adjudication is not complete: {error!r}.") from error


@dataclass(frozen=True, eq=False)
class Settled:
    """A lesion, what its readers said, and what counts.

    lesion: what counts, with class, proof and saw_model of the decision; None where it is open or no lesion. adjudication: the
    newest one, also where a later reading has reopened it. readers: who said something of it, those who did not mark it included.
    """

    read: ReadLesion
    agreement: Agreement
    lesion: Lesion | None
    adjudication: Adjudication | None = None

    @property
    def readers(self) -> int:
        return len(self.read.stances)

    @property
    def reopened(self) -> bool:
        """Whether an adjudication no longer stands because a later reading contradicts it."""
        return self.adjudication is not None and self.agreement is Agreement.OPEN

    def to_json(self) -> dict[str, Any]:
        lesion = self.lesion
        return {
            "lesion": self.read.marked[-1].lesion_id,
            "agreement": str(self.agreement),
            "disputed": self.read.disputed,
            "reopened": self.reopened,
            "label": lesion.label if lesion is not None else self._no_lesion(),
            "proof": lesion and str(lesion.proof),
            "saw_model": lesion and lesion.saw_model,
            "slice": self.read.marked[-1].contour.slice_index,
            "diameter_mm": round(self.read.marked[-1].diameter_mm, 1),
            "readers": [stance.to_json() for stance in self.read.stances],
            "adjudication": self.adjudication and self.adjudication.to_json(),
        }

    def _no_lesion(self) -> str | None:
        return NO_LESION if self.agreement is Agreement.ADJUDICATED else None


def settle(lesions: Sequence[ReadLesion], adjudications: Sequence[Adjudication], spacing: Spacing) -> list[Settled]:
    """What counts of each lesion of one volume. adjudications: of that volume, oldest first.

    1. An adjudication stands until a reader says something new that contradicts it; then the lesion is open until the next one.
    2. Else the readings with the strongest proof decide. Not having marked a lesion is an opinion of a single reader.
    3. Where these differ, the lesion is open: no class of it counts.

    The outline that counts is that of the reader who saved last among those who gave the class that counts.
    """
    newest = _placed(lesions, adjudications, spacing)
    return [_settle(lesion, newest.get(index)) for index, lesion in enumerate(lesions)]


def _settle(read: ReadLesion, adjudication: Adjudication | None) -> Settled:
    stances = read.stances
    if adjudication is not None:
        if any(_contradicts(stance, adjudication) for stance in stances):
            return Settled(read, Agreement.OPEN, None, adjudication)
        if adjudication.label == NO_LESION:
            return Settled(read, Agreement.ADJUDICATED, None, adjudication)
        counts = _as_decided(read, adjudication.label, adjudication.proof, [adjudication.saw_model, *_seen(stances)])
        return Settled(read, Agreement.ADJUDICATED, counts, adjudication)
    if len(stances) == 1:
        return Settled(read, Agreement.ONE_READER, read.marked[0])
    strongest = min((stance.proof for stance in stances), key=PROOFS.index)
    deciding = [stance for stance in stances if stance.proof is strongest]
    labels = {stance.label for stance in deciding}
    label = next(iter(labels))
    if len(labels) > 1 or label is None:
        return Settled(read, Agreement.OPEN, None)
    agreement = Agreement.BY_PROOF if read.disputed else Agreement.AGREED
    return Settled(read, agreement, _as_decided(read, label, strongest, _seen(deciding)))


def _seen(stances: Sequence[Stance]) -> list[bool | None]:
    return [stance.saw_model for stance in stances]


def _as_decided(read: ReadLesion, label: str, proof: Proof, seen: Sequence[bool | None]) -> Lesion:
    """The lesion as the last reader who gave that class outlined it, else as the last one did.

    It counts as decided with the model in sight if one of the deciding opinions was: had the model swayed that reader, the lesion
    would be open or another class, so what is left would be what the model gets right.
    """
    outlines = [lesion for lesion in read.marked if lesion.label == label] or list(read.marked)
    saw_model = True if True in seen else None if None in seen else False
    return replace(outlines[-1], label=label, proof=proof, saw_model=saw_model)


def _contradicts(stance: Stance, adjudication: Adjudication) -> bool:
    """Whether the reader says something else than the adjudicator, and something else than when the adjudicator decided."""
    if (stance.label or NO_LESION) == adjudication.label:
        return False
    before = next((word for word in adjudication.words if reader_key(word.reader) == reader_key(stance.reader)), None)
    return before is None or (before.label, before.proof) != (stance.label, stance.proof)


def _placed(lesions: Sequence[ReadLesion], adjudications: Sequence[Adjudication], spacing: Spacing) -> dict[int, Adjudication]:
    """Index of a lesion -> the newest adjudication of it: one that names a saved outline of it, or that lies where it lies."""
    newest: dict[int, Adjudication] = {}
    for adjudication in adjudications:
        ids = {word.lesion_id for word in adjudication.words} - {None}
        named = [i for i, read in enumerate(lesions) if any(lesion.lesion_id in ids for lesion in read.marked)]
        near = [
            (apart_mm(lesion, adjudication.place, spacing), i)
            for i, read in enumerate(lesions)
            for lesion in read.marked
            if same_lesions([lesion], [adjudication.place], spacing)
        ]
        for index in named or [i for _, i in sorted(near)[:1]]:
            newest[index] = adjudication
    return newest
