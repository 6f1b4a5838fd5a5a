"""The model's answer about one lesion, in the words that a reader sees."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

NOT_CLINICAL = "Research software, not for clinical use."
NOT_AVAILABLE = "not available: this server's answers have none."


@dataclass(frozen=True, eq=False)
class Answer:
    """json: as the server gave it. params, label: what was asked, the lesion as a .nrrd segmentation."""

    json: dict[str, Any]
    params: Mapping[str, Any] = field(default_factory=dict)
    label: bytes = b""

    @property
    def is_typed(self) -> bool:
        """Whether a type was given; where not, the notes say why."""
        return bool(self.json.get("answered"))

    @property
    def headline(self) -> str:
        return str(self.json.get("display") or "no type was given")

    @property
    def probabilities(self) -> list[tuple[str, str]]:
        """Class and percentage, the most probable first, no finer than 5 %."""
        found = sorted(self.json.get("prediction") or [], key=lambda entry: -float(entry["score"]))
        return [(str(entry["label"]), percent(float(entry["score"]))) for entry in found]

    @property
    def prediction_set(self) -> str:
        """The sentence about the classes that remain possible."""
        return _sentence(self.json.get("prediction_set")) or f"Prediction set: {NOT_AVAILABLE}"

    @property
    def unlike(self) -> str:
        """The sentence about how unlike anything curated the lesion is."""
        return _sentence(self.json.get("unlike")) or f"Unlike anything curated: {NOT_AVAILABLE}"

    @property
    def warns_unlike(self) -> bool:
        found = self.json.get("unlike")
        return isinstance(found, dict) and bool(found.get("warn"))

    @property
    def notes(self) -> list[str]:
        """What a reader has to know, what it chooses among first; always that it is not for clinical use.

        Without what prediction_set and unlike say.
        """
        own_place = (self.prediction_set, self.unlike) if self.is_typed else ()
        notes = [str(note) for note in self.json.get("reader_notes") or [] if note not in own_place]
        first = str(self.json.get("closed_set") or "Chooses only among its own classes; anything else will be misnamed.")
        if not notes or notes[0] != first:
            notes = [first, *(note for note in notes if note != first)]
        return notes if NOT_CLINICAL in notes else [notes[0], NOT_CLINICAL, *notes[1:]]

    @property
    def text(self) -> str:
        """All of it, in the order of importance."""
        notes = self.notes
        shares = ", ".join(f"{label} {share}" for label, share in self.probabilities)
        parts = [notes[0], self.headline, f"Probabilities: {shares}." if shares else ""]
        if self.is_typed:
            parts += [self.prediction_set, self.unlike]
        return "\n".join([part for part in parts if part] + notes[1:])


def percent(probability: float) -> str:
    """As the server says it: never certain."""
    shown = 5 * round(probability * 20)
    if shown >= 100:
        return "over 95 %"
    return "under 5 %" if shown <= 0 else f"about {shown} %"


def _sentence(found: Any) -> str:
    return str(found.get("sentence") or "") if isinstance(found, dict) else ""
