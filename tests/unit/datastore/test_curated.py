import json
import multiprocessing
import os
import shutil
import threading
import zipfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import SimpleITK as sitk

from lesionlabel.datastore.answers import AnswerLog
from lesionlabel.datastore.cohort import curated_lesions
from lesionlabel.datastore.curate import Curator
from lesionlabel.datastore.curated import CuratedDatastore
from lesionlabel.imaging.synthetic import SyntheticMark
from lesionlabel.imaging.synthetic_files import write_nifti
from lesionlabel.imaging.synthetic_pixels import to_hu
from lesionlabel.imaging.synthetic_register import SyntheticRegister
from lesionlabel.imaging.synthetic_seen import synthetic_volume
from lesionlabel.lesions.classes import DEFAULT_CLASSES
from lesionlabel.lesions.errors import InputError, IntegrityError, NotFoundError
from lesionlabel.strategies.first import First

NAMED = {"label_info": [{"name": "cyst", "idx": 1}, {"name": "metastasis", "idx": 2}], "client_id": "reader-1"}


def save(datastore, tmp_path, tiny_label, values, image="case_a", tag="final", **params):
    tiny_label(tmp_path / "label.nii.gz", values)
    datastore.save_label(image, str(tmp_path / "label.nii.gz"), tag, {**NAMED, **params})


def test_volumes_in_the_folder_are_listed_and_new_ones_appear_without_a_restart(datastore, tiny_ct, tmp_path):
    assert datastore.list_images() == ["case_a", "case_b"]
    tiny_ct(tmp_path / "elsewhere.nii.gz")
    (tmp_path / "elsewhere.nii.gz").rename(datastore.studies / "case_c.nii.gz")
    assert datastore.status()["total"] == 3
    assert Path(datastore.get_image_uri("case_c")) == datastore.studies / "case_c.nii.gz"


def test_each_save_is_kept_and_the_last_is_current(datastore, tmp_path, tiny_label):
    save(datastore, tmp_path, tiny_label, {"cyst": 1})
    first = Path(datastore.get_label_uri("case_a", "final")).read_bytes()
    save(datastore, tmp_path, tiny_label, {"cyst": 1, "metastasis": 2}, client_id="reader-2")

    kept = datastore.history.labels("final", "case_a")
    assert [len(version.info["lesions"]) for version in kept] == [1, 2]
    assert [version.info["reader"] for version in kept] == ["reader-1", "reader-2"]
    assert kept[0].file.read_bytes() == first
    assert len(datastore.get_label_info("case_a", "final")["lesions"]) == 2
    assert datastore.status() == {"total": 2, "completed": 1, "label_tags": {"final": 1}}


def test_a_label_in_another_format_replaces_the_current_one_only(datastore, tmp_path, tiny_label):
    save(datastore, tmp_path, tiny_label, {"cyst": 1})
    tiny_label(tmp_path / "label.nrrd", {"metastasis": 2})
    datastore.save_label("case_a", str(tmp_path / "label.nrrd"), "final", dict(NAMED))
    assert Path(datastore.get_label_uri("case_a", "final")).name == "case_a.nrrd"
    assert [p.name for p in (datastore.studies / "labels" / "final").iterdir()] == ["case_a.nrrd"]
    assert [version.file.name for version in datastore.history.labels("final", "case_a")] == ["case_a.nii.gz", "case_a.nrrd"]


def test_a_removed_label_stays_in_the_history(datastore, tmp_path, tiny_label):
    save(datastore, tmp_path, tiny_label, {"cyst": 1})
    datastore.remove_label("case_a", "final")
    assert datastore.status()["label_tags"] == {}
    kept = datastore.history.labels("final", "case_a")
    assert [version.event for version in kept] == ["saved", "removed"]
    assert kept[0].file.exists()
    with pytest.raises(NotFoundError):
        datastore.get_label_uri("case_a", "final")


def test_a_removed_image_and_its_labels_stay_in_the_history(datastore, tmp_path, tiny_label):
    save(datastore, tmp_path, tiny_label, {"cyst": 1})
    pixels = (datastore.studies / "case_a.nii.gz").read_bytes()
    (datastore.studies / "case_a.series.json").write_text(
        json.dumps({"image": "case_a", "patient": "p", "simulated": False, "info": {}, "source": {}})
    )
    datastore.remove_image("case_a")
    assert datastore.list_images() == ["case_b"]
    [version] = datastore.history.images("case_a")
    assert version.file.read_bytes() == pixels
    assert (version.folder / "case_a.series.json").exists()
    assert not (datastore.studies / "case_a.series.json").exists()
    assert datastore.history.labels("final", "case_a")[0].file.exists()


def test_another_image_under_the_same_id_keeps_the_earlier_one_and_drops_its_labels(datastore, tmp_path, tiny_ct, tiny_label):
    save(datastore, tmp_path, tiny_label, {"cyst": 1})
    before = (datastore.studies / "case_a.nii.gz").read_bytes()
    tiny_ct(tmp_path / "new.nii.gz", seed=9)
    datastore.add_image("case_a", str(tmp_path / "new.nii.gz"), {"client_id": "x"})
    assert datastore.history.images("case_a")[0].file.read_bytes() == before
    assert datastore.get_labels_by_image_id("case_a") == {}
    assert datastore.history.labels("final", "case_a")[0].info["lesions"]
    assert datastore.get_image_info("case_a")["client_id"] == "x"


def test_a_label_is_not_saved_on_an_image_that_replaced_its_own_meanwhile(datastore, tmp_path, tiny_ct, tiny_label, monkeypatch):
    tiny_ct(tmp_path / "new.nii.gz", seed=9)

    def look(*_) -> dict:
        datastore.add_image("case_a", str(tmp_path / "new.nii.gz"), {})  # somebody else does, as its lesions are looked at
        return {}

    monkeypatch.setattr(datastore, "_curate", look)
    with pytest.raises(InputError, match="slices are no longer those"):
        save(datastore, tmp_path, tiny_label, {"cyst": 1})
    assert datastore.get_labels_by_image_id("case_a") == {}
    assert datastore.history.labels("final", "case_a")[-1].event == "refused"


def test_a_label_is_saved_where_somebody_sends_the_same_image_again_meanwhile(datastore, tmp_path, tiny_label, monkeypatch):
    shutil.copy(datastore.studies / "case_a.nii.gz", tmp_path / "again.nii.gz")
    monkeypatch.setattr(datastore, "_curate", lambda *_: datastore.add_image("case_a", str(tmp_path / "again.nii.gz"), {}) and {})
    save(datastore, tmp_path, tiny_label, {"cyst": 1})
    assert datastore.history.labels("final", "case_a")[-1].event == "saved"


def test_a_label_whose_image_is_removed_meanwhile_is_kept(datastore, tmp_path, tiny_label, monkeypatch):
    monkeypatch.setattr(datastore, "_curate", lambda *_: datastore.remove_image("case_a") or {})
    with pytest.raises(InputError, match="removed while its label was saved"):
        save(datastore, tmp_path, tiny_label, {"cyst": 1})
    assert datastore.history.labels("final", "case_a")[-1].event == "refused"


def test_the_same_image_sent_again_keeps_its_labels(datastore, tmp_path, tiny_label):
    save(datastore, tmp_path, tiny_label, {"cyst": 1})
    shutil.copy(datastore.studies / "case_a.nii.gz", tmp_path / "again.nii.gz")
    datastore.add_image("case_a", str(tmp_path / "again.nii.gz"), {})
    assert len(datastore.get_label_info("case_a", "final")["lesions"]) == 1
    assert datastore.history.images("case_a") == []


def test_changed_info_is_a_version_of_its_own(datastore, tmp_path, tiny_label):
    save(datastore, tmp_path, tiny_label, {"cyst": 1})
    datastore.update_label_info("case_a", "final", {"comment": "seen again"})
    kept = datastore.history.labels("final", "case_a")
    assert [version.info.get("comment") for version in kept] == [None, "seen again"]
    assert datastore.get_label_info("case_a", "final")["comment"] == "seen again"


def test_a_lost_index_is_rebuilt_with_the_curated_lesions(datastore, open_datastore, tmp_path, tiny_label):
    save(datastore, tmp_path, tiny_label, {"cyst": 1})
    (datastore.studies / "datastore_v2.json").unlink()
    assert open_datastore().get_label_info("case_a", "final") == datastore.get_label_info("case_a", "final")


def test_volumes_that_were_away_come_back_with_their_lesions(datastore, tmp_path, tiny_label):
    save(datastore, tmp_path, tiny_label, {"cyst": 1})
    image = datastore.studies / "case_a.nii.gz"
    image.rename(tmp_path / "away.nii.gz")
    assert datastore.list_images() == ["case_b"]
    (tmp_path / "away.nii.gz").rename(image)
    assert len(datastore.get_label_info("case_a", "final")["lesions"]) == 1


def test_a_damaged_index_is_named_and_not_overwritten(datastore, open_datastore):
    index = datastore.studies / "datastore_v2.json"
    index.write_text("{ half")
    with pytest.raises(IntegrityError, match=r"datastore_v2\.json is damaged"):
        open_datastore()
    assert index.read_text() == "{ half"


def test_another_process_sees_what_was_saved_and_neither_loses_the_others(datastore, open_datastore, tmp_path, tiny_label):
    other = open_datastore()
    save(datastore, tmp_path, tiny_label, {"cyst": 1}, image="case_a")
    save(other, tmp_path, tiny_label, {"metastasis": 2}, image="case_b")
    for seen in (datastore, other):
        assert seen.status()["completed"] == 2
        assert seen.get_label_info("case_a", "final")["lesions"][0]["label"] == "cyst"


def _note(studies: str, name: str) -> None:
    datastore = CuratedDatastore(Path(studies))
    for number in range(20):
        datastore.update_image_info("case_a", {f"{name}-{number}": True})


def test_processes_and_threads_writing_at_once_lose_nothing(datastore):
    context = multiprocessing.get_context("fork")
    process = context.Process(target=_note, args=(str(datastore.studies), "process"))
    process.start()
    threads = [
        threading.Thread(target=lambda n=n: [datastore.update_image_info("case_a", {f"t{n}-{i}": 1}) for i in range(10)])
        for n in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    process.join(60)
    info = datastore.get_image_info("case_a")
    assert process.exitcode == 0
    assert sum(key.startswith("process-") for key in info) == 20
    assert sum(key.startswith(("t0-", "t1-")) for key in info) == 20


@pytest.mark.parametrize("name", ["../case_a", "/etc/passwd", ".lock", "a b"])
def test_unsafe_ids_and_tags_reach_no_file(datastore, tmp_path, tiny_label, name):
    tiny_label(tmp_path / "label.nii.gz", {"cyst": 1})
    before = sorted(tmp_path.rglob("*"))
    for attempt in (
        lambda: datastore.get_image_uri(name),
        lambda: datastore.add_image(name, str(tmp_path / "label.nii.gz"), {}),
        lambda: datastore.save_label("case_a", str(tmp_path / "label.nii.gz"), name, {}),
        lambda: datastore.save_label(name, str(tmp_path / "label.nii.gz"), "final", {}),
        lambda: datastore.remove_image(name),
        lambda: datastore.remove_label("case_a", name),
        lambda: datastore.update_image_info(name, {}),
        lambda: datastore.get_label_info("case_a", name),
    ):
        with pytest.raises(InputError):
            attempt()
    assert sorted(tmp_path.rglob("*")) == before


def test_a_volume_with_an_unsafe_name_is_not_listed_but_counted_without_its_name(open_datastore, tmp_path, tiny_ct, caplog):
    tiny_ct(tmp_path / "studies" / "Müller Hans.nii.gz")
    assert open_datastore().list_images() == ["case_a", "case_b"]
    assert "1 volume(s)" in caplog.text
    assert "Müller" not in caplog.text


@pytest.mark.parametrize("value", ["half a character \ud800", float("nan"), float("inf"), Path("x")])
def test_no_value_in_a_clients_info_keeps_anybodys_label_from_being_saved(datastore, open_datastore, tmp_path, tiny_label, value):
    save(datastore, tmp_path, tiny_label, {"cyst": 1}, comment=value)
    datastore.update_image_info("case_a", {"comment": value})
    datastore.update_label_info("case_a", "final", {"remark": value})
    save(datastore, tmp_path, tiny_label, {"metastasis": 2}, image="case_b")
    (datastore.studies / "datastore_v2.json").unlink()
    again = open_datastore()
    assert again.status()["completed"] == 2
    json.dumps(again.json(), allow_nan=False).encode()


def test_what_fails_to_be_written_is_not_shown_and_fails_nobody_else(datastore, tmp_path, tiny_label, monkeypatch):
    def full(path, content):
        raise OSError("No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("lesionlabel.datastore.index.write_atomically", full)
        with pytest.raises(OSError, match="No space"):
            datastore.update_image_info("case_a", {"note": 1})
    assert "note" not in datastore.get_image_info("case_a")


def test_two_writes_within_one_tick_of_the_clock_lose_nothing(datastore, open_datastore):
    other, index = open_datastore(), datastore.studies / "datastore_v2.json"
    datastore.update_image_info("case_a", {"first": 1})
    stamp = index.stat().st_mtime_ns
    other.update_image_info("case_a", {"second": 2})
    os.utime(index, ns=(stamp, stamp))
    datastore.update_image_info("case_a", {"third": 3})
    assert {"first", "second", "third"} <= set(open_datastore().get_image_info("case_a"))


@pytest.mark.parametrize("info", [{"lesions": []}, {"proof": "pathology"}, {"saw_model": False, "comment": "x"}])
def test_a_note_on_a_final_label_cannot_change_its_lesions(datastore, tmp_path, tiny_label, info):
    save(datastore, tmp_path, tiny_label, {"cyst": 1})
    before = datastore.get_label_info("case_a", "final")
    with pytest.raises(InputError, match="Save the label again"):
        datastore.update_label_info("case_a", "final", info)
    assert datastore.get_label_info("case_a", "final") == before


def test_a_volume_whose_id_would_end_like_a_file_is_not_listed(datastore):
    shutil.copy(datastore.studies / "case_a.nii.gz", datastore.studies / "odd.nii.nii.gz")
    assert datastore.list_images() == ["case_a", "case_b"]
    assert First()({}, datastore) == {"id": "case_a"}


@pytest.fixture
def rois():
    return np.random.default_rng(4).uniform(0.4, 0.7, (5, 64, 64)).astype(np.float32)


@pytest.fixture
def made(tmp_path, rois):
    """One synthetic volume as it was written, and its pixels as another program saves them, which this site still knows."""
    mark = SyntheticMark("cyst", "gan_cyst", "v1", "5e" * 32, 7, 0, "phantom")
    register = SyntheticRegister(tmp_path / "register")
    register.add(rois)
    marked, resaved = tmp_path / f"{mark.stem}.nii.gz", tmp_path / "upload.nrrd"
    write_nifti(marked, rois, mark)
    sitk.WriteImage(sitk.GetImageFromArray(to_hu(rois)), str(resaved))
    return SimpleNamespace(marked=marked, resaved=resaved, recognise=lambda path: synthetic_volume(path, register))


def test_a_synthetic_volume_that_is_sent_is_refused_under_any_name(datastore, tmp_path, made):
    datastore = CuratedDatastore(datastore.studies, recognise=made.recognise)
    renamed = shutil.copy(made.marked, tmp_path / "upload.nii.gz")
    for image_id, file in (("liver", renamed), ("liver", made.marked), ("case_a", renamed), ("liver", made.resaved)):
        with pytest.raises(InputError, match=r"synthetic image .* no patient's"):
            datastore.add_image(image_id, str(file), {"synthetic": False})
    unmarked = tmp_path / "of_another_site.nrrd"
    sitk.WriteImage(sitk.GetImageFromArray(to_hu(np.full((5, 64, 64), 0.5, np.float32))), str(unmarked))
    with pytest.raises(InputError, match="its name begins with SYNTHETIC-"):
        datastore.add_image("SYNTHETIC-cyst-1", str(unmarked), {})
    assert datastore.list_images() == ["case_a", "case_b"]
    assert not list(datastore.studies.glob(".new-*"))


def test_a_real_volume_of_64_by_64_is_taken(datastore, tmp_path, made, rois):
    datastore = CuratedDatastore(datastore.studies, recognise=made.recognise)
    sitk.WriteImage(sitk.GetImageFromArray(to_hu(rois) + np.int16(1)), str(tmp_path / "real.nrrd"))
    assert datastore.add_image("real", str(tmp_path / "real.nrrd"), {}) == "real"
    assert "synthetic" not in datastore.get_image_info("real")


def test_a_synthetic_volume_copied_into_the_folder_is_marked_never_offered_labelled_or_trained_on(
    datastore, store, tmp_path, made, tiny_label
):
    shutil.copy(made.marked, datastore.studies / "a_liver.nii.gz")
    shutil.copy(made.resaved, datastore.studies / "b_liver.nrrd")
    datastore = CuratedDatastore(
        datastore.studies, Curator(store.open, DEFAULT_CLASSES, AnswerLog(tmp_path / "log")), made.recognise
    )
    marked = [i for i, entry in datastore.json()["objects"].items() if entry["image"]["info"].get("synthetic")]
    assert marked == ["a_liver", "b_liver"]
    assert datastore.list_images() == ["case_a", "case_b"]
    assert datastore.status()["total"] == 2
    assert First()({}, datastore) == {"id": "case_a"}
    mask = np.zeros((5, 64, 64), np.uint8)
    mask[1:4, 20:44, 20:44] = 1
    sitk.WriteImage(sitk.GetImageFromArray(mask), str(tmp_path / "label.nii.gz"))
    for image_id in marked:
        with pytest.raises(InputError, match="takes no label"):
            datastore.save_label(image_id, str(tmp_path / "label.nii.gz"), "final", dict(NAMED))
    save(datastore, tmp_path, tiny_label, {"cyst": 1})
    assert list(curated_lesions(datastore, DEFAULT_CLASSES)) == ["case_a"]


def test_a_labelled_volume_overwritten_with_a_synthetic_one_is_not_trained_on(
    datastore, store, tmp_path, made, tiny_label, caplog
):
    datastore = CuratedDatastore(
        datastore.studies, Curator(store.open, DEFAULT_CLASSES, AnswerLog(tmp_path / "log")), made.recognise
    )
    save(datastore, tmp_path, tiny_label, {"cyst": 1})
    save(datastore, tmp_path, tiny_label, {"cyst": 1}, image="case_b")
    Path(datastore.get_image_uri("case_a")).write_bytes(made.marked.read_bytes())
    assert list(curated_lesions(datastore, DEFAULT_CLASSES)) == ["case_b"]
    assert "1 lesion(s) in synthetic images" in caplog.text


def test_what_was_labelled_before_it_was_marked_is_in_no_count_and_no_data_set(datastore, tmp_path, tiny_label):
    save(datastore, tmp_path, tiny_label, {"cyst": 1})
    save(datastore, tmp_path, tiny_label, {"cyst": 1}, image="case_b")
    datastore.update_image_info("case_a", {"synthetic": True})
    assert datastore.status()["total"] == datastore.status()["completed"] == 1
    assert [Path(pair["image"]).name for pair in datastore.datalist()] == ["case_b.nii.gz"]
    with zipfile.ZipFile(datastore.get_dataset_archive(None)) as archive:
        assert not [name for name in archive.namelist() if "case_a" in name]
