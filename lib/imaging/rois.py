"""Ready-cut ROIs from a CSV of file, patient, class, diameter_px, and where known margin, proof and spacing_mm."""

from __future__ import annotations

import csv
import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lesionlabel.imaging.identity import Identity
from lesionlabel.imaging.roi_pictures import read_picture
from lesionlabel.imaging.synthetic import not_a_patients
from lesionlabel.imaging.synthetic_register import SyntheticRegister
from lesionlabel.imaging.synthetic_seen import BY_PIXELS, synthetic_mark_of
from lesionlabel.lesions.classes import ClassList
from lesionlabel.lesions.cohort import Cohort, CohortLesion
from lesionlabel.lesions.errors import InputError
from lesionlabel.lesions.lesion import Proof, parse_proof
from lesionlabel.lesions.roi import Context

NEEDED = ("file", "patient", "class", "diameter_px")
OPTIONAL = ("margin", "proof", "spacing_mm")
#: Pixels by which lesion and margins may exceed the picture: readers round.
ROUNDING_PX = 1.0
#: The side of a pixel where neither CSV nor file says it.
UNKNOWN_MM = 0.0


@dataclass(frozen=True)
class RoiProblem:
    """What is wrong in one cell of the CSV. line: as an editor counts, the header is line 1."""

    line: int
    column: str
    reason: str

    def __str__(self) -> str:
        return f"line {self.line}, column {self.column}: {self.reason}"


@dataclass(frozen=True)
class RoiImport:
    """The lesions that could be imported, and what was wrong with the others."""

    cohort: Cohort
    problems: tuple[RoiProblem, ...]


class _CellError(InputError):
    """One cell is wrong."""

    def __init__(self, column: str, reason: str) -> None:
        super().__init__(reason)
        self.column = column


def import_rois(table: Path, classes: ClassList, identity: Identity, register: SyntheticRegister | None = None) -> RoiImport:
    """Read the ROIs that a CSV names; wrong rows are left out and named by line and column.

    file: PNG, .npy or DICOM, relative to the CSV and below its folder. patient: any identifier, kept as a pseudonym only.
    diameter_px, margin: in pixels of the file; the margin on each side defaults to what is left, (side - diameter) / 2. proof
    defaults to single reader. spacing_mm: side of a pixel; 0 where it is not known. register: of the synthetic ROIs made
    here; a ROI that is marked as synthetic, or one of those, is a wrong row. Raises InputError when the CSV itself cannot be
    read or lacks a needed column.
    """
    lesions: dict[str, CohortLesion] = {}
    lines: dict[str, int] = {}
    problems = []
    try:
        with table.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            missing = [name for name in NEEDED if name not in (reader.fieldnames or ())]
            if missing:
                raise InputError(
                    f"{table.name} lacks the column(s) {', '.join(missing)}. Needed: {', '.join(NEEDED)}; optional: "
                    f"{', '.join(OPTIONAL)}. Columns are separated by commas."
                )
            for row in reader:
                try:
                    lesion = _read_row(row, table.parent, classes, identity, register)
                    if lesion.lesion_id in lesions:
                        raise _CellError(
                            "file", f"{row['file']} has the pixels of line {lines[lesion.lesion_id]}: it is the same ROI."
                        )
                except _CellError as error:
                    problems.append(RoiProblem(reader.line_num, error.column, str(error)))
                    continue
                lesions[lesion.lesion_id] = lesion
                lines[lesion.lesion_id] = reader.line_num
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{table.name} cannot be read as CSV in UTF-8: {error}.") from error
    return RoiImport(Cohort(tuple(lesions.values()), tuple(classes.names)), tuple(problems))


def _read_row(
    row: Mapping[str, str | None], folder: Path, classes: ClassList, identity: Identity, register: SyntheticRegister | None
) -> CohortLesion:
    try:
        label = classes.names[classes.index(_text(row, "class"))]
    except InputError as error:
        raise _CellError("class", str(error)) from error
    try:
        proof = parse_proof(_text(row, "proof")) if _text(row, "proof") else Proof.SINGLE_READER
    except InputError as error:
        raise _CellError("proof", str(error)) from error
    if not _text(row, "patient"):
        raise _CellError("patient", "It is empty; lesions of one patient must never be parted, so every ROI needs its patient.")
    diameter = _number(row, "diameter_px")
    if diameter is None or diameter <= 0:
        raise _CellError("diameter_px", f"{_text(row, 'diameter_px')!r} is not a positive number of pixels.")
    path = _file(_text(row, "file"), folder)
    said = synthetic_mark_of(path)
    if said is not None:
        raise _CellError("file", f"{_text(row, 'file')}: {not_a_patients(said)}")
    try:
        hu, spacing = read_picture(path)
    except InputError as error:
        raise _CellError("file", f"{_text(row, 'file')}: {error}") from error
    if register is not None and register.knows(hu):
        raise _CellError("file", f"{_text(row, 'file')}: {not_a_patients(BY_PIXELS)}")
    given = _number(row, "spacing_mm")
    if given is not None and given <= 0:
        raise _CellError("spacing_mm", f"{given:g} is not a positive number of mm.")
    rows, columns = hu.shape
    return CohortLesion(
        lesion_id=f"roi-{identity.image('roi', hashlib.sha256(hu.tobytes()).hexdigest())}",
        patient=identity.patient(_text(row, "patient")),
        label=label,
        context=Context(
            hu=hu,
            centre=((columns - 1) / 2, (rows - 1) / 2),
            diameter_px=diameter,
            spacing_mm=given or spacing or UNKNOWN_MM,
            margin_px=_margin(row, min(hu.shape), diameter),
        ),
        proof=proof,
        # Decided elsewhere, by readers who did not have this server's answer.
        saw_model=False,
    )


def _margin(row: Mapping[str, str | None], side: int, diameter: float) -> float:
    if diameter > side + ROUNDING_PX:
        raise _CellError("diameter_px", f"{diameter:g} is more than the picture's side of {side} pixels.")
    margin = _number(row, "margin")
    if margin is None:
        return max(0.0, (side - diameter) / 2)
    if margin < 0 or diameter + 2 * margin > side + ROUNDING_PX:
        raise _CellError(
            "margin", f"{margin:g} is not between 0 and {max(0.0, (side - diameter) / 2):g}, the pixels left beside the lesion."
        )
    return margin


def _file(name: str, folder: Path) -> Path:
    """The file named in the CSV. It must lie below the CSV's folder, through links too."""
    if not name:
        raise _CellError("file", "It is empty.")
    path = folder / name
    if Path(name).is_absolute() or folder.resolve() not in path.resolve().parents:
        raise _CellError("file", f"{name} lies outside the CSV's folder; give a path below it.")
    if not path.is_file():
        raise _CellError("file", f"There is no file {name} in the CSV's folder.")
    return path


def _text(row: Mapping[str, str | None], column: str) -> str:
    return (row.get(column) or "").strip()


def _number(row: Mapping[str, str | None], column: str) -> float | None:
    text = _text(row, column)
    if not text:
        return None
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise _CellError(column, f"{text!r} is not a number. Write it with a decimal point.")
    return number
