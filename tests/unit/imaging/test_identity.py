from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from lesionlabel.imaging.identity import Identity
from lesionlabel.lesions.errors import InputError, IntegrityError


def test_a_patient_keeps_the_pseudonym_and_shows_nothing(tmp_path: Path) -> None:
    pseudonym = Identity(tmp_path).patient("4711", "CLINIC")
    assert pseudonym == Identity(tmp_path).patient(" 4711 ", "CLINIC", study_uid="1.2.3")
    assert pseudonym.startswith("p-")
    assert len(pseudonym) == 18
    assert "4711" not in pseudonym
    assert pseudonym != Identity(tmp_path / "other").patient("4711", "CLINIC")


def test_issuers_part_patients_of_the_same_number(tmp_path: Path) -> None:
    identity = Identity(tmp_path)
    assert len({identity.patient("1", "A"), identity.patient("1", "B"), identity.patient("1"), identity.patient("1A")}) == 4


def test_empty_ids_are_never_shared(tmp_path: Path) -> None:
    identity = Identity(tmp_path)
    first, second = identity.patient("", "", "1.2.1", "1.9"), identity.patient(" ", "", "1.2.2", "1.9")
    assert first != second
    assert first == identity.patient("", "ISSUER", "1.2.1", "1.10")
    assert identity.patient("", "", "", "1.9") not in (first, second)
    with pytest.raises(InputError, match="all empty"):
        identity.patient("")


def test_the_key_is_private_and_a_damaged_one_is_not_replaced(tmp_path: Path) -> None:
    Identity(tmp_path / "home")
    key = tmp_path / "home" / "pseudonym.key"
    assert key.stat().st_mode & 0o777 == 0o600
    key.write_text("oops")
    with pytest.raises(IntegrityError, match="damaged"):
        Identity(tmp_path / "home")
    assert key.read_text() == "oops"
    assert [path.name for path in key.parent.iterdir()] == ["pseudonym.key"]


PRINT_PSEUDONYM = """
import sys
from pathlib import Path
from lesionlabel.imaging.identity import Identity
print(Identity(Path(sys.argv[1])).patient("4711"))
"""


def test_processes_that_start_at_once_share_one_key(tmp_path: Path) -> None:
    command = [sys.executable, "-c", PRINT_PSEUDONYM, str(tmp_path / "home")]
    started = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(6)]
    told = [process.communicate(timeout=60)[0].strip() for process in started]
    assert set(told) == {Identity(tmp_path / "home").patient("4711")}
