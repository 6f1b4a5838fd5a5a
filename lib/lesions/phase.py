"""The contrast phase of a CT, from the image alone: blood pool, liver and its vessels by robust means.

No outside reference fixes these limits; they are round figures of what the phases usually look like and are checked on
simulated scans. "unknown" is the answer whenever the measurements do not clearly speak for one phase.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from lesionlabel.lesions.blood_pool import LEAST_ORGAN_ML, aorta_hu, bulky_organ, cells_of, liver_hu, liver_veins_hu
from lesionlabel.lesions.volume import Volume

PhaseName = Literal["portal-venous", "arterial", "unenhanced", "unknown"]

#: Limits in HU that part the phases.
ARTERIAL_AORTA, ARTERIAL_VEINS = 220.0, 140.0
PORTAL_POOL = (120.0, 210.0)
#: In the portal-venous phase the aorta and the vessels in the liver differ by at most this.
POOL_TOLERANCE = 40.0
ENHANCED_LIVER = 65.0
UNENHANCED_LIMIT = 85.0
#: The brightest organ is this quantile of all bulky organ.
BRIGHTEST = 0.95


@dataclass(frozen=True)
class Phase:
    """name: the phase. aorta_hu, liver_hu, liver_veins_hu, brightest_organ_hu: what it rests on, None where not
    found. sentence: for the reader, with those figures."""

    name: PhaseName
    sentence: str
    aorta_hu: float | None = None
    liver_hu: float | None = None
    liver_veins_hu: float | None = None
    brightest_organ_hu: float | None = None

    @property
    def refused(self) -> bool:
        """Whether a lesion type should be refused until a reader overrides it. Not for "unknown"."""
        return self.name in ("arterial", "unenhanced")


def check_phase(volume: Volume) -> Phase:
    """The contrast phase of an axial abdominal CT. It never raises for an odd image: it says "unknown"."""
    cells, mm = cells_of(volume)
    if min(cells.shape) < 4 or cells.shape[0] * mm[0] < 20:
        return Phase("unknown", "The contrast phase could not be checked: the volume is too small.")
    bulky = bulky_organ(cells, mm)
    aorta = aorta_hu(cells, mm)
    liver = liver_hu(cells, bulky, mm)
    veins = None if liver is None else liver_veins_hu(cells, liver, mm)
    millilitres = float(np.prod(mm)) / 1000
    if bulky.sum() * millilitres < LEAST_ORGAN_ML:
        said = "The contrast phase could not be checked: too little of the abdomen's organs is in the volume."
        return Phase("unknown", said, aorta)
    brightest = float(np.quantile(cells[bulky], BRIGHTEST))
    name = _name(aorta, liver, veins, brightest)
    return Phase(name, _sentence(name, aorta, liver, veins, brightest), aorta, liver, veins, brightest)


def _name(aorta: float | None, liver: float | None, veins: float | None, brightest: float) -> PhaseName:
    if aorta is None or liver is None:
        return "unknown"
    if max(brightest, aorta, veins or 0.0) < UNENHANCED_LIMIT:
        return "unenhanced"
    if aorta > ARTERIAL_AORTA and (veins is None or veins < min(ARTERIAL_VEINS, aorta - 2 * POOL_TOLERANCE)):
        return "arterial"
    low, high = PORTAL_POOL
    agree = veins is not None and low <= min(aorta, veins) and max(aorta, veins) <= high and abs(veins - aorta) <= POOL_TOLERANCE
    if agree and liver >= ENHANCED_LIVER:
        return "portal-venous"
    return "unknown"


def _sentence(name: PhaseName, aorta: float | None, liver: float | None, veins: float | None, brightest: float) -> str:
    measured = ", ".join(
        f"{what} {value:.0f} HU"
        for what, value in (("aorta", aorta), ("vessels in the liver", veins), ("liver", liver), ("brightest organ", brightest))
        if value is not None
    )
    said = {
        "portal-venous": "The scan looks portal-venous",
        "arterial": "The scan looks arterial; lesion types are told for the portal-venous phase only",
        "unenhanced": "The scan looks unenhanced; lesion types are told for the portal-venous phase only",
        "unknown": "The contrast phase could not be told from the image: make sure that it is portal-venous",
    }[name]
    return f"{said} ({measured})."
