"""One finding in one volume: where, contour, class, proof, reader."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np

from lesionlabel.lesions.contour import Contour
from lesionlabel.lesions.errors import InputError


class Proof(StrEnum):
    """How a lesion's type was proven, strongest first. Follow-up counts from 6 months on; how long it was is not kept."""

    PATHOLOGY = "pathology"
    FOLLOW_UP = "follow-up"
    OTHER_IMAGING = "other imaging"
    CONSENSUS = "consensus"
    SINGLE_READER = "single reader"

    @property
    def is_strong(self) -> bool:
        """Whether headline figures and locked tests may use it."""
        return self in (Proof.PATHOLOGY, Proof.FOLLOW_UP, Proof.OTHER_IMAGING)


def parse_proof(text: str) -> Proof:
    """The proof level named by text. Raises InputError for any other word."""
    try:
        return Proof(text.strip().casefold().replace("_", " ").replace("followup", "follow-up").replace("follow up", "follow-up"))
    except ValueError:
        raise InputError(f"Unknown proof level {text!r}. Allowed: {', '.join(Proof)}.") from None


@dataclass(frozen=True, eq=False)
class Lesion:
    """A curated lesion of one volume.

    lesion_id: unique in the studies folder. image: id of the volume. contour: in its largest slice, indices of the volume's
    voxels. label: class name. saw_model: whether the model's answer was visible before the reader decided; None if unknown.
    curated_at: UTC, ISO 8601.
    """

    lesion_id: str
    image: str
    contour: Contour
    diameter_mm: float
    label: str
    proof: Proof
    reader: str
    curated_at: str
    saw_model: bool | None

    def to_json(self) -> dict[str, Any]:
        return {
            "lesion_id": self.lesion_id,
            "image": self.image,
            "slice": self.contour.slice_index,
            "contour": np.round(self.contour.points, 3).tolist(),
            "diameter_mm": round(self.diameter_mm, 2),
            "label": self.label,
            "proof": str(self.proof),
            "reader": self.reader,
            "curated_at": self.curated_at,
            "saw_model": self.saw_model,
        }

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> Lesion:
        """Read what to_json wrote. Raises InputError when a key is missing or of the wrong kind."""
        try:
            return cls(
                lesion_id=str(record["lesion_id"]),
                image=str(record["image"]),
                contour=Contour(int(record["slice"]), np.asarray(record["contour"], dtype=np.float64)),
                diameter_mm=float(record["diameter_mm"]),
                label=str(record["label"]),
                proof=parse_proof(str(record["proof"])),
                reader=str(record["reader"]),
                curated_at=str(record["curated_at"]),
                saw_model=record["saw_model"],
            )
        except InputError:
            raise
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"A lesion record is not complete: {error!r}.") from error
