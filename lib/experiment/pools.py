"""Fresh lesions of the phantom: those that every training set is also scored on, and those that the oracle arm trains on.

A result on them says nothing about patients.
"""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lesionlabel.augment.classic import originals
from lesionlabel.lesions.cohort import Cohort
from lesionlabel.lesions.files import write_atomically
from lesionlabel.lesions.splits import refuse_leak
from lesionlabel.phantom.cohort import make_cohort

Pool = Literal["fresh", "oracle"]
#: Cohort seeds that nothing else uses.
SEEDS: dict[Pool, int] = {"fresh": 1_000_000, "oracle": 1_000_001}


def make_pool(which: Pool, cohort: Cohort, count: int, path: Path) -> None:
    """Draw count lesions, in the cohort's class mix to be scored on and in equal shares to train on, and write their ROIs.

    Raises LeakError when the cohort has patients of the pool, and what make_cohort raises.
    """
    names = cohort.class_names
    mix = [n / len(cohort) for n in cohort.counts().values()] if which == "fresh" else [1 / len(names)] * len(names)
    counts = {name: max(1, round(count * share)) for name, share in zip(names, mix, strict=True)}
    drawn = make_cohort(counts, SEEDS[which])
    refuse_leak(drawn.patients, cohort.patients)
    labels = np.array([names.index(lesion.label) for lesion in drawn], dtype=np.int64)
    content = BytesIO()
    np.savez(content, images=originals(drawn)[:, 0].numpy().astype(np.float16), labels=labels)
    write_atomically(path, content.getvalue())


def read_pool(path: Path) -> tuple[Tensor, NDArray[np.int64]]:
    """ROIs (n, 1, 64, 64) and their class indices (n,)."""
    with np.load(path, allow_pickle=False) as archive:
        return torch.from_numpy(archive["images"].astype(np.float32))[:, None], archive["labels"]
