"""Which file is of which patient, for images that do not say so: a CSV of file,patient and, where known, issuer."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from lesionlabel.lesions.errors import InputError


class Listed(NamedTuple):
    """Whose a file is; used for pseudonyms only. issuer: as in the DICOM of the same patient, "" where that has none."""

    patient: str
    issuer: str


@dataclass(frozen=True)
class PatientList:
    """Patients by file, as a path below the source or a bare file name."""

    by_file: dict[str, Listed]

    def of(self, relative: str, files: Sequence[str]) -> Listed | None:
        """The patient of a file, by its path below the source, else by its name alone.

        files: the paths of all files below the source. Raises InputError when a bare name stands for several of them.
        """
        if relative in self.by_file:
            return self.by_file[relative]
        name = PurePosixPath(relative).name
        same = [file for file in files if PurePosixPath(file).name == name]
        if name in self.by_file and len(same) > 1:
            raise InputError(
                f"The patient list names {name} without its folder, and {len(same)} files are called so. List each with its path."
            )
        return self.by_file.get(name)

    def unused(self, files: Sequence[str]) -> list[str]:
        """What is listed and is none of files, as a misspelt name: its file would be taken for another patient."""
        known = {*files, *(PurePosixPath(file).name for file in files)}
        return [name for name in self.by_file if name not in known]


NOBODY = PatientList({})


def read_patient_list(path: Path) -> PatientList:
    """Read a CSV with the columns file and patient, and perhaps issuer. Raises InputError, naming line and column."""
    by_file: dict[str, Listed] = {}
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file)
            missing = {"file", "patient"} - set(reader.fieldnames or ())
            if missing:
                raise InputError(f"{path.name} lacks the column(s) {', '.join(sorted(missing))}. Needed: file, patient.")
            for row in reader:
                name, patient = (row["file"] or "").strip(), (row["patient"] or "").strip()
                for column, value in (("file", name), ("patient", patient)):
                    if not value:
                        raise InputError(f"{path.name}, line {reader.line_num}, column {column}: it is empty.")
                listed = Listed(patient, (row.get("issuer") or "").strip())
                if by_file.setdefault(name, listed) != listed:
                    raise InputError(f"{path.name}, line {reader.line_num}, column file: {name} is given to two patients.")
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path.name} cannot be read as CSV in UTF-8: {error}.") from error
    return PatientList(by_file)
