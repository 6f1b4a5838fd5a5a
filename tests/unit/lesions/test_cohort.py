"""A cohort's file and its snapshot: the same back, or a refusal."""

from __future__ import annotations

import io
import json
import stat
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lesionlabel.lesions.cohort import Cohort, CohortLesion, load_cohort, save_cohort, take_snapshot
from lesionlabel.lesions.errors import InputError, IntegrityError
from lesionlabel.lesions.lesion import Proof
from lesionlabel.lesions.roi import Context

CLASSES = ("cyst", "metastasis", "hemangioma")


def lesion(number: int, **changes: Any) -> CohortLesion:
    hu = np.random.default_rng(number).normal(100, 20, (20 + number, 24)).astype(np.float32)
    context = Context(hu, (11.25, 9.5), 8.0 + number, 0.7, number == 1, 2.5 if number == 2 else None)
    made = CohortLesion(f"lesion-{number}", f"patient-{number // 2}", CLASSES[number % 3], context, Proof.FOLLOW_UP, None)
    return replace(made, **changes)


@pytest.fixture
def cohort() -> Cohort:
    return Cohort(tuple(lesion(number) for number in range(4)), CLASSES)


def test_a_saved_cohort_comes_back_the_same(cohort: Cohort, tmp_path: Path) -> None:
    save_cohort(cohort, tmp_path / "new" / "cohort.npz")
    read = load_cohort(tmp_path / "new" / "cohort.npz")
    assert read.digest == cohort.digest
    assert read.class_names == CLASSES
    assert [x.record() for x in read] == [x.record() for x in cohort]
    for ours, theirs in zip(read, cohort, strict=True):
        np.testing.assert_array_equal(ours.context.hu, theirs.context.hu)
    save_cohort(Cohort((), CLASSES), tmp_path / "empty.npz")
    assert len(load_cohort(tmp_path / "empty.npz")) == 0


def test_the_digest_ignores_order_and_sees_every_change(cohort: Cohort) -> None:
    assert cohort.subset([2, 0, 3, 1]).digest == cohort.digest
    first = cohort.lesions[0]
    context = first.context
    one_pixel = context.hu.copy()
    one_pixel[3, 4] = np.nextafter(one_pixel[3, 4], np.float32(1e9))
    changed = [
        replace(first, lesion_id="lesion-x"),
        replace(first, patient="patient-x"),
        replace(first, label="hemangioma"),
        replace(first, proof=Proof.CONSENSUS),
        replace(first, saw_model=True),
        replace(first, saw_model=False),
        replace(first, context=replace(context, hu=one_pixel)),
        replace(first, context=replace(context, hu=context.hu.reshape(context.hu.shape[::-1]))),
        replace(first, context=replace(context, centre=(11.26, 9.5))),
        replace(first, context=replace(context, diameter_px=8.01)),
        replace(first, context=replace(context, spacing_mm=0.71)),
        replace(first, context=replace(context, padded=True)),
        replace(first, context=replace(context, margin_px=1.0)),
    ]
    digests = {Cohort((other, *cohort.lesions[1:]), CLASSES).digest for other in changed}
    digests |= {cohort.subset([1, 2, 3]).digest, Cohort(cohort.lesions, (*CLASSES, "hcc")).digest}
    digests |= {Cohort(cohort.lesions, CLASSES[::-1]).digest, cohort.digest}
    assert len(digests) == len(changed) + 4


def rewrite(path: Path, change: Callable[[dict[str, Any]], object], pixels: Callable[[Any], Any] = lambda p: p) -> None:
    with np.load(path) as archive:
        header, values = json.loads(archive["header"].tobytes()), archive["pixels"]
    change(header)
    buffer = io.BytesIO()
    np.savez(buffer, header=np.frombuffer(json.dumps(header).encode(), np.uint8), pixels=pixels(values))
    path.write_bytes(buffer.getvalue())


@pytest.mark.parametrize(
    "change",
    [
        lambda header: header["lesions"][0].update(label="metastasis"),
        lambda header: header["lesions"][2].update(patient="patient-0"),
        lambda header: header["lesions"][0].update(diameter_px=-1),
        lambda header: header["lesions"][0].update(proof="gut feeling"),
        lambda header: header["lesions"][0].pop("shape"),
        lambda header: header["lesions"].pop(),
        lambda header: header.update(lesions=5),
        lambda header: header.update(classes=["cyst", "hemangioma", "metastasis"]),
        lambda header: header.update(digest="0" * 64),
    ],
)
def test_a_file_whose_records_were_changed_is_not_used(
    cohort: Cohort, tmp_path: Path, change: Callable[[dict[str, Any]], object]
) -> None:
    save_cohort(cohort, tmp_path / "cohort.npz")
    rewrite(tmp_path / "cohort.npz", change)
    with pytest.raises(IntegrityError, match="changed or damaged"):
        load_cohort(tmp_path / "cohort.npz")


@pytest.mark.parametrize(
    "pixels", [lambda p: p + np.float32(1), lambda p: p[::-1].copy(), lambda p: p[:-3], lambda p: np.append(p, p[:3])]
)
def test_a_file_whose_pixels_were_changed_is_not_used(cohort: Cohort, tmp_path: Path, pixels: Callable[[Any], Any]) -> None:
    save_cohort(cohort, tmp_path / "cohort.npz")
    rewrite(tmp_path / "cohort.npz", lambda header: None, pixels)
    with pytest.raises(IntegrityError, match="changed or damaged"):
        load_cohort(tmp_path / "cohort.npz")


def test_what_is_no_cohort_file_is_refused_with_the_way_to_make_one(cohort: Cohort, tmp_path: Path) -> None:
    save_cohort(cohort, tmp_path / "good.npz")
    good = (tmp_path / "good.npz").read_bytes()
    one_array = io.BytesIO()
    np.save(one_array, np.zeros(3))
    pickled = io.BytesIO()
    np.savez(pickled, header=np.array([{"format": "lesionlabel-cohort-1"}], dtype=object), pixels=np.zeros(3))
    strange = tmp_path / "strange.npz"
    for content in (b"", b"hello", good[: len(good) // 2], one_array.getvalue(), pickled.getvalue()):
        strange.write_bytes(content)
        with pytest.raises(InputError, match="import-rois"):
            load_cohort(strange)
    rewrite(tmp_path / "good.npz", lambda header: header.update(format="something else"))
    with pytest.raises(InputError, match="something else"):
        load_cohort(tmp_path / "good.npz")
    with pytest.raises(InputError, match=r"nowhere\.npz"):
        load_cohort(tmp_path / "nowhere.npz")


def test_a_snapshot_is_taken_once_and_never_written_again(cohort: Cohort, tmp_path: Path) -> None:
    path = take_snapshot(cohort, tmp_path)
    before = path.stat()
    assert path.name == f"{cohort.digest}.npz"
    assert not before.st_mode & (stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH)
    again = take_snapshot(cohort.subset([3, 2, 1, 0]), tmp_path)
    assert again == path
    assert (path.stat().st_mtime_ns, path.stat().st_ino) == (before.st_mtime_ns, before.st_ino)
    other = take_snapshot(cohort.subset([0, 1]), tmp_path)
    assert other != path
    assert load_cohort(path).digest == cohort.digest
    assert len(load_cohort(other)) == 2


def test_a_cohort_cannot_hold_one_lesion_twice_or_a_strange_class() -> None:
    with pytest.raises(InputError, match="lesion-1"):
        Cohort((lesion(1), lesion(1)), CLASSES)
    with pytest.raises(InputError, match="abscess"):
        Cohort((lesion(0, label="abscess"),), CLASSES)


def test_labels_and_counts_follow_the_class_order(cohort: Cohort) -> None:
    assert cohort.labels.tolist() == [0, 1, 2, 0]
    assert cohort.counts() == {"cyst": 2, "metastasis": 1, "hemangioma": 1}
    assert cohort.subset(np.array([3, 1])).patients == ["patient-1", "patient-0"]
