"""What waits for the PACS: in order, for ever, and without one bad entry holding up the others."""

from __future__ import annotations

import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import pytest
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian, generate_uid

from lesionlabel.datastore.outbox import Outbox, key_of
from lesionlabel.datastore.results import Results
from lesionlabel.lesions.errors import IntegrityError, NotFoundError, PacsError

NOW = 1_800_000_000.0
HERE, THERE = "http://clinical/dicom-web", "http://research/dicom-web"


def document() -> FileDataset:
    meta = FileMetaDataset()
    meta.TransferSyntaxUID, meta.MediaStorageSOPClassUID = ExplicitVRLittleEndian, UID("1.2.840.10008.5.1.4.1.1.88.33")
    meta.MediaStorageSOPInstanceUID = generate_uid()
    ds = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    ds.is_little_endian, ds.is_implicit_VR = True, False
    ds.SOPClassUID, ds.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    return ds


def put(outbox: Outbox, image: str, version: int, created: str, target: str = HERE) -> None:
    documents = [{"what": "outlines", "sop_uid": "2.25.1"}, {"what": "report", "sop_uid": "2.25.2"}]
    record = {"version": version, "created": created, "documents": documents, "target": target}
    outbox.put(image, record, [("seg", document()), ("sr", document())])


def away(paths: object) -> None:
    raise PacsError("The PACS cannot be reached.")


def test_versions_of_an_image_go_in_order_and_other_images_do_not_wait_for_them(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "results")
    put(outbox, "a", 1, "2026-01-01T00:00:00")
    put(outbox, "b", 1, "2026-01-01T00:00:01")
    put(outbox, "a", 2, "2026-01-01T00:00:02")
    assert stat.S_IMODE((tmp_path / "results").stat().st_mode) == 0o700
    tried: list[str] = []

    def only_b(paths: Sequence[Path]) -> None:
        tried.append(paths[0].parent.name)
        if not tried[-1].startswith(key_of("b")):
            away(paths)

    assert outbox.send_due(only_b, HERE, NOW) == (1, 2)
    assert tried == [f"{key_of('a')}-v0001", f"{key_of('b')}-v0001"], "a's second version waits for its first"
    assert outbox.send_due(only_b, HERE, NOW + 4) == (0, 2)
    assert len(tried) == 2, "not due before five seconds"
    sent: list[str] = []
    assert outbox.send_due(lambda paths: sent.append(paths[0].parent.name), HERE, NOW + 6) == (2, 0)
    assert sent == [f"{key_of('a')}-v0001", f"{key_of('a')}-v0002"]
    assert [record["version"] for record in outbox.records("a")] == [2, 1], "known after they were sent"
    assert list(outbox.records("c")) == []


def test_the_pauses_between_tries_double_up_to_an_hour(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "results")
    put(outbox, "a", 1, "2026-01-01T00:00:00")
    pauses = []
    for _ in range(14):
        outbox.send_due(away, HERE, NOW, all_of_them=True)
        pauses.append(outbox.list()[0].next_try - NOW)
    assert pauses[:4] == [5, 10, 20, 40]
    assert pauses[-1] == 3600
    assert outbox.list()[0].tries == 14


def test_a_process_that_died_after_sending_sends_the_same_again_and_leaves_no_names(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "results")
    put(outbox, "a", 1, "2026-01-01T00:00:00")
    seen: list[list[bytes]] = []

    def dies(paths: Sequence[Path]) -> None:
        seen.append([path.read_bytes() for path in paths])
        if len(seen) == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        outbox.send_due(dies, HERE, NOW)
    again = Outbox(tmp_path / "results")
    assert again.send_due(dies, HERE, NOW) == (1, 0)
    assert seen[0] == seen[1]
    assert list((tmp_path / "results").rglob("*.dcm")) == []


def test_a_damaged_entry_is_named_and_holds_up_no_other(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "results")
    put(outbox, "a", 1, "2026-01-01T00:00:00")
    put(outbox, "b", 1, "2026-01-01T00:00:01")
    (tmp_path / "results" / "waiting" / f"{key_of('a')}-v0001" / "record.json").write_text("{")
    assert outbox.send_due(lambda paths: None, HERE, NOW) == (1, 1)
    assert "cannot be read" in outbox.list()[0].problem
    with pytest.raises(IntegrityError, match="cannot be read"):
        next(outbox.records("a"))
    with pytest.raises(NotFoundError, match="results list"):
        outbox.get("../waiting")


def test_what_was_made_for_another_address_waits_and_says_so(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "results")
    put(outbox, "a", 1, "2026-01-01T00:00:00", THERE)
    put(outbox, "a", 2, "2026-01-01T00:00:01")
    sent: list[str] = []
    assert outbox.send_due(lambda paths: sent.append(paths[0].parent.name), HERE, NOW, all_of_them=True) == (1, 1)
    assert sent == [f"{key_of('a')}-v0002"], "what is for here does not wait for what is not"
    assert all(word in outbox.list()[0].problem for word in (HERE, THERE, "LESIONLABEL_RESULTS_URL"))
    assert outbox.send_due(lambda paths: sent.append(paths[0].parent.name), THERE, NOW, all_of_them=True) == (1, 0)


@pytest.mark.parametrize("lost", ["0-seg.dcm", "*.dcm"])
def test_an_entry_without_its_files_is_not_taken_for_sent(lost: str, tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "results")
    put(outbox, "a", 1, "2026-01-01T00:00:00")
    for path in (tmp_path / "results" / "waiting").glob(f"*/{lost}"):
        path.unlink()
    assert outbox.send_due(lambda paths: None, HERE, NOW, all_of_them=True) == (0, 1)
    assert "of its 2 DICOM files are there" in outbox.list()[0].problem


def test_an_entry_that_cannot_be_read_holds_up_no_other_and_is_told_of_without_paths(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "results")
    put(outbox, "a", 1, "2026-01-01T00:00:00")
    put(outbox, "b", 1, "2026-01-01T00:00:01")
    for path in (tmp_path / "results" / "waiting" / f"{key_of('a')}-v0001").glob("*.dcm"):
        path.unlink()
        path.mkdir()  # as a disk that gives no bytes

    def reads(paths: Sequence[Path]) -> None:
        assert all(path.read_bytes() for path in paths)

    assert outbox.send_due(reads, HERE, NOW) == (1, 1)
    problem = outbox.list()[0].problem
    assert "IsADirectoryError" in problem
    assert str(tmp_path) not in problem


def test_a_disk_that_takes_no_more_costs_neither_an_answer_nor_a_submit(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    results = Results(tmp_path, cast(Any, None), cast(Any, None), away, HERE)
    with results.submitting("1.2.840.113619.2", "final"):
        (draft,) = (tmp_path / "drafts").iterdir()
        draft.unlink()
        (tmp_path / "drafts").rmdir()
        for name in ("drafts", "answers"):
            (tmp_path / name).write_text("")  # no file can be written below it
    results.answers.keep("1.2.840.113619.2", {"lesion": {"contour_lps": []}})
    assert "results come later" in caplog.text
    assert "could not be kept" in caplog.text
    assert "1.2.840.113619.2" not in caplog.text
