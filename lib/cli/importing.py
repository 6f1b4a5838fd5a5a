"""`lesionlabel import` and `lesionlabel import-rois`: CT series, and ready-cut ROIs, into the project's own form."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from lesionlabel.imaging.dicom import Refusal
    from lesionlabel.imaging.importer import Imported

#: How many files of one reason are named.
NAMED = 3


def import_command(
    source: Annotated[Path, typer.Argument(help="a folder (DICOM series mixed, NIfTI, NRRD, 3D-IRCADb patients) or one file")],
    studies: Annotated[Path, typer.Option(help="the studies folder that the server serves")],
    phantom: Annotated[bool, typer.Option("--phantom", help="the source is simulated, not a patient's")] = False,
    patients: Annotated[
        Path | None,
        typer.Option(help="CSV of file,patient[,issuer]: whose the NIfTI and NRRD files are; else each is a patient of its own"),
    ] = None,
) -> None:
    """Import CT series. What is good is imported, what is not is named with its reason. Again changes nothing.

    What a generator made is recognised and refused, with --phantom too.

    Images from DICOM get coded ids. Ids of NIfTI and NRRD files begin with the file's name: rename files that carry patients'
    names first.
    """
    from lesionlabel.imaging.identity import Identity
    from lesionlabel.imaging.importer import import_studies
    from lesionlabel.imaging.patient_list import NOBODY, read_patient_list
    from lesionlabel.imaging.synthetic_register import SyntheticRegister
    from lesionlabel.settings import Settings

    settings = Settings()
    listed = NOBODY if patients is None else read_patient_list(patients)
    register = SyntheticRegister(settings.synthetic_folder)
    report = import_studies(source, studies, Identity(settings.home), phantom=phantom, patients=listed, register=register)
    _print_imported(report.imported)
    _print_refused(report.refused)
    print(f"\n{len(report.imported)} image(s) in {studies}, {len(report.refused)} refusal(s).")
    if not report.imported:
        raise typer.Exit(1)


def import_rois_command(
    table: Annotated[
        Path, typer.Argument(help="CSV of file, patient, class, diameter_px [, margin, proof, spacing_mm]", metavar="CSV")
    ],
    out: Annotated[Path, typer.Option(help="the cohort file to write (.npz)")],
) -> None:
    """Make a cohort of ready-cut ROIs. Wrong rows are named by line and column, the others are imported.

    PNG (8- or 16-bit grey) is read as the window -100 to 240 HU over its whole range of greys; .npy and DICOM as HU.
    """
    from lesionlabel.imaging.identity import Identity
    from lesionlabel.imaging.rois import import_rois
    from lesionlabel.imaging.synthetic_register import SyntheticRegister
    from lesionlabel.lesions.cohort import save_cohort
    from lesionlabel.settings import Settings

    settings = Settings()
    register = SyntheticRegister(settings.synthetic_folder)
    result = import_rois(table, settings.classes, Identity(settings.home), register)
    for problem in result.problems:
        print(f"{table.name}, {problem}")
    cohort = result.cohort
    if not len(cohort):
        print("No ROI could be imported; nothing was written.")
        raise typer.Exit(1)
    save_cohort(cohort, out)
    counts = ", ".join(f"{count} {name}" for name, count in cohort.counts().items())
    print(
        f"{len(cohort)} ROIs of {len(set(cohort.patients))} patient(s) in {out}: {counts}. "
        f"{len(result.problems)} row(s) left out."
    )
    print("They have no tissue around them: rotation mirrors at the edge and outward scaling is off.")


def _print_imported(imported: Sequence[Imported]) -> None:
    if not imported:
        return
    width = max(5, *(len(image.image_id) for image in imported))
    patient_width = max(7, *(len(image.patient) for image in imported))
    print(f"{'image':<{width}}  {'patient':<{patient_width}}  slices  spacing in mm")
    for image in imported:
        spacing = " × ".join(f"{mm:.3f}" for mm in image.spacing)
        notes = [note for note, holds in (("simulated", image.simulated), ("was there", image.already)) if holds]
        if image.segments:
            notes.append("masks: " + ", ".join(image.segments))
        line = f"{image.image_id:<{width}}  {image.patient:<{patient_width}}  {image.slices:>6}  {spacing}  {'; '.join(notes)}"
        print(line.rstrip())


def _print_refused(refused: Sequence[Refusal]) -> None:
    by_reason: dict[str, list[str]] = defaultdict(list)
    for refusal in refused:
        by_reason[refusal.reason].append(refusal.what)
    if by_reason:
        print("\nNot imported:")
    for reason, names in by_reason.items():
        more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
        print(f"  {', '.join(names[:NAMED])}{more}: {reason}")
