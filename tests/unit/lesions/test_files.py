"""A reader finds the old file or the new one, never half of one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from lesionlabel.lesions.files import write_atomically


def test_a_new_file_takes_the_old_ones_place(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "file.bin"
    write_atomically(path, b"old")
    write_atomically(path, b"new")
    assert path.read_bytes() == b"new"
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("fails", ["fsync", "replace"])
def test_the_old_file_stays_when_writing_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: str) -> None:
    path = tmp_path / "file.bin"
    write_atomically(path, b"old")

    def full_disk(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, fails, full_disk)
    with pytest.raises(OSError, match="No space"):
        write_atomically(path, b"new, and longer")
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_an_open_reader_keeps_the_old_content(tmp_path: Path) -> None:
    path = tmp_path / "file.bin"
    write_atomically(path, b"old content")
    with path.open("rb") as reader:
        assert reader.read(3) == b"old"
        write_atomically(path, b"NEW CONTENT")
        assert reader.read() == b" content"
