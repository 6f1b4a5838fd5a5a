from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from lesionlabel.imaging.plausible import check_hu
from lesionlabel.lesions.errors import NotCTError


def noisy(values: NDArray[Any], sd: float, seed: int = 0) -> NDArray[np.int16]:
    return np.rint(values + np.random.default_rng(seed).normal(0, sd, values.shape)).astype(np.int16)


def abdomen() -> NDArray[np.float64]:
    """Air, a body of fat and tissue that fills a third of the field, a little bone."""
    hu = np.full((4, 60, 60), -1000.0)
    hu[:, 12:48, 12:48] = -100
    hu[:, 15:45, 15:45] = 60
    hu[:, 20:30, 18:34] = 104
    hu[:, 40:44, 28:33] = 500
    return hu


GOOD = {
    "abdomen": noisy(abdomen(), 15),
    "crop of the liver with lung": noisy(np.where(np.arange(40)[:, None] < 8, -850.0, np.full((4, 40, 40), 104.0)), 20),
    "crop inside the liver": noisy(np.full((4, 30, 30), 104.0), 21),
    "crop of a large cyst": noisy(np.full((4, 30, 30), 8.0), 15),
    "crop of liver and vessels": noisy(np.where(np.arange(30) % 5 < 1, 170.0, np.full((4, 30, 30), 100.0)), 20),
    "metal": np.where(np.arange(60) == 30, 3071, noisy(abdomen(), 15)).astype(np.int16),
    "round field with padding": np.where(np.arange(60) < 5, -2000, noisy(abdomen(), 15)).astype(np.int16),
    "small patient in a wide field": np.pad(noisy(abdomen(), 15), ((0, 0), (60, 60), (60, 60)), constant_values=-1000),
}
window = np.clip((abdomen() + 100) / 340 * 255, 0, 255)
mr = np.where(abdomen() > -500, 150 + abdomen(), 8)
BAD = {
    "8-bit screenshot": noisy(window, 0),
    "screenshot of the middle": noisy(np.clip(window, 1, 254), 3).clip(1, 254),
    "without its intercept": noisy(abdomen() + 1024, 15).clip(0, 4095),
    "intercept applied twice": noisy(abdomen() - 1024, 15),
    "ten times the slope": noisy(abdomen() * 10, 15),
    "intercept missing, with padding": np.where(np.arange(60) < 5, -2000, noisy(abdomen() + 1024, 15)).astype(np.int16),
    "normalised to 0 .. 1": noisy(window / 255, 0),
    "z scores": noisy(np.zeros((4, 30, 30)), 1),
    "MR": noisy(np.abs(mr) * 3, 10).clip(0),
    "PET": noisy(np.abs(mr) * 60, 100).clip(0),
    "label map": (abdomen() > 0).astype(np.int16),
    "empty": np.zeros((4, 30, 30), np.int16),
    "only air": noisy(np.full((4, 30, 30), -1000.0), 10),
}


@pytest.mark.parametrize("name", GOOD)
def test_ct_passes(name: str) -> None:
    check_hu(GOOD[name])


@pytest.mark.parametrize("name", BAD)
def test_other_numbers_are_refused_with_what_is_allowed(name: str) -> None:
    with pytest.raises(NotCTError, match="Allowed: a CT in HU"):
        check_hu(BAD[name])
