from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from lesionlabel.datastore.answers import AnswerLog
from lesionlabel.datastore.curate import Curator
from lesionlabel.datastore.curated import CuratedDatastore
from lesionlabel.imaging.store import VolumeStore
from lesionlabel.lesions.classes import DEFAULT_CLASSES


@pytest.fixture
def store(tmp_path: Path) -> VolumeStore:
    return VolumeStore(tmp_path / "volumes", 2**30)


@pytest.fixture
def answers(tmp_path: Path) -> AnswerLog:
    return AnswerLog(tmp_path / "answers")


@pytest.fixture
def open_datastore(tmp_path: Path, store: VolumeStore, answers: AnswerLog, tiny_ct) -> Callable[[], CuratedDatastore]:
    """A function that opens the same studies folder again, as another process would."""
    tiny_ct(tmp_path / "studies" / "case_a.nii.gz", seed=1)
    tiny_ct(tmp_path / "studies" / "case_b.nii.gz", seed=2)
    return lambda: CuratedDatastore(tmp_path / "studies", Curator(store.open, DEFAULT_CLASSES, answers))


@pytest.fixture
def datastore(open_datastore: Callable[[], CuratedDatastore]) -> CuratedDatastore:
    return open_datastore()
