"""The locked patients: those whose lesions test versions and never train one, once a site has enough lesions to spare.

Who is locked is decided by a keyed hash of the pseudonym, so at first sight and for ever, with all lesions. Until the cut leaves
enough on both sides in every class, no patient is set apart; from then on the cut stays.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lesionlabel.evaluation.crossval import decided_blind, is_simulated
from lesionlabel.imaging.identity import Identity
from lesionlabel.lesions.cohort import Cohort
from lesionlabel.lesions.errors import IntegrityError
from lesionlabel.lesions.files import write_atomically
from lesionlabel.settings import Settings

#: Of all patients.
SHARE = 1 / 3
#: Lesions of every class that a cut must leave on either side.
LEAST_TEST, LEAST_TRAINING = 30, 60


class LockedPatients:
    """The cut of one home folder. Simulated and real patients have one each."""

    def __init__(self, settings: Settings) -> None:
        self._home: Path = settings.home
        self._path: Path = settings.home / "locked.json"

    def cut(self, cohort: Cohort) -> NDArray[np.bool_]:
        """Which lesions, (n,), are of locked patients, before a training. The first time there are enough, the cut is kept.

        Raises IntegrityError when what was kept cannot be read: then nobody knows who must not train.
        """
        locked, kind = self.of(cohort), _kind(cohort)
        if locked.any() or kind in self._cuts():
            return locked
        here = self._places(cohort)
        if not enough(cohort, here):
            return locked
        now = datetime.now(UTC).isoformat(timespec="seconds")
        content = {**self._cuts(), kind: {"since": now, "snapshot": cohort.digest}}
        write_atomically(self._path, (json.dumps(content, indent=1) + "\n").encode())
        return here

    def of(self, cohort: Cohort) -> NDArray[np.bool_]:
        """Which lesions, (n,), are of patients that are locked already. Raises as cut."""
        if _kind(cohort) not in self._cuts():
            return np.zeros(len(cohort), dtype=bool)
        return self._places(cohort)

    def _places(self, cohort: Cohort) -> NDArray[np.bool_]:
        identity = Identity(self._home)
        return np.array([identity.place(patient) < SHARE for patient in cohort.patients], dtype=bool)

    def _cuts(self) -> Mapping[str, Any]:
        try:
            content = json.loads(self._path.read_bytes())
        except FileNotFoundError:
            return {}
        except ValueError as error:
            raise IntegrityError(
                f"{self._path} is damaged ({error}). Restore it from a backup: it says whose lesions must not train."
            ) from error
        if not isinstance(content, dict):
            raise IntegrityError(f"{self._path} is damaged. Restore it from a backup: it says whose lesions must not train.")
        return content


def _kind(cohort: Cohort) -> str:
    return "phantom" if is_simulated(cohort) else "patients"


def enough(cohort: Cohort, locked: NDArray[np.bool_]) -> bool:
    """Whether the cut leaves enough lesions of every class to train on and enough that may be tested."""
    as_tested = cohort.as_tested()
    tested = locked & testable(as_tested)
    for index in range(len(cohort.class_names)):
        test, training = tested & (as_tested.labels == index), ~locked & (cohort.labels == index)
        if test.sum() < LEAST_TEST or training.sum() < LEAST_TRAINING:
            return False
    return True


def testable(cohort: Cohort) -> NDArray[np.bool_]:
    """Which lesions, (n,), of a cohort as tested a locked test may use: decided blind, proven by more than readers' opinion."""
    return decided_blind(cohort) & np.array([lesion.proof.is_strong for lesion in cohort], dtype=bool)
