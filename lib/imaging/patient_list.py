"""Which file is of which patient, for images that do not say so: a CSV of file,patient."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from lesionlabel.lesions.errors import InputError


@dataclass(frozen=True)
class PatientList:
    """Patient identifiers by file, as a path below the source or a bare file name; used for pseudonyms only."""

    by_file: dict[str, str]

    def of(self, relative: str) -> str | None:
        """The patient of a file, by its path below the source, else by its name alone."""
        return self.by_file.get(relative) or self.by_file.get(PurePosixPath(relative).name)


NOBODY = PatientList({})


def read_patient_list(path: Path) -> PatientList:
    """Read a CSV with the columns file and patient. Raises InputError, naming line and column."""
    by_file: dict[str, str] = {}
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
                if by_file.setdefault(name, patient) != patient:
                    raise InputError(f"{path.name}, line {reader.line_num}, column file: {name} is given to two patients.")
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path.name} cannot be read as CSV in UTF-8: {error}.") from error
    return PatientList(by_file)
