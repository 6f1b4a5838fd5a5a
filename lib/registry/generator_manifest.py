"""The manifest of a generator version: a version's, with what was measured of its images and whom they may copy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from lesionlabel.evaluation.outcome import Outcome
from lesionlabel.networks.gans import Arm, require_arm
from lesionlabel.registry.manifest import VersionManifest


@dataclass(frozen=True, kw_only=True)
class GeneratorManifest(VersionManifest):
    """The manifest of a generator. Its classes are those that it makes.

    name: of the trainer, such as "gan_cyst". arm, width: of its network. held_out: pseudonyms of the patients that it did not see
    and was measured against. quality, memorisation: reports by class. membership: the report on whether its images tell who was
    in training, None where it was not made.
    """

    FORMAT: ClassVar[str] = "lesionlabel-generator-1"
    ADVICE: ClassVar[str] = "Train one with 'lesionlabel train gan' and promote it with 'lesionlabel generators promote'."

    name: str
    arm: Arm
    width: int
    held_out: tuple[str, ...]
    quality: dict[str, Any]
    memorisation: dict[str, Any]
    membership: dict[str, Any] | None

    @property
    def outcome(self) -> Outcome:
        """Of the class that does worst; without a report of every class it cannot be told."""
        outcomes = {str(report["outcome"]) for report in self.memorisation.values()}
        if Outcome.UNFIT in outcomes:
            return Outcome.UNFIT
        tested = outcomes == {Outcome.FIT} and set(self.memorisation) == set(self.class_names)
        return Outcome.FIT if tested else Outcome.CANNOT_BE_TESTED

    @classmethod
    def _own(cls, content: dict[str, Any]) -> dict[str, Any]:
        return {
            "name": str(content["name"]),
            "arm": require_arm(content["arm"]),
            "width": int(content["width"]),
            "held_out": tuple(content["held_out"]),
            "quality": dict(content["quality"]),
            "memorisation": dict(content["memorisation"]),
            "membership": content["membership"],
        }
