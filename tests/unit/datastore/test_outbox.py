"""What waits for the PACS: in order, for ever, and without one bad entry holding up the others."""

from __future__ import annotations

import stat
from collections.abc import Sequence
from pathlib import Path

import pytest
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian, generate_uid

from lesionlabel.datastore.outbox import Outbox, key_of
from lesionlabel.lesions.errors import IntegrityError, NotFoundError, PacsError

NOW = 1_800_000_000.0


def document() -> FileDataset:
    meta = FileMetaDataset()
    meta.TransferSyntaxUID, meta.MediaStorageSOPClassUID = ExplicitVRLittleEndian, UID("1.2.840.10008.5.1.4.1.1.88.33")
    meta.MediaStorageSOPInstanceUID = generate_uid()
    ds = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    ds.is_little_endian, ds.is_implicit_VR = True, False
    ds.SOPClassUID, ds.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
    return ds


def put(outbox: Outbox, image: str, version: int, created: str) -> None:
    record = {"version": version, "created": created, "documents": [{"what": "report", "sop_uid": "2.25.1"}]}
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

    assert outbox.send_due(only_b, NOW) == (1, 2)
    assert tried == [f"{key_of('a')}-v0001", f"{key_of('b')}-v0001"], "a's second version waits for its first"
    assert outbox.send_due(only_b, NOW + 4) == (0, 2)
    assert len(tried) == 2, "not due before five seconds"
    sent: list[str] = []
    assert outbox.send_due(lambda paths: sent.append(paths[0].parent.name), NOW + 6) == (2, 0)
    assert sent == [f"{key_of('a')}-v0001", f"{key_of('a')}-v0002"]
    latest = outbox.latest("a")
    assert latest is not None
    assert latest["version"] == 2, "known after it was sent"
    assert outbox.latest("c") is None


def test_the_pauses_between_tries_double_up_to_an_hour(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "results")
    put(outbox, "a", 1, "2026-01-01T00:00:00")
    pauses = []
    for _ in range(14):
        outbox.send_due(away, NOW, all_of_them=True)
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
        outbox.send_due(dies, NOW)
    again = Outbox(tmp_path / "results")
    assert again.send_due(dies, NOW) == (1, 0)
    assert seen[0] == seen[1]
    assert list((tmp_path / "results").rglob("*.dcm")) == []


def test_a_damaged_entry_is_named_and_holds_up_no_other(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path / "results")
    put(outbox, "a", 1, "2026-01-01T00:00:00")
    put(outbox, "b", 1, "2026-01-01T00:00:01")
    (tmp_path / "results" / "waiting" / f"{key_of('a')}-v0001" / "record.json").write_text("{")
    assert outbox.send_due(lambda paths: None, NOW) == (1, 1)
    assert "cannot be read" in outbox.list()[0].problem
    with pytest.raises(IntegrityError, match="cannot be read"):
        outbox.latest("a")
    with pytest.raises(NotFoundError, match="results list"):
        outbox.get("../waiting")
