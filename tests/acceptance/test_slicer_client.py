"""What 3D Slicer's stock client does, against a real server."""

import json
import time
from concurrent.futures import ThreadPoolExecutor
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
CYST = {"foreground": [[35, 45, 12]], "diameter_mm": 28}


def test_slicer_connects_and_finds_models_strategies_and_classes(client):
    info = client.info()
    assert not info.get("config")
    assert info["labels"] == ["cyst", "metastasis", "hemangioma"]
    assert info["models"]["lesion_classifier"]["type"] == "classification"
    assert info["models"]["lesion"]["type"] == "deepgrow"
    synthesise = {f"synthesise_{name}" for name in info["labels"]}
    assert set(info["strategies"]) == {"random", "first", "uncertainty", "diversity", "uncertainty_and_diversity"} | synthesise
    assert set(info["trainers"]) == {"lesion_classifier", "gan_cyst", "gan_metastasis", "gan_hemangioma", "acgan"}
    assert client.auth_enabled() is False


@pytest.mark.parametrize("strategy", ["random", "first", "uncertainty", "diversity", "uncertainty_and_diversity"])
def test_the_next_sample_is_an_unlabelled_volume_that_exists(client, strategy):
    for _ in range(2):
        sample = client.next_sample(strategy, {})
        assert Path(sample["path"]).name == sample["name"] == f"{sample['id']}.nii.gz"
        assert Path(sample["path"]).exists()


def test_a_click_gives_a_point_labelled_with_the_type(client):
    file, found = client.infer("lesion_classifier", "case_a", dict(CYST))
    assert sum(entry["score"] for entry in found["prediction"]) == pytest.approx(1)
    assert found["lesion"]["centre_voxel"] == pytest.approx([35, 45, 12], abs=0.1)
    [node] = json.loads(Path(file).read_text())["markups"]
    assert node["controlPoints"][0]["label"].replace(",", "").split()[0] == found["display"].replace(",", "").split()[0]


def test_a_drawn_label_can_be_asked_about(client, tmp_path, tiny_label):
    tiny_label(tmp_path / "label.nii.gz", {"metastasis": 1})
    file, found = client.infer(
        "lesion_classifier", "case_a", {"result_extension": ".nrrd"}, label_in=str(tmp_path / "label.nii.gz")
    )
    assert found["lesion"]["outlined_by"] == "label file"
    assert np.count_nonzero(sitk.GetArrayFromImage(sitk.ReadImage(file))) > 20


def test_an_image_can_be_asked_about_without_being_stored(client, server):
    before = client.info()["datastore"]["total"]
    session = client.create_session(str(server.studies / "case_a.nii.gz"))
    assert client.get_session(session["session_id"])
    _, found = client.infer("lesion_classifier", "case_a", dict(CYST), session_id=session["session_id"])
    assert found["answered"]
    _, found = client.infer("lesion_classifier", "", dict(CYST), file=str(server.studies / "case_c.nii.gz"))
    assert found["answered"]
    assert client.info()["datastore"]["total"] == before
    client.remove_session(session["session_id"])


def test_an_uploaded_volume_can_be_asked_about(client, tmp_path, tiny_ct):
    tiny_ct(tmp_path / "x.nii.gz", seed=77)
    assert client.upload_image(str(tmp_path / "x.nii.gz"), "uploaded.1")["image"] == "uploaded.1"
    _, found = client.infer("lesion_classifier", "uploaded.1", dict(CYST))
    assert found["answered"]


def test_a_volume_asked_about_in_a_session_and_then_submitted_under_slicers_name_for_it_was_seen(
    client, server, tmp_path, tiny_ct, tiny_label
):
    tiny_ct(tmp_path / "x.nii.gz", seed=78)
    tiny_label(tmp_path / "label.nii.gz", {"cyst": 1})
    session = client.create_session(str(tmp_path / "x.nii.gz"))
    name = "5: Abdomen 2.0"
    _, found = client.infer("lesion_classifier", name, dict(CYST), session_id=session["session_id"])
    assert found["answered"]
    client.upload_image(str(tmp_path / "x.nii.gz"), name)
    named = {"label_info": [{"name": "cyst", "idx": 1}]}
    result = client.save_label(name, str(tmp_path / "label.nii.gz"), params=named)
    assert [lesion["saw_model"] for lesion in result["lesions"]] == [True]
    assert client.datastore()["objects"][result["image"]]["labels"]["final"]["info"]["lesions"] == result["lesions"]
    _, found = client.infer("lesion_classifier", name, dict(CYST))
    assert found["answered"]


def test_submitted_segments_become_lesions_every_version_is_kept_and_a_restart_changes_nothing(
    client, server, tmp_path, tiny_ct, tiny_label
):
    label_info = [{"name": "cyst", "idx": 1}, {"name": "metastasis", "idx": 2}, {"name": "hemangioma", "idx": 3}]
    tiny_label(tmp_path / "one.nii.gz", {"cyst": 1})
    tiny_label(tmp_path / "two.nrrd", {"cyst": 1, "metastasis": 2})
    # An image of its own: once anybody has asked about one, nobody is known to be blind.
    tiny_ct(tmp_path / "x.nii.gz", seed=79)
    client.upload_image(str(tmp_path / "x.nii.gz"), "kept_over_restart")
    first = client.save_label("kept_over_restart", str(tmp_path / "one.nii.gz"), params={"label_info": label_info})
    assert [lesion["label"] for lesion in first["lesions"]] == ["cyst"]
    client.infer("lesion_classifier", "kept_over_restart", dict(CYST))
    second = client.save_label(
        "kept_over_restart", str(tmp_path / "two.nrrd"), params={"label_info": label_info, "proof": "pathology"}
    )
    assert [lesion["label"] for lesion in second["lesions"]] == ["cyst", "metastasis"]
    assert [r["saw_model"] for r in (first, second)] == [False, True]
    assert {lesion["proof"] for lesion in second["lesions"]} == {"pathology"}

    versions = sorted((server.studies / "labels" / "history" / "labels" / "final" / "kept_over_restart").iterdir())
    assert [sorted(p.name for p in v.iterdir()) for v in versions] == [
        ["kept_over_restart.nii.gz", "record.json"],
        ["kept_over_restart.nrrd", "record.json"],
    ]
    before = client.datastore()
    server.stop()
    server.start()
    assert client.datastore() == before
    assert before["objects"]["kept_over_restart"]["labels"]["final"]["info"]["lesions"] == second["lesions"]
    downloaded = client.download_label("kept_over_restart", "final")
    assert Path(downloaded).read_bytes() == (tmp_path / "two.nrrd").read_bytes()


def test_training_on_too_little_ends_with_the_reason_and_what_serves_is_untouched(client, server):
    before = server.get("/info/")["models"]
    started = client.train_start("lesion_classifier", {"profile": "quick", "kind": "any", "seed": 0})
    assert started["status"] in ("SUBMITTED", "RUNNING")
    assert "client_id" not in started["request"]
    end = time.monotonic() + 400
    while client.train_status()["status"] in ("SUBMITTED", "RUNNING"):
        assert time.monotonic() < end, (client.train_status(), server.worker_log()[-3000:])
        time.sleep(0.5)
    status = client.train_status()
    assert status["status"] == "ERROR"
    assert "lesions failed: Class '" in status["details"][-1]
    # The module that shows progress has a figure, and the reason.
    stats = server.get("/info/")["train_stats"]["lesion_classifier"]
    assert stats["why"].startswith("Class '")
    assert stats["total_time"] >= 1
    assert "Traceback" not in " ".join(status["details"])
    assert server.get("/info/")["models"] == before
    assert client.train_status(check_if_running=True) is False


@pytest.mark.parametrize(
    ("path", "params", "status", "said"),
    [
        ("lesion_classifier?image=nothing", {"point": [1, 2, 3]}, 404, "No image 'nothing'"),
        ("lesion_classifier?image=/etc/passwd", {"point": [1, 2, 3]}, 422, "no image id"),
        ("lesion_classifier?image=..%2Fcase_a", {"point": [1, 2, 3]}, 422, "no image id"),
        ("nothing?image=case_a", {"point": [1, 2, 3]}, 404, "No model 'nothing'"),
        ("lesion_classifier?image=case_a", {"point": [0, 0, 0]}, 422, "in air"),
        ("lesion_classifier?image=case_a", {"point": [9999, 0, 0]}, 422, "outside the volume"),
        ("lesion_classifier?image=case_a", {}, 422, "No lesion was given"),
        ("lesion_classifier?image=case_a", {"point": [1, 2, 3], "model": "other", "image": "/etc/passwd"}, 422, "in air"),
        ("lesion_classifier", {"point": [1, 2, 3]}, 422, "No image was named"),
        ("lesion_classifier?session_id=none", {"point": [1, 2, 3]}, 404, "No session"),
        ("lesion_classifier?image=case_a&output=dicom_seg", {"point": [1, 2, 3]}, 422, "came from a PACS"),
        ("wsi/lesion_classifier?image=case_a", {}, 404, "not offered"),
    ],
)
def test_a_wrong_question_is_answered_with_its_reason_as_json(server, path, params, status, said):
    response = httpx.post(f"{server.url}/infer/{path}", files={"params": (None, json.dumps(params))})
    assert response.status_code == status
    assert said in response.json()["detail"]


def test_params_that_are_no_json_and_files_that_are_no_ct_are_refused(server):
    broken = httpx.post(f"{server.url}/infer/lesion_classifier?image=case_a", files={"params": (None, "{half")})
    assert (broken.status_code, "JSON" in broken.json()["detail"]) == (422, True)
    picture = sitk.GetImageFromArray(np.random.default_rng(0).integers(0, 255, (8, 64, 64)).astype(np.uint8))
    path = server.home.parent / "picture.nii.gz"
    sitk.WriteImage(picture, str(path))
    asked = {"params": (None, json.dumps({"point": [3, 3, 3]})), "file": ("a.nii.gz", path.read_bytes())}
    answered = httpx.post(f"{server.url}/infer/lesion_classifier", files=asked)
    assert answered.status_code == 422
    assert answered.json()["error"] == "NotCTError"


@pytest.mark.parametrize(
    ("path", "field"),
    [
        ("/datastore/image/info?image=case_a", "info"),
        ("/datastore/label/info?label=spleen_3&tag=final", "info"),
        ("/datastore/updatelabelinfo?label=spleen_3&tag=final", "params"),
    ],
)
def test_info_is_a_json_object_and_is_added(server, path, field):
    for wrong in ("{half", "[1]"):
        assert httpx.put(server.url + path, data={field: wrong}).status_code == 422
    assert httpx.put(server.url + path, data={field: '{"remark": "seen twice"}'}).status_code == 200
    kept = server.get(path.replace("updatelabelinfo", "label/info"))
    assert kept["remark"] == "seen twice"


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("POST", "/reload", 404),
        ("GET", "/proxy/dicom/wado/x", 404),
        ("PUT", "/model/lesion_classifier", 403),
        ("DELETE", "/model/lesion_classifier", 403),
        ("POST", "/batch/infer/lesion_classifier", 404),
        ("GET", "/ohif/", 404),
        ("GET", "/datastore/image?image=../../etc/passwd", 422),
        ("GET", "/datastore/image/info?image=nothing", 404),
        ("GET", "/datastore/label?label=case_a&tag=..%2F..", 422),
        ("DELETE", "/datastore/image?id=nothing", 404),
        ("DELETE", "/datastore/label?id=case_a&tag=nothing", 404),
        ("POST", "/activelearning/nothing", 404),
        ("POST", "/train/nothing", 404),
        ("GET", "/session/..%2F..%2Fetc", 404),
        ("PUT", "/datastore/label/info?label=case_a&tag=nothing", 404),
        ("PUT", "/datastore/image/info?image=nothing", 404),
    ],
)
def test_what_is_closed_unknown_or_unsafe_answers_as_json(server, method, path, status):
    response = httpx.request(method, server.url + path)
    assert response.status_code == status
    assert response.json()["detail"]


def test_pages_say_what_this_is_and_load_nothing_from_elsewhere(server):
    for path in ("/", "/docs", "/logs/"):
        response = httpx.get(server.url + path)
        assert response.status_code == 200
        assert "https://" not in response.text
        assert "src=" not in response.text
    assert "not for clinical use" in httpx.get(server.url + "/").text
    assert (
        "access-control-allow-origin" not in httpx.get(server.url + "/info/", headers={"Origin": "https://evil.example"}).headers
    )


def test_the_log_holds_no_image_ids_and_no_requests(server, client):
    client.infer("lesion_classifier", "case_a", dict(CYST))
    text = server.output.read_text() + (server.home / "app" / "logs" / "app.log").read_text()
    assert "case_" not in text
    assert "foreground" not in text
    assert "reader-1" not in text


def test_no_image_or_answer_stays_behind_in_the_temporary_folder(server, client, tmp_path, tiny_label):
    # What an earlier test asked may go only now: files are removed after the answer was sent.
    before = set(server.temporary.iterdir())
    tiny_label(tmp_path / "label.nii.gz", {"cyst": 1})
    client.infer("lesion_classifier", "", dict(CYST), file=str(server.studies / "case_c.nii.gz"))
    client.infer("lesion_classifier", "case_c", {}, label_in=str(tmp_path / "label.nii.gz"))
    for params in ({"point": [0, 0, 0]}, {"point": "x"}):
        files = {"params": (None, json.dumps(params)), "file": ("a.nii.gz", (server.studies / "case_c.nii.gz").read_bytes())}
        assert httpx.post(f"{server.url}/infer/lesion_classifier", files=files).status_code == 422
    refused = httpx.put(f"{server.url}/datastore/image?image=x.1", files={"file": ("a.seg.nrrd", b"x")})
    assert refused.status_code == 422
    end = time.monotonic() + 10
    while (left := set(server.temporary.iterdir()) - before) and time.monotonic() < end:
        time.sleep(0.1)
    assert not left


def test_many_clicks_at_once_get_the_same_answer_as_one(server):
    asked = {"params": (None, json.dumps({"point": [35, 45, 12], "diameter_mm": 28}))}
    url = f"{server.url}/infer/lesion_classifier?image=case_c&output=json"
    with ThreadPoolExecutor(8) as pool:
        clicks = [pool.submit(httpx.post, url, files=asked, timeout=60) for _ in range(24)]
        infos = [pool.submit(httpx.get, server.url + "/info/", timeout=60) for _ in range(8)]
        answers = {json.dumps(click.result().json()["prediction"]) for click in clicks}
        assert {info.result().status_code for info in infos} == {200}
    assert len(answers) == 1
