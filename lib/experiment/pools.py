"""Fresh lesions of the phantom: those that every training set is also scored on, and those that the oracle arm trains on.

A result on them says nothing about patients.
"""

from __future__ import annotations

from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lesionlabel.augment.classic import originals
from lesionlabel.experiment.reading import reading
from lesionlabel.lesions.cohort import Cohort, CohortLesion
from lesionlabel.lesions.files import write_atomically
from lesionlabel.lesions.splits import refuse_leak
from lesionlabel.phantom.cohort import make_cohort
from lesionlabel.phantom.lesions import DRAWN_CLASSES
from lesionlabel.phantom.parameters import VARIANTS
from lesionlabel.phantom.presets import PRESETS

Pool = Literal["fresh", "oracle"]
#: Preset and variant.
Drawn = tuple[str, str]
#: Cohort seeds that nothing else uses.
SEEDS: dict[Pool, int] = {"fresh": 1_000_000, "oracle": 1_000_001}
#: Lesions of each class by which a phantom is recognised.
COMPARED = 3


@lru_cache(maxsize=4)
def phantom_of(cohort: Cohort) -> Drawn | None:
    """The preset and variant that draw this cohort's lesions; None for another phantom's, or where two would draw the same.

    Lesion n of a class is the same for a seed whatever the counts, so the first ones are drawn again and compared.
    """
    first: dict[tuple[int, str], CohortLesion] = {}
    for lesion in cohort:
        parts = lesion.lesion_id.split("-")
        if len(parts) != 4 or not parts[1].isdecimal() or not parts[3].isdecimal() or parts[2] not in DRAWN_CLASSES:
            return None
        if int(parts[3]) < COMPARED:
            first[int(parts[1]), lesion.lesion_id] = lesion
    found: list[Drawn] = []
    for preset in PRESETS:
        for variant, parameters in VARIANTS.items():
            counts = dict.fromkeys(DRAWN_CLASSES, COMPARED)
            again = {
                (seed, lesion.lesion_id): lesion
                for seed in {seed for seed, _ in first}
                for lesion in make_cohort(counts, seed, preset, parameters)
            }
            if first and all(one.record()["pixels"] == again[key].record()["pixels"] for key, one in first.items()):
                found.append((preset, variant))
    return found[0] if len(found) == 1 else None


def make_pool(which: Pool, cohort: Cohort, drawn: Drawn, count: int, seed: int, path: Path) -> None:
    """Draw count lesions, in the cohort's class mix to be scored on and in equal shares to train on, and write their ROIs.

    drawn: the cohort's own preset and variant. seed: the experiment's first; those to be scored on are the same for all.
    Raises LeakError when the cohort has patients of the pool, and what make_cohort raises.
    """
    names = cohort.class_names
    mix = [n / len(cohort) for n in cohort.counts().values()] if which == "fresh" else [1 / len(names)] * len(names)
    counts = {name: max(1, round(count * share)) for name, share in zip(names, mix, strict=True)}
    preset, variant = drawn
    lesions = make_cohort(counts, SEEDS[which] + (seed if which == "oracle" else 0), preset, VARIANTS[variant])
    refuse_leak(lesions.patients, cohort.patients)
    labels = np.array([names.index(lesion.label) for lesion in lesions], dtype=np.int64)
    content = BytesIO()
    np.savez(content, images=originals(lesions)[:, 0].numpy().astype(np.float16), labels=labels)
    write_atomically(path, content.getvalue())


def read_pool(path: Path) -> tuple[Tensor, NDArray[np.int64]]:
    """ROIs (n, 1, 64, 64) and their class indices (n,). Raises IntegrityError when the file is missing or damaged."""
    with reading(path), np.load(path, allow_pickle=False) as archive:
        return torch.from_numpy(archive["images"].astype(np.float32))[:, None], archive["labels"]
