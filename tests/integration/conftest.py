"""3D Slicer's own libraries without its window: the package slicer-core (5.13, Python 3.11) from PyPI."""

from __future__ import annotations

import importlib.util
import os
import warnings
from types import ModuleType

import pytest


@pytest.fixture(scope="session")
def slicer() -> ModuleType:
    """The namespace `slicer`: skipped where the package is missing on a laptop, a failure in CI."""
    if importlib.util.find_spec("slicer_core") is None:
        reason = "slicer-core is not installed (pip install slicer-core, for Linux x86-64)"
        if os.environ.get("CI"):
            pytest.fail(reason)
        pytest.skip(reason)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what VTK's own modules warn of at import is not ours
        return importlib.import_module("slicer")
