"""What readers have decided in use, put to a version and to what serves."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from lesionlabel.datastore.cohort import consecutive_cohort, open_studies
from lesionlabel.lesions.errors import InputError, IntegrityError
from lesionlabel.registry.in_use import InUse, both_since, compare_in_use
from lesionlabel.registry.training_plan import read_snapshot
from lesionlabel.registry.versions import Versions
from lesionlabel.settings import Settings


def in_use(settings: Settings, studies: Path, version: str) -> InUse:
    """Test-then-train of a version against what serves.

    Raises NotFoundError, NoModelError, IntegrityError, and InputError for the version that serves or a folder that is not there.
    """
    datastore, store = open_studies(studies, settings)
    versions = Versions(settings)
    champion, candidate = versions.champion(), versions.load(versions.get(version).folder)
    if champion.version == version:
        raise InputError(f"{version} serves already: there is nothing to compare it with.")
    since = both_since(candidate, champion)
    came = consecutive_cohort(datastore, store, settings.classes, candidate.trained_on, since)
    trained = None
    with suppress(InputError, IntegrityError):
        trained = read_snapshot(settings, candidate.manifest.snapshot)
    return compare_in_use(candidate, champion, came, settings.classes, trained)
