"""What the training commands share: the lesions that they are given, and lines of progress."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from lesionlabel.lesions.errors import InputError

if TYPE_CHECKING:
    from lesionlabel.lesions.cohort import Cohort
    from lesionlabel.settings import Settings
    from lesionlabel.training.hooks import Progress

#: Seconds between two lines of progress.
TELL_EVERY_S = 5


def describe_cohort(cohort: Cohort) -> str:
    """How many lesions of which class and how many patients, in one line."""
    counts = ", ".join(f"{count} {name}" for name, count in cohort.counts().items())
    return f"{len(cohort)} lesions ({counts}) of {len(set(cohort.patients))} patients, snapshot {cohort.digest[:12]}."


def read_cohort(path: Path | None, studies: Path | None, kind: str | None, settings: Settings) -> Cohort:
    """The lesions of a cohort file or of a studies folder, exactly one of which is given. Raises InputError."""
    from lesionlabel.lesions.cohort import load_cohort

    if path is not None and studies is None:
        if kind is not None:
            raise InputError("--kind chooses among the lesions of --studies; a cohort file is of one kind.")
        return load_cohort(path)
    if studies is None or path is not None:
        raise InputError("Give the lesions either as --cohort FILE.npz or as --studies DIR.")
    from lesionlabel.datastore.cohort import cohort_of_studies

    return cohort_of_studies(studies, settings, kind)


def teller() -> Progress:
    """Prints where the run is, every few seconds."""
    told = 0.0

    def tell(share: float, what: str) -> None:
        nonlocal told
        if time.monotonic() - told >= TELL_EVERY_S:
            told = time.monotonic()
            print(f"{share:5.0%}  {what}", flush=True)

    return tell
