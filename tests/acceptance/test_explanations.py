"""What our Slicer module asks for beside an answer, over HTTP: the heat map and similar curated lesions."""

from __future__ import annotations

import json

import httpx
import pytest
import SimpleITK as sitk

CYST = {"point": [35, 45, 12], "diameter_mm": 28, "override_phase": True}


def post(server, path: str, **params) -> httpx.Response:
    return httpx.post(f"{server.url}{path}", files={"params": (None, json.dumps({**CYST, **params}))}, timeout=120)


def test_a_heat_map_comes_as_nrrd_on_the_images_grid_and_says_what_it_is_not(server, tmp_path):
    response = post(server, "/api/v1/heat-map?image=case_b", **{"class": "cyst"})
    assert response.status_code == 200, response.text
    assert response.headers["X-LesionLabel-Notice"].startswith("NOT EVIDENCE")
    assert response.headers["X-LesionLabel-Class"] == "cyst"
    assert "NOT-EVIDENCE-heat-map.nrrd" in response.headers["Content-Disposition"]
    (tmp_path / "map.nrrd").write_bytes(response.content)
    drawn, image = sitk.ReadImage(str(tmp_path / "map.nrrd")), sitk.ReadImage(str(server.studies / "case_b.nii.gz"))
    assert drawn.GetSize() == image.GetSize()
    assert drawn.GetOrigin() == pytest.approx(image.GetOrigin())
    assert drawn.GetDirection() == pytest.approx(image.GetDirection())
    voxels = sitk.GetArrayFromImage(drawn)
    assert voxels[12].any()
    assert not voxels[[k for k in range(24) if k != 12]].any()


def test_similar_lesions_are_asked_for_like_an_answer(server):
    found = post(server, "/api/v1/similar?image=case_b").json()
    assert {entry["image"] for entry in found["similar"]} <= {"spleen_3"} | {f"case_{x}" for x in "ac"}
    assert found["compared"] == found["curated"]
    assert found["closed_set"].startswith("Chooses only among")


def test_a_lesion_that_is_given_as_a_label_is_the_one_that_the_answer_was_about(server, tmp_path):
    """A flat lesion that is no circle: judged as drawn, where a circle of its diameter would take in what is around it."""
    image = sitk.ReadImage(str(server.studies / "case_b.nii.gz"))
    drawn = sitk.Image(image.GetSize(), sitk.sitkUInt8)
    drawn.CopyInformation(image)
    drawn[30:41, 44:47, 12:13] = 1
    sitk.WriteImage(drawn, str(tmp_path / "label.nrrd"))

    def ask(path: str, **params) -> httpx.Response:
        files = {
            "params": (None, json.dumps({"override_phase": True, **params})),
            "label": ("label.nrrd", (tmp_path / "label.nrrd").read_bytes()),
        }
        return httpx.post(f"{server.url}{path}", files=files, timeout=120)

    answer = ask("/infer/lesion_classifier?image=case_b&output=json").json()
    assert answer["answered"], answer["why_not"]
    found = ask("/api/v1/similar?image=case_b")
    assert found.json()["lesion"] == answer["lesion"]
    assert ask("/api/v1/heat-map?image=case_b").status_code == 200
    both = ask("/api/v1/heat-map?image=case_b", point=[35, 45, 12])
    assert both.status_code == 422
    assert "point and label were all given" in both.json()["detail"]


@pytest.mark.parametrize("path", ["heat-map", "similar"])
def test_what_cannot_be_explained_is_said(server, path):
    small = post(server, f"/api/v1/{path}?image=case_b", diameter_mm=6)
    assert small.status_code == 422
    assert "too small to characterise" in small.json()["detail"]
    assert post(server, f"/api/v1/{path}?image=nobody").status_code == 404
    assert post(server, f"/api/v1/{path}?image=case_b", **{"class": "abscess", "count": 99}).status_code == 422


def test_whoever_was_given_either_has_seen_what_the_model_thinks(server):
    answers = server.studies / "labels" / "history" / "answers" / "case_c.json"
    assert not answers.exists()
    assert post(server, "/api/v1/similar?image=case_c", client_id="a-reader").status_code == 200
    assert len(json.loads(answers.read_text())["clients"]) == 1
