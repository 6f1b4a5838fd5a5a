"""The record of one augmented ROI: from it, and the lesion, the same picture can be made again to the bit."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, get_args

from torch import Tensor

from lesionlabel.augment.apply import cut_rois
from lesionlabel.lesions.cohort import CohortLesion
from lesionlabel.lesions.errors import InputError
from lesionlabel.lesions.roi import Flip, Placement


@dataclass(frozen=True)
class AugmentRecord:
    """Where one ROI came from.

    seed, index: the lesion's stream of draws and the place in it. inward_only: scaling could not add tissue, because the
    lesion came as a ready-cut ROI; what lies outside it is mirrored.
    """

    lesion_id: str
    seed: int
    index: int
    placement: Placement
    inward_only: bool

    def to_json(self) -> dict[str, Any]:
        return {
            "lesion_id": self.lesion_id,
            "seed": self.seed,
            "index": self.index,
            "inward_only": self.inward_only,
            **asdict(self.placement),
        }

    @classmethod
    def from_json(cls, record: dict[str, Any]) -> AugmentRecord:
        """Read what to_json wrote, also after JSON. Raises InputError when a key is missing or of the wrong kind."""
        try:
            x, y = record["shift_px"]
            margin = record["margin"]
            if record["flip"] not in get_args(Flip):
                raise ValueError(f"flip {record['flip']!r} is none of {', '.join(get_args(Flip))}")
            placement = Placement(
                angle_deg=float(record["angle_deg"]),
                shift_px=(float(x), float(y)),
                margin=None if margin is None else float(margin),
                flip=record["flip"],
            )
            return cls(
                str(record["lesion_id"]), int(record["seed"]), int(record["index"]), placement, bool(record["inward_only"])
            )
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"The record of an augmented ROI is not complete: {error!r}.") from error

    def make_again(self, lesion: CohortLesion) -> Tensor:
        """The ROI, (1, 64, 64) float32. Raises InputError when lesion is another one."""
        if lesion.lesion_id != self.lesion_id:
            raise InputError(f"This record is of lesion {self.lesion_id}, not of {lesion.lesion_id}.")
        return cut_rois(lesion.context, [self.placement])[0]
