"""How much of everything an experiment does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.metadata import version
from types import MappingProxyType

from lesionlabel.evaluation.crossval import is_simulated
from lesionlabel.experiment.plan import Plan, Profile
from lesionlabel.experiment.pools import phantom_of
from lesionlabel.lesions.cohort import Cohort
from lesionlabel.networks.dcgan import PAPER_WIDTH
from lesionlabel.networks.device import pick_device
from lesionlabel.phantom.lesions import DRAWN_CLASSES
from lesionlabel.registry.manifest import code_version
from lesionlabel.registry.profiles import find_profile

#: "paper" is Frid-Adar's, for a GPU. "evening" is what two cores do in some hours. "quick" shows in minutes what a report says:
#: its figures say nothing of the method.
PROFILES: Mapping[str, Profile] = MappingProxyType(
    {
        "paper": Profile(
            name="paper",
            seeds=5,
            classic=(0, 500, 1000, 2000, 3000, 5000, 7500, 10000, 15000),
            added=(300, 1500, 3000, 6000, 9000, 12000),
            fixed_classic=5000,
            fixed_added=3000,
            epochs=150,
            steps=37_800,
            learning_rate=1e-3,
            batch=64,
            width=PAPER_WIDTH,
            gan_steps=None,
            gan_amount=5000,
            measured_seeds=1,
            fresh=6000,
        ),
        "evening": Profile(
            name="evening",
            seeds=3,
            classic=(0, 500, 2000),
            added=(300, 1500),
            fixed_classic=500,
            fixed_added=300,
            epochs=3,
            steps=400,
            learning_rate=4e-3,
            batch=16,
            width=64,
            gan_steps=400,
            gan_amount=1000,
            measured_seeds=1,
            fresh=600,
            reduced=(
                "classic amounts 0, 500 and 2000 a fold instead of nine up to 15000",
                "300 and 1500 synthetic ROIs a fold instead of six amounts up to 12000",
                "every other arm at 500 classic and 300 synthetic ROIs a fold instead of 5000 and 3000",
                "3 epochs instead of 150, or 400 steps instead of 37800, with batches of 16 instead of 64, at learning rate 4e-3 "
                "instead of 1e-3",
                "generators of width 64 instead of 1024, 400 steps (ACGAN 800) on 1000 classic ROIs a fold instead of 5000",
                "600 fresh lesions of the phantom instead of 6000",
            ),
        ),
        "quick": Profile(
            name="quick",
            seeds=2,
            classic=(0, 500),
            added=(300,),
            fixed_classic=500,
            fixed_added=300,
            epochs=2,
            steps=160,
            learning_rate=4e-3,
            batch=16,
            width=32,
            gan_steps=120,
            gan_amount=500,
            measured_seeds=0,
            fresh=300,
            reduced=(
                "classic amounts 0 and 500 a fold instead of nine up to 15000",
                "300 synthetic ROIs a fold instead of six amounts up to 12000",
                "2 epochs instead of 150, or 160 steps instead of 37800, with batches of 16 instead of 64, at learning rate 4e-3 "
                "instead of 1e-3",
                "generators of width 32 instead of 1024, 120 steps (ACGAN 240) on 500 classic ROIs a fold instead of 5000",
                "generators not measured for quality and copies",
                "300 fresh lesions of the phantom instead of 6000",
            ),
            demonstration=True,
        ),
    }
)


def make_plan(cohort: Cohort, profile: str, arms: Sequence[str], seeds: int | None, device: str = "auto") -> Plan:
    """The plan of an experiment on a cohort. seeds: how many, the profile's own number if None. device: as in Settings.

    Raises InputError for an unknown profile, arm or device, and for a cohort that mixes simulated and real lesions.
    """
    found = find_profile(PROFILES, profile)
    simulated = is_simulated(cohort)
    found = replace(found, seeds=found.seeds if seeds is None else seeds)
    if found.seeds < PROFILES["paper"].seeds:
        found = replace(found, reduced=(f"{found.seeds} seed(s) instead of {PROFILES['paper'].seeds}", *found.reduced))
    phantom = phantom_of(cohort) if simulated and set(cohort.class_names) <= set(DRAWN_CLASSES) else None
    return Plan(
        profile=found,
        points=found.points(arms, phantom is not None),
        seeds=tuple(range(found.seeds)),
        cohort=cohort.digest,
        class_names=cohort.class_names,
        simulated=simulated,
        code_version=code_version(),
        device=pick_device(device).type,
        torch=version("torch"),
        phantom=phantom,
    )
