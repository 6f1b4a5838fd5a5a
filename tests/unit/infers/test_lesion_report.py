"""The model `lesion_report`: what is marked or saved, each lesion once, with its type at its place."""

import json
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import SimpleITK as sitk

from lesionlabel.datastore.answers import AnswerLog
from lesionlabel.datastore.curate import Curator
from lesionlabel.datastore.curated import CuratedDatastore
from lesionlabel.infers import marked
from lesionlabel.infers.desk import Desk
from lesionlabel.infers.dispatch import dispatch
from lesionlabel.infers.lesion import LesionOutline
from lesionlabel.infers.lesion_report import LesionReport
from lesionlabel.lesions.errors import InputError
from lesionlabel.lesions.segmenter import Clicks
from lesionlabel.settings import Settings

CYST, METASTASIS = [35, 45, 12], [62, 50, 10]
NAMED = [{"name": "cyst", "idx": 1}, {"name": "metastasis", "idx": 2}]


@pytest.fixture
def host(site, tmp_path, tiny_ct, dark_parts):
    tiny_ct(tmp_path / "studies" / "case.nii.gz")
    desk = Desk(Settings(home=site / "home", device="cpu"), dark_parts)
    answers = AnswerLog(tmp_path / "answers")
    datastore = CuratedDatastore(tmp_path / "studies", Curator(desk.store.open, desk.settings.classes, answers))
    tasks = {"lesion": LesionOutline(desk), "lesion_report": LesionReport(desk, datastore)}
    ask = partial(dispatch, tasks, datastore, answers, lambda path: desk.open(path).voxels)

    def click(point, client="r", **params):
        result = ask({"model": "lesion", "image": "case", "client_id": client, "foreground": [point], **params})
        Path(result["file"]).unlink()
        return result["params"]

    def report(client="r", image="case", **params):
        result = ask({"model": "lesion_report", "image": image, "client_id": client, "result_extension": ".nrrd", **params})
        file = Path(result["file"])
        content = json.loads(file.read_text()) if file.suffix == ".json" else sitk.ReadImage(str(file))
        file.unlink()
        return content, result["params"]

    studies = tmp_path / "studies"
    return SimpleNamespace(desk=desk, datastore=datastore, answers=answers, click=click, report=report, studies=studies)


def points(document):
    [node] = document["markups"]
    return node["controlPoints"]


def test_marked_lesions_are_points_with_their_type_and_what_a_reader_has_to_know(host):
    host.click(CYST)
    host.click(METASTASIS)
    assert host.answers.saw("case", "r") is False  # outlines tell no type
    document, found = host.report()
    first, second = points(document)
    assert first["position"] == pytest.approx([28, 4, 60], abs=1.2)
    assert second["position"] == pytest.approx([-26, -6, 66], abs=1.2)
    assert [p["label"] for p in (first, second)] == [lesion["label"] for lesion in found["lesions"]]
    assert first["description"].startswith("S 60.0 mm, slice 10 (counted from 0), ")
    assert "not for clinical use" in first["description"].casefold()
    assert host.answers.saw("case", "r") is True
    assert host.answers.entropy("case", found["model"]["version"]) == pytest.approx(found["entropy"], abs=1e-3)


def test_a_percentage_is_a_step_of_five_and_stands_behind_the_type(host):
    host.click(CYST)
    label = points(host.report()[0])[0]["label"]
    assert any(name in label for name in host.desk.settings.classes.names)
    assert int("".join(filter(str.isdigit, label.split("%")[0]))) % 5 == 0


def test_a_corrected_outline_is_the_same_lesion_and_so_is_one_in_the_next_slice(host):
    host.click(CYST)
    host.click(CYST, background=[[40, 45, 12]])
    host.click([35, 45, 13])
    assert len(points(host.report()[0])) == 1


def test_what_was_saved_takes_the_place_of_what_was_marked_before(host, tmp_path, tiny_label, monkeypatch):
    host.click(CYST)
    host.click(METASTASIS)
    tiny_label(tmp_path / "label.nii.gz", {"metastasis": 2})
    host.datastore.save_label("case", str(tmp_path / "label.nii.gz"), "final", {"label_info": NAMED, "client_id": "r"})
    [point] = points(host.report()[0])
    assert point["position"] == pytest.approx([28, 4, 60], abs=1.2)
    later = marked.time.time() + 10
    monkeypatch.setattr(marked.time, "time", lambda: later)
    host.click(METASTASIS)
    host.click(CYST)
    assert len(points(host.report()[0])) == 2


def test_one_readers_marks_are_not_anothers_but_what_is_saved_is(host, tmp_path, tiny_label):
    host.click(CYST)
    with pytest.raises(InputError, match="No lesion of this image is known"):
        host.report("other")
    tiny_label(tmp_path / "label.nii.gz", {"cyst": 1})
    host.datastore.save_label("case", str(tmp_path / "label.nii.gz"), "final", {"label_info": NAMED, "client_id": "other"})
    assert len(points(host.report()[0])) == len(points(host.report("other")[0])) == 1


def test_a_lesion_without_a_type_says_why_at_its_place(host, tmp_path):
    host.click(METASTASIS, roi=[61, 63, 49, 51, 10, 10])
    document, found = host.report()
    assert not found["answered"]
    assert points(document)[0]["label"] == "too small to characterise"
    host.desk.versions = Desk(Settings(home=tmp_path / "empty", device="cpu", allow_starter=False)).versions
    host.click(CYST)
    labels = [p["label"] for p in points(host.report()[0])]
    assert labels.count("no type: no model serves") == 1


def test_a_volume_that_is_not_stored_is_reported_on_too(host):
    path = host.studies / "case.nii.gz"
    outlined = host.desk.segmenter.segment(host.desk.open(path).volume, Clicks(((35.0, 45.0, 12.0),)))
    host.desk.open(path).marks.note("r", [outlined])
    assert len(points(host.report(image=path)[0])) == 1


def test_a_client_that_asks_for_an_image_gets_voxels_numbered_by_type(host):
    host.click(CYST)
    mask, found = host.report(output="image")
    [value] = set(np.unique(sitk.GetArrayFromImage(mask)).tolist()) - {0}
    assert {v: k for k, v in found["label_names"].items()}[value] in found["lesions"][0]["display"]
