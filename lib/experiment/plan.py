"""What an experiment trains: arms with their amounts, seeds, folds and schedules, all fixed before anything is trained.

Source: Frid-Adar et al. 2018, section IV: nine nested amounts of classic augmentation, six of synthetic ROIs, three folds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, get_args

from lesionlabel.lesions.errors import InputError
from lesionlabel.networks.gans import Arm as Network

#: steps: the same number of optimiser steps for every training set, on which the verdict rests. epochs: the paper's way.
Schedule = Literal["steps", "epochs"]
SCHEDULES: tuple[Schedule, ...] = get_args(Schedule)

#: The arms that can be asked for, with what a reader is told of each.
ARMS: Mapping[str, str] = MappingProxyType(
    {
        "classic": "classic augmentation; an amount of 0 is no augmentation",
        "duplicates": "classic, and as many exact copies of those images as the others have synthetic ones",
        "dcgan": "classic and the paper's DCGANs, one per class",
        "acgan": "classic and the paper's ACGAN",
        "modern": "classic and the GAN for little data",
        "filtered": "classic and what a classifier of the fold keeps of the DCGANs' ROIs",
        "discriminator": "the ACGAN's discriminator as classifier",
        "synthetic": "the DCGANs' ROIs alone",
        "oracle": "classic and fresh lesions of the phantom in place of synthetic ones: the ceiling of any generator",
        "words": "bag of visual words (Frid-Adar et al. 2018, section V)",
        "mean": "the lesion's mean HU alone",
        "diameter": "the lesion's diameter alone",
    }
)
#: Arms without a network of the classifier's kind: nothing of them depends on the schedule.
NOT_TRAINED = ("discriminator", "words", "mean", "diameter")
#: Whose generators an arm's ROIs are from.
GENERATORS: Mapping[str, Network] = MappingProxyType(
    {"dcgan": "dcgan", "filtered": "dcgan", "synthetic": "dcgan", "acgan": "acgan", "discriminator": "acgan", "modern": "modern"}
)


@dataclass(frozen=True, order=True)
class Point:
    """One training set: an arm with its amounts.

    classic, added: ROIs of all classes together that are added for each fold that trains, classic augmentations and what the arm
    adds to them.
    """

    arm: str
    classic: int = 0
    added: int = 0

    @property
    def key(self) -> str:
        """The point in a file name."""
        return f"{self.arm}-{self.classic}-{self.added}"

    @property
    def title(self) -> str:
        """The point for a reader."""
        if self.arm in NOT_TRAINED:
            return self.arm
        if self.arm == "classic":
            return f"classic {self.classic}" if self.classic else "none"
        return f"classic {self.classic} + {self.arm} {self.added}" if self.classic else f"{self.arm} {self.added}"


@dataclass(frozen=True)
class Profile:
    """How much of everything. Amounts are per fold that trains, of all classes together.

    classic, added: the amounts of the curve. fixed_classic, fixed_added: those of every other arm, fixed beforehand. epochs,
    steps, learning_rate, batch: of the classifier, under either schedule. width, gan_steps: of the generators; gan_steps None for
    the paper's epochs, and twice as many for the ACGAN. gan_amount: classic augmentations that generators learn from.
    measured_seeds: seeds whose generators are measured. fresh: lesions of the phantom that no fold has seen. reduced: what is
    less than in the paper, in words. demonstration: whether it shows a report only, whose figures say nothing of the method.
    """

    name: str
    seeds: int
    classic: tuple[int, ...]
    added: tuple[int, ...]
    fixed_classic: int
    fixed_added: int
    epochs: int
    steps: int
    learning_rate: float
    batch: int
    width: int
    gan_steps: int | None
    gan_amount: int
    measured_seeds: int
    fresh: int
    schedules: tuple[Schedule, ...] = SCHEDULES
    folds: int = 3
    reduced: tuple[str, ...] = ()
    demonstration: bool = False

    def points(self, arms: Sequence[str], drawn: bool) -> tuple[Point, ...]:
        """Every training set of the arms, in the order of a report, and no augmentation beside every arm that trains a network.

        Raises InputError for an unknown arm, and for an oracle alone where no phantom draws one.
        """
        strange = [arm for arm in arms if arm not in ARMS]
        if strange:
            raise InputError(f"Unknown arm {strange[0]!r}. Allowed: {', '.join(ARMS)}.")
        found: list[Point] = []
        for arm in ARMS:
            if arm not in arms or (arm == "oracle" and not drawn):
                continue
            if arm == "classic":
                found += [Point(arm, amount) for amount in self.classic]
            elif arm == "dcgan":
                found += [Point(arm, self.fixed_classic, amount) for amount in self.added]
            elif arm in NOT_TRAINED:
                found.append(Point(arm))
            elif arm == "synthetic":
                found.append(Point(arm, 0, self.fixed_added))
            else:
                found.append(Point(arm, self.fixed_classic, self.fixed_added))
        if not found:
            raise InputError("Only a phantom whose preset and variant are known has an oracle. Ask for other arms.")
        beside = [Point("classic", self.fixed_classic)] if "filtered" in arms else []
        if any(point.arm not in NOT_TRAINED for point in found):
            beside.insert(0, Point("classic"))
        return (*(point for point in beside if point not in found), *found)

    @property
    def primary(self) -> tuple[Point, Point]:
        """The one primary hypothesis: classic + DCGAN against classic + duplicates, at equal count and steps."""
        return Point("dcgan", self.fixed_classic, self.fixed_added), Point("duplicates", self.fixed_classic, self.fixed_added)


@dataclass(frozen=True)
class Plan:
    """A profile with what was chosen of it. seeds: the numbers of the seeds, each of which draws its own partition.

    cohort: the snapshot's hash. simulated: whether its lesions are a phantom's. phantom: the preset and variant that drew them,
    where they are known, so that fresh lesions can be had. device, torch: what trains, and its version.
    """

    profile: Profile
    points: tuple[Point, ...]
    seeds: tuple[int, ...]
    cohort: str
    class_names: tuple[str, ...]
    simulated: bool
    code_version: str
    device: str
    torch: str
    phantom: tuple[str, str] | None = None

    @property
    def drawn(self) -> bool:
        """Whether fresh lesions of the cohort's phantom can be drawn."""
        return self.phantom is not None

    @property
    def filter_point(self) -> Point:
        """The point whose classifier chooses for the filtered arm."""
        return Point("classic", self.profile.fixed_classic)

    @property
    def shown(self) -> tuple[Point, ...]:
        """The points whose features are kept: classic augmentation alone, and with the DCGAN's ROIs."""
        return self.filter_point, self.profile.primary[0]
