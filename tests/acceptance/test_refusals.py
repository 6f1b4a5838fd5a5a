"""What a real server refuses and keeps: garbage as label or image, misspelt parameters, a GPU log without a GPU."""

import json
import shutil

import httpx
import pytest

pytestmark = pytest.mark.acceptance

GARBAGE = ("x.nii.gz", b"this is no volume")


def test_garbage_as_a_final_label_is_refused_with_422_and_the_good_label_stays(server, tmp_path, tiny_label):
    tiny_label(tmp_path / "label.nii.gz", {"cyst": 1})
    url = f"{server.url}/datastore/label?image=case_c&tag=final"
    params = {"params": json.dumps({"label_info": [{"name": "cyst", "idx": 1}]})}
    good = httpx.put(url, data=params, files={"label": ("x.nii.gz", (tmp_path / "label.nii.gz").read_bytes())})
    assert (good.status_code, len(good.json()["lesions"])) == (200, 1)
    before = server.get("/datastore/?output=all")["objects"]["case_c"]
    for file in (GARBAGE, ("x.png", b"\x89PNG\r\n\x1a\n"), ("x.seg.nrrd", b"NRRD0004")):
        refused = httpx.put(url, files={"label": file})
        assert (refused.status_code, refused.json()["error"]) == (422, "LabelError")
        assert "the one before stays" in refused.json()["detail"]
    assert server.get("/datastore/?output=all")["objects"]["case_c"] == before
    assert httpx.get(f"{server.url}/datastore/label?label=case_c&tag=final").content == (tmp_path / "label.nii.gz").read_bytes()
    kept = (server.studies / "labels" / "history" / "labels" / "final" / "case_c").glob("*/record.json")
    assert sorted(json.loads(record.read_text())["event"] for record in kept) == ["refused", "refused", "refused", "saved"]
    httpx.delete(f"{server.url}/datastore/label?id=case_c&tag=final").raise_for_status()


@pytest.mark.parametrize(
    ("path", "field"), [("/datastore/image?image=garbage", "file"), ("/datastore/?image=garbage", "file"), ("/session/", "files")]
)
def test_an_image_that_is_no_ct_is_refused_with_422_and_nothing_of_it_stays(server, path, field):
    sessions = server.home / "sessions"
    before = server.get("/datastore/"), sorted(sessions.glob("*")), sorted(server.temporary.iterdir())
    refused = httpx.put(server.url + path, files={field: GARBAGE})
    assert refused.status_code == 422
    assert "was not taken" in refused.json()["detail"]
    assert "The file cannot be read" in refused.json()["detail"]
    assert (server.get("/datastore/"), sorted(sessions.glob("*")), sorted(server.temporary.iterdir())) == before


def test_a_label_of_several_segments_is_asked_about(server, tmp_path, tiny_label):
    tiny_label(tmp_path / "label.nii.gz", {"cyst": 1, "metastasis": 2})
    url = f"{server.url}/infer/lesion_classifier?image=case_c&output=json"

    def ask(**params):
        files = {"label": ("l.nii.gz", (tmp_path / "label.nii.gz").read_bytes())}
        return httpx.post(url, data={"params": json.dumps(params)}, files=files)

    assert ask().status_code == 422
    assert "holds 2 segments" in ask().json()["detail"]
    chosen = ask(segment="2")
    assert chosen.status_code == 200
    assert chosen.json()["lesion"]["centre_voxel"] == pytest.approx([62, 50, 10], abs=0.6)


def test_a_misspelt_parameter_is_named(server):
    asked = {"params": json.dumps({"point": [35, 45, 12], "diameter": 28})}
    answer = httpx.post(f"{server.url}/infer/lesion_classifier?image=case_c&output=json", data=asked)
    assert answer.status_code == 422
    assert "did you mean diameter_mm?" in answer.json()["detail"]


@pytest.mark.skipif(shutil.which("nvidia-smi") is not None, reason="this machine has nvidia-smi")
def test_without_a_gpu_its_log_says_so(server):
    answer = httpx.get(f"{server.url}/logs/gpu")
    assert answer.status_code == 404
    assert "nvidia-smi was not found" in answer.json()["detail"]
