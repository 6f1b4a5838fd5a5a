"""`lesionlabel slicer-module`: the module for 3D Slicer, as files."""

from __future__ import annotations

import shutil
import tempfile
from importlib import resources
from pathlib import Path
from typing import Annotated

import typer

from lesionlabel.lesions.errors import InputError

MODULE = "LesionLabel"


def slicer_module(
    folder: Annotated[Path, typer.Argument(help="Where to put it; 3D Slicer has to find it there whenever it starts.")],
) -> None:
    """Write our module for 3D Slicer into a folder, over an earlier one of ours, and say how to add it there."""
    print(copy_module(folder).resolve())
    print("In 3D Slicer: Edit, Application Settings, Modules, Additional module paths: add this folder, then restart.")


def copy_module(folder: Path) -> Path:
    """Copy the module to folder/LesionLabel. Raises InputError where something else is in that place."""
    source = Path(str(resources.files("lesionlabel.plugins"))) / "slicer"
    target = folder / MODULE
    if target.exists() and not (target / f"{MODULE}.py").is_file():
        raise InputError(f"{target} is there and is not our module. Name another folder.")
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".lesionlabel-", dir=folder) as staging:
        staged = Path(staging) / MODULE
        shutil.copytree(source / MODULE, staged, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy2(source / "README.md", staged)
        if target.exists():
            target.rename(Path(staging) / "earlier")
        staged.rename(target)
    return target
