"""What all tests share: where the real CT is, and how a missing real part is reported."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def real_ct() -> Path:
    """The unzipped folder 3Dircadb1.17 of the public 3D-IRCADb-01 set."""
    folder = os.environ.get("LESIONLABEL_REAL_CT")
    if not folder:
        pytest.skip("LESIONLABEL_REAL_CT does not name the unzipped folder 3Dircadb1.17")
    path = Path(folder)
    if not (path / "PATIENT_DICOM").is_dir():
        pytest.fail(f"LESIONLABEL_REAL_CT={folder} holds no PATIENT_DICOM")
    return path


@pytest.fixture(scope="session")
def dciodvfy() -> str:
    """The DICOM checker of dicom3tools: skipped where it is missing on a laptop, a failure in CI."""
    found = shutil.which("dciodvfy")
    if found is None:
        reason = "dciodvfy is not installed (Debian package dicom3tools)"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    return found
