import json
import re
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import SimpleITK as sitk

from lesionlabel.datastore.answers import AnswerLog
from lesionlabel.datastore.curated import CuratedDatastore
from lesionlabel.infers.dispatch import dispatch
from lesionlabel.infers.lesion_classifier import LesionClassifier
from lesionlabel.lesions.errors import InputError, NotFoundError

CYST = {"point": [35, 45, 12], "diameter_mm": 28}


@pytest.fixture
def made():
    """Files to remove at the end."""
    files = []
    yield files
    for file in files:
        Path(file).unlink(missing_ok=True)


def test_by_default_a_labelled_point_that_slicer_opens_comes_with_the_answer(desk, ct, made):
    file, found = LesionClassifier(desk)({**CYST, "image": str(ct)})
    assert file is not None
    made.append(file)
    [node] = json.loads(Path(file).read_text())["markups"]
    assert (node["type"], node["coordinateSystem"]) == ("Fiducial", "LPS")
    point = node["controlPoints"][0]
    assert re.sub(r"[, ]", "", point["label"]) == re.sub(r"[, ]|about|each", "", found["display"])
    assert point["description"].startswith("S 66.0 mm, slice 12 (counted from 0), 28.0 mm across.")
    assert found["closed_set"] in point["description"]
    assert node["controlPoints"][0]["position"] == pytest.approx([-26, -6, 66], abs=0.01)
    assert file.endswith(".json")


@pytest.mark.parametrize("extension", [".nrrd", ".nii.gz"])
def test_a_mask_lies_on_the_files_own_grid_and_names_its_value(desk, ct, made, extension, tmp_path):
    flipped = tmp_path / "flipped.nii.gz"
    sitk.WriteImage(sitk.DICOMOrient(sitk.ReadImage(str(ct)), "RPS"), str(flipped))
    request = {"center_lps": [-26, -6, 66], "diameter_mm": 28, "image": str(flipped), "result_extension": extension}
    file, found = LesionClassifier(desk)(request)
    assert file is not None
    made.append(file)
    mask, image = sitk.ReadImage(file), sitk.ReadImage(str(flipped))
    assert mask.GetSize() == image.GetSize()
    assert mask.GetDirection() == pytest.approx(image.GetDirection())
    values = sitk.GetArrayFromImage(mask)
    k, j, i = (axis.mean() for axis in np.nonzero(values))
    assert mask.TransformContinuousIndexToPhysicalPoint((i, j, k)) == pytest.approx((-26, -6, 66), abs=0.5)
    assert values.sum() * 4 == pytest.approx(np.pi * 14**2, rel=0.08)
    assert list(found["label_names"].values()) == [1]


def test_an_unknown_result_file_is_refused(desk, ct):
    with pytest.raises(InputError, match="result_extension"):
        LesionClassifier(desk)({**CYST, "image": str(ct), "result_extension": ".exe"})


def test_no_file_is_made_when_only_json_is_wanted(desk, ct):
    file, found = LesionClassifier(desk)({**CYST, "image": str(ct), "result_write_to_file": False})
    assert file is None
    assert found["answered"]


@pytest.fixture
def host(tmp_path, tiny_ct, desk):
    tiny_ct(tmp_path / "studies" / "case.nii.gz")
    tasks = {"lesion_classifier": LesionClassifier(desk)}
    datastore, answers = CuratedDatastore(tmp_path / "studies"), AnswerLog(tmp_path / "answers")
    ask = partial(dispatch, tasks, datastore, answers, lambda path: desk.open(path).voxels)
    return SimpleNamespace(datastore=datastore, answers=answers, ask=ask)


def test_an_answer_by_id_is_recorded_as_seen_by_that_client(host, made):
    found = host.ask({"model": "lesion_classifier", "image": "case", "client_id": "r", **CYST})
    made.append(found["file"])
    assert host.answers.saw("case", "r") is True
    assert host.answers.entropy("case", found["params"]["model"]["version"]) == pytest.approx(
        found["params"]["entropy"], abs=1e-3
    )


def test_a_refused_type_is_no_answer_seen(host, made):
    made.append(host.ask({"model": "lesion_classifier", "image": "case", "client_id": "r", **CYST, "diameter_mm": 6})["file"])
    assert host.answers.saw("case", "r") is False


def test_a_path_of_the_server_is_no_image_id(host, ct):
    with pytest.raises(InputError, match="no image id"):
        host.ask({"model": "lesion_classifier", "image": str(ct), **CYST})
    with pytest.raises(NotFoundError, match="No image 'other'"):
        host.ask({"model": "lesion_classifier", "image": "other", **CYST})
    with pytest.raises(NotFoundError, match="No model 'nope'"):
        host.ask({"model": "nope", "image": "case", **CYST})


def test_a_result_is_saved_as_original_and_never_over_a_readers_label(host, made):
    asked = {"model": "lesion_classifier", "image": "case", **CYST, "save_label": True, "result_extension": ".nrrd"}
    made.append(host.ask(asked)["file"])
    assert host.datastore.get_labels_by_image_id("case") == {"original": "case"}
    with pytest.raises(InputError, match="'final'"):
        host.ask({**asked, "label_tag": "final"})


def test_an_answer_about_an_image_that_is_not_stored_is_recorded_by_its_voxels(host, desk, ct):
    host.ask({"model": "lesion_classifier", "image": ct, "client_id": "r", **CYST, "result_write_to_file": False})
    assert host.answers.unstored.saw(desk.open(ct).voxels, "r") is True
    assert host.answers.saw("case", "r") is False


def test_a_result_that_cannot_be_saved_leaves_no_file_behind(host, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    before = sorted(tmp_path.iterdir())
    asked = {"model": "lesion_classifier", "image": "case", **CYST, "save_label": True}
    with pytest.raises(InputError, match="no label tag"):
        host.ask({**asked, "label_tag": "../x"})
    monkeypatch.setattr(host.datastore, "save_label", lambda *_: (_ for _ in ()).throw(OSError("full")))
    with pytest.raises(OSError, match="full"):
        host.ask(asked)
    assert [p for p in sorted(tmp_path.iterdir()) if p not in before and p.name != "answers"] == []
