from __future__ import annotations

from pathlib import Path

import pytest

from lesionlabel.infers.desk import Desk
from lesionlabel.settings import Settings


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory, tiny_ct, tiny_label, promote_untrained) -> Path:
    """A folder with home/, where a model serves, studies/ct.nii.gz and label.nii.gz. Read only."""
    folder = tmp_path_factory.mktemp("site")
    promote_untrained(Settings(home=folder / "home", device="cpu"))
    tiny_ct(folder / "studies" / "ct.nii.gz")
    tiny_label(folder / "label.nii.gz", {"cyst": 1, "metastasis": 2})
    return folder


@pytest.fixture(scope="session")
def desk(site: Path) -> Desk:
    return Desk(Settings(home=site / "home", device="cpu"))


@pytest.fixture(scope="session")
def ct(site: Path) -> Path:
    return site / "studies" / "ct.nii.gz"
