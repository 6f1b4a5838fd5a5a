"""The house's own rules that no linter knows."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
MODULES = sorted(path for folder in ("lib", "app", "plugins", "tests", "benchmarks") for path in (ROOT / folder).rglob("*.py"))
LONGEST = 400


@pytest.mark.parametrize("module", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_can_be_read_in_one_sitting(module: Path) -> None:
    lines = len(module.read_text(encoding="utf-8").splitlines())
    assert lines <= LONGEST, f"{module.relative_to(ROOT)} has {lines} lines; split it by idea ({LONGEST} are allowed)"


def test_an_installed_copy_holds_every_package() -> None:
    listed = set(tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]["packages"])
    ours = {f"lesionlabel.{path.parent.name}" for path in (ROOT / "lib").glob("*/__init__.py")}
    assert ours <= listed
