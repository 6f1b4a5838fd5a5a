"""`lesionlabel phantom`: simulated studies or ROIs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lesionlabel.lesions.cohort import save_cohort
from lesionlabel.phantom.cohort import make_cohort
from lesionlabel.phantom.parameters import find_variant
from lesionlabel.phantom.studies import MATRIX, write_studies


def phantom(
    out: Annotated[Path, typer.Option(help="Folder to write to; it must be new or empty for studies.")],
    patients: Annotated[int, typer.Option(help="Number of simulated patients.")] = 6,
    seed: Annotated[int, typer.Option(help="The same seed gives the same studies.")] = 0,
    preset: Annotated[str, typer.Option(help="sharp (1.6 mm slices) or soft (5 mm).")] = "sharp",
    rois: Annotated[bool, typer.Option("--rois", help="Make OUT/cohort.npz of 53/64/65 ROIs instead of studies.")] = False,
    matrix: Annotated[int, typer.Option(help="Rows and columns of a slice.")] = MATRIX,
    variant: Annotated[str, typer.Option(help="calibrated, easier or harder.")] = "calibrated",
) -> None:
    """Simulate portal-venous CT with liver lesions, as DICOM series with their truth, or as a cohort of ROIs.

    A result on simulated images says nothing about patients.
    """
    parameters = find_variant(variant)
    if rois:
        cohort = make_cohort(None, seed, preset, parameters)
        save_cohort(cohort, out / "cohort.npz")
        counts = ", ".join(f"{count} {name}" for name, count in cohort.counts().items())
        typer.echo(f"{out / 'cohort.npz'}: {len(cohort)} simulated lesions ({counts}).")
    else:
        truth = write_studies(patients, seed, preset, out, matrix, parameters)
        typer.echo(f"{patients} simulated patients in {out}; their lesions are in {truth}.")
        typer.echo(f"Next: lesionlabel import {out} --studies DIR --phantom")
    typer.echo("Simulated: a result on them says nothing about patients.")
