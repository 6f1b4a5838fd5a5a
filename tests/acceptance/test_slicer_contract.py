"""Everything that 3D Slicer's stock module asks of the server, in its own order, and what its dialogs say when it fails.

M: numbers are lines of plugins/slicer/MONAILabel/MONAILabel.py in monailabel 0.8.5. The module itself needs Slicer's window; its
client.py runs here as it is. What comes back is opened with Slicer's own libraries in tests/integration/slicer.
"""

import json
import time
from pathlib import Path

import httpx
import numpy as np
import pytest
import SimpleITK as sitk

pytestmark = [
    pytest.mark.acceptance,
    # The stock client leaves its connections to the garbage collector.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
CYST, METASTASIS, LIVER = [35, 45, 12], [62, 50, 10], [20, 60, 12]
SECTIONS = ("models", "trainers", "strategies", "scoring")
#: Types that M:547-549 puts into its lists; models of other types are for other clients.
LISTED = {"segmentation", "detection", "deepgrow", "deepedit", "scribbles"}


def options(info, section, name):
    """M:892-901 getParamsFromConfig: the first of a list, else the value as it is."""
    config = info.get(section, {}).get(name, {}).get("config", {})
    return {key: value[0] if isinstance(value, list) else value for key, value in config.items()}


def click(client, info, model, image, label, foreground, background=(), session_id=None, **extra):
    """M:1591-1706 onClickDeepgrow and M:2376-2386 infer."""
    params = {"label": label, "foreground": list(foreground), "background": list(background)}
    params.update(options(info, "models", model))
    if info["models"][model]["dimension"] == 2:
        params["slice"] = (foreground or background)[-1][2]
    params.update(extra)
    params.update(result_extension=".nrrd", result_dtype="uint8")
    return client.infer(model, image, params, session_id=session_id)


def run(client, info, model, image, session_id=None):
    """M:1550-1572 onClickSegmentation, the button Run under Auto Segmentation."""
    params = options(info, "models", model)
    params.update(result_extension=".nrrd", result_dtype="uint8")
    return client.infer(model, image, params, session_id=session_id)


def submit(client, image, label, names):
    """M:1452-1506 onSaveLabel: every segment is named, the empty ones too."""
    named = [{"name": name, "idx": number} for number, name in enumerate(names, start=1)]
    return client.save_label(image, str(label), params={"label_info": named})


@pytest.fixture
def dialog(slicer_client):
    """The text that M's errorDisplay gets from the exception of client.py (M:1109, 1519, 1575, 1715: e.msg)."""

    def shown(ask, *args, **kwargs) -> str:
        with pytest.raises(slicer_client.MONAILabelClientException) as failed:
            ask(*args, **kwargs)
        assert "500" not in failed.value.msg
        return failed.value.msg

    return shown


@pytest.fixture
def image(client, server, tmp_path, tiny_ct):
    """The id of a new image, taken away again: other tests share the server."""
    tiny_ct(tmp_path / "volume.nii.gz", seed=int(time.time_ns() % 2**31))
    name = f"contract.{time.time_ns()}"
    client.upload_image(str(tmp_path / "volume.nii.gz"), name)  # M:1391-1411 onUploadImage
    yield name
    httpx.delete(f"{server.url}/datastore/image", params={"id": name}).raise_for_status()


@pytest.fixture(scope="module")
def info(server):
    return server.get("/info/")


def test_every_option_is_of_a_kind_that_the_options_table_can_show_and_send_back(info):
    # M:825-870 updateConfigTable: a check box for a bool, a choice for a list (of text only: addItem), else a text field.
    advertised = [(s, name, key, value) for s in SECTIONS for name in info.get(s, {})
                  for key, value in (info[s][name].get("config") or {}).items()]  # fmt: skip
    assert {section for section, *_ in advertised} >= {"models", "trainers", "strategies"}
    for section, name, key, value in advertised:
        if isinstance(value, list):
            assert value, (section, name, key)
            assert all(isinstance(item, str) for item in value), (section, name, key)
        else:
            assert isinstance(value, bool | int | float | str), (section, name, key)


def test_what_is_chosen_at_first_lets_a_reader_click_and_submit_segments(info):
    # M:749-768 updateSelector chooses the first of its types; M:1465: with a detection model chosen, Submit sends boxes instead.
    models = info["models"]
    assert next(name for name in models if models[name]["type"] in ("deepgrow", "deepedit")) == "lesion"
    assert next(name for name in models if models[name]["type"] in ("segmentation", "detection")) == "lesion_report"
    assert not [name for name in models if models[name]["type"] == "detection"]
    assert models["lesion"]["dimension"] == 2  # M:1708: replaces the clicked slice, not the segment
    assert info["labels"] == ["cyst", "metastasis", "hemangioma"]  # M:1364: empty segments of these names


def test_every_advertised_model_answers_what_the_module_sends(client, info, image):
    assert set(info["models"]) >= {"lesion", "lesion_report", "lesion_classifier"}
    for name, model in info["models"].items():
        if model["type"] == "deepgrow":
            file, found = click(client, info, name, image, "metastasis", [CYST])
            assert found["label_names"] == {"metastasis": 1}
        elif model["type"] in LISTED:
            file, found = run(client, info, name, image)
            assert found["lesions"]
        elif name.startswith("generate"):
            file, found = run(client, info, name, image)
            assert found["synthetic"]
        else:
            file, found = click(client, info, name, image, "metastasis", [CYST], diameter_mm=28)
            assert found["prediction"]
        assert Path(file).stat().st_size > 0, name
        Path(file).unlink()


def test_every_strategy_offers_what_the_module_can_open_or_download(client, info, server):
    for strategy in info["strategies"]:
        sample = client.next_sample(strategy, options(info, "strategies", strategy))  # M:1270
        assert {"id", "name", "path"} <= set(sample), strategy
        assert Path(sample["path"]).exists()  # M:1292: shared with the server
        there = httpx.get(f"{server.url}/datastore/image", params={"image": sample["id"]})  # M:1300-1305
        assert there.content == Path(sample["path"]).read_bytes(), strategy
        assert sample["name"].endswith((".nii.gz", ".nrrd", ".nii")), strategy


def test_click_correct_report_submit_and_report_again(client, info, server, image, tmp_path):
    file, _ = click(client, info, "lesion", image, "cyst", [CYST])
    outline = sitk.ReadImage(file)
    file, _ = click(client, info, "lesion", image, "cyst", [CYST, [38, 46, 12]], [[48, 45, 12]], reset_state=True)
    volume = sitk.ReadImage(str(server.studies / f"{image}.nii.gz"))
    assert outline.GetSize() == volume.GetSize()
    file, report = run(client, info, "lesion_report", image)
    assert file.endswith(".json")  # M:1796: opened as markups
    [node] = json.loads(Path(file).read_text())["markups"]
    assert [point["label"] for point in node["controlPoints"]] == [lesion["label"] for lesion in report["lesions"]]
    # M:1478-1496: the segments as voxels 1, 2, 3 in the order of their names; cyst and hemangioma stay empty.
    label = sitk.Cast(outline, sitk.sitkUInt8) * 2
    sitk.WriteImage(label, str(tmp_path / "label.nii.gz"))
    saved = submit(client, image, tmp_path / "label.nii.gz", ["cyst", "metastasis", "hemangioma"])
    assert [lesion["label"] for lesion in saved["lesions"]] == ["metastasis"]
    assert saved["lesions"][0]["saw_model"] is True
    assert next(iter(saved)) == "message"  # M:1526: the first line of the details
    assert saved["message"] == "Lesions taken: 1 metastasis."
    assert client.info()["datastore"]["completed"] >= 1  # M:645: enables Train
    _, report = run(client, info, "lesion_report", image)
    assert [lesion["lesion"]["outlined_by"] for lesion in report["lesions"]] == ["saved by a reader"]


def test_a_reader_who_only_had_outlines_has_decided_blind(client, info, image, tmp_path, tiny_label):
    click(client, info, "lesion", image, "cyst", [CYST])
    tiny_label(tmp_path / "label.nii.gz", {"cyst": 1})
    saved = submit(client, image, tmp_path / "label.nii.gz", ["cyst", "metastasis", "hemangioma"])
    assert [lesion["saw_model"] for lesion in saved["lesions"]] == [False]


def test_each_training_is_started_watched_and_stopped(client, info, server):
    for trainer in info["trainers"]:
        started = client.train_start(trainer, options(info, "trainers", trainer))  # M:1175
        assert started["id"], trainer
        assert client.train_status(check_if_running=True) in (True, False)  # M:1237, with every refresh
        assert client.train_status()["status"]  # M:488, every 5 s
        stats = next(iter(server.get("/info/")["train_stats"].values()))  # M:494
        assert isinstance(stats.get("best_metric", 0), int | float)
        stopped = client.train_stop()  # M:1211
        assert stopped.get("details", [])[-1:], trainer  # M:1228 reads the last of them
        end = time.monotonic() + 400
        while client.train_status(check_if_running=True):
            assert time.monotonic() < end
            time.sleep(0.3)


@pytest.mark.parametrize(
    ("clicks", "said"),
    [
        ({"foreground": [LIVER]}, "no lesion stands out"),
        ({"foreground": [[1, 1, 12]]}, "lies in air"),
        ({"foreground": [[35, 45, 99]]}, "outside the volume"),
        ({"foreground": [], "background": [LIVER]}, "Only points outside the lesion"),
    ],
)
def test_a_click_that_is_on_no_lesion_is_answered_in_the_dialog(client, info, dialog, clicks, said):
    assert said in dialog(click, client, info, "lesion", "case_a", "cyst", **clicks)


def test_a_report_on_nothing_says_what_to_do(client, info, image, dialog):
    said = dialog(run, client, info, "lesion_report", image)
    assert "No lesion of this image is known" in said
    assert "with the model lesion" in said


def test_a_label_of_another_image_is_refused_in_the_dialog_and_kept(client, server, image, tmp_path, tiny_label, dialog):
    tiny_label(tmp_path / "mine.nii.gz", {"cyst": 1})
    submit(client, image, tmp_path / "mine.nii.gz", ["cyst"])
    moved = sitk.ReadImage(str(tmp_path / "mine.nii.gz"))
    moved.SetOrigin((400.0, 0.0, 0.0))
    sitk.WriteImage(moved, str(tmp_path / "other.nii.gz"))
    said = dialog(submit, client, image, tmp_path / "other.nii.gz", ["cyst"])
    assert "drawn on another image" in said
    assert "the one before stays" in said
    kept = sorted((server.studies / "labels" / "history" / "labels" / "final" / image).glob("*/record.json"))
    assert [json.loads(record.read_text())["event"] for record in kept] == ["saved", "refused"]
    assert (kept[-1].parent / f"{image}.nii.gz").read_bytes() == (tmp_path / "other.nii.gz").read_bytes()
    assert Path(client.download_label(image, "final")).read_bytes() == (tmp_path / "mine.nii.gz").read_bytes()


@pytest.mark.parametrize("name", ["Segment_1", "abscess"])
def test_a_segment_without_a_known_class_is_stored_and_said_so(client, image, tmp_path, tiny_label, name):
    tiny_label(tmp_path / "label.nii.gz", {"cyst": 1, "metastasis": 2})
    saved = submit(client, image, tmp_path / "label.nii.gz", ["cyst", name])
    assert [lesion["label"] for lesion in saved["lesions"]] == ["cyst"]
    assert saved["message"].startswith(f"Lesions taken: 1 cyst. The segment '{name}': Kept as stored, not used for training:")
    assert Path(client.download_label(image, "final")).read_bytes() == (tmp_path / "label.nii.gz").read_bytes()


def test_after_its_session_ended_a_reader_is_told_to_upload_and_goes_on(client, info, tmp_path, tiny_ct, tiny_label, dialog):
    tiny_ct(tmp_path / "volume.nii.gz", seed=99)
    session = client.create_session(str(tmp_path / "volume.nii.gz"))["session_id"]  # M:1405
    name = "7: Liver 1.5"
    click(client, info, "lesion", name, "cyst", [CYST], session_id=session)
    run(client, info, "lesion_report", name, session_id=session)
    client.remove_session(session)
    for asked in (lambda: client.get_session(session), lambda: click(client, info, "lesion", name, "cyst", [CYST], (), session)):
        said = dialog(asked)  # M:1541-1548 asks for the session first
        assert said.startswith("Status: 404")
        assert "Upload Volume" in said
    client.upload_image(str(tmp_path / "volume.nii.gz"), name)
    click(client, info, "lesion", name, "cyst", [CYST])
    tiny_label(tmp_path / "label.nii.gz", {"cyst": 1})
    assert submit(client, name, tmp_path / "label.nii.gz", ["cyst"])["lesions"]


def test_a_volume_of_several_frames_is_refused_in_the_dialog(client, tmp_path, tiny_ct, dialog):
    tiny_ct(tmp_path / "one.nii.gz")
    one = sitk.ReadImage(str(tmp_path / "one.nii.gz"))
    sitk.WriteImage(sitk.JoinSeries([one, one]), str(tmp_path / "frames.nii.gz"))
    for ask in (lambda path: client.upload_image(path, "frames"), client.create_session):
        said = dialog(ask, str(tmp_path / "frames.nii.gz"))
        assert "was not taken" in said
        assert "4" in said


def test_an_oblique_volume_is_clicked_outlined_and_submitted(client, info, tmp_path, tiny_ct):
    tiny_ct(tmp_path / "straight.nii.gz", seed=98)
    image = sitk.ReadImage(str(tmp_path / "straight.nii.gz"))
    turn = np.deg2rad(20)
    image.SetDirection([1, 0, 0, 0, np.cos(turn), -np.sin(turn), 0, np.sin(turn), np.cos(turn)])
    sitk.WriteImage(image, str(tmp_path / "oblique.nii.gz"))
    client.upload_image(str(tmp_path / "oblique.nii.gz"), "oblique")
    file, found = click(client, info, "lesion", "oblique", "cyst", [CYST])
    outline = sitk.ReadImage(file)
    assert outline.GetDirection() == pytest.approx(image.GetDirection(), abs=1e-6)
    sitk.WriteImage(outline, str(tmp_path / "label.nii.gz"))
    [lesion] = submit(client, "oblique", tmp_path / "label.nii.gz", ["cyst", "metastasis", "hemangioma"])["lesions"]
    assert lesion["diameter_mm"] == pytest.approx(found["lesion"]["diameter_mm"], abs=4)
