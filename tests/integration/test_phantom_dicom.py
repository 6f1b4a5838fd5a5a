"""The phantom's DICOM, as dicom3tools' checker reads it."""

from __future__ import annotations

import subprocess
from pathlib import Path

from lesionlabel.phantom.studies import write_studies

#: Synthetic Data came into the standard in 2022, after the checker that Debian ships.
NEWER_THAN_THE_CHECKER = "(0x0008,0x001c)"


def test_a_phantom_slice_is_a_valid_ct_image(dciodvfy: str, tmp_path: Path) -> None:
    write_studies(1, seed=3, preset="soft", out=tmp_path, matrix=128)
    slices = sorted(path for path in (tmp_path / "PHANTOM-0001").iterdir() if path.is_file())
    for file in (slices[0], slices[-1]):
        printed = subprocess.run([dciodvfy, str(file)], capture_output=True, text=True, check=False)
        lines = (printed.stdout + printed.stderr).splitlines()
        assert "CTImage" in lines, "the checker did not recognise a CT image"
        errors = [line for line in lines if line.startswith("Error") and NEWER_THAN_THE_CHECKER not in line]
        assert errors == []
