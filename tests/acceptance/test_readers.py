"""Two readers with the stock client, an adjudicator over REST, on a real server."""

from __future__ import annotations

import httpx
import pytest

pytestmark = [
    pytest.mark.acceptance,
    # The stock client leaves its connections to the garbage collector.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


def test_two_readers_differ_and_a_third_person_decides(client, server, slicer_client, tmp_path, tiny_ct, tiny_label):
    tiny_ct(tmp_path / "x.nii.gz", seed=91)
    tiny_label(tmp_path / "label.nii.gz", {"cyst": 1, "metastasis": 2})
    image = client.upload_image(str(tmp_path / "x.nii.gz"), "read_twice")["image"]
    first, second = (slicer_client.MONAILabelClient(server.url, tmpdir=str(tmp_path), client_id=id) for id in ("dr-a", "dr-b"))
    saved = []
    for one, second_class in ((first, "metastasis"), (second, "Other / none of these")):
        label_info = [{"name": "cyst", "idx": 1}, {"name": second_class, "idx": 2}]
        saved.append(one.save_label(image, str(tmp_path / "label.nii.gz"), params={"label_info": label_info}))
    # Stock clients see one current label, the last one.
    assert client.datastore()["objects"][image]["labels"]["final"]["info"]["lesions"] == saved[1]["lesions"]

    readings = server.get(f"/api/v1/images/{image}/readings")
    assert [(d["reader"], d["blind"]) for d in readings["decisions"]] == [("dr-a", True), ("dr-b", True)]
    assert [one["agreement"] for one in readings["lesions"]] == ["agreed", "open"]
    [differ] = [one for one in server.get("/api/v1/disagreements")["lesions"] if one["image"] == image]
    assert [stance["label"] for stance in differ["readers"]] == ["metastasis", "other"]
    pairs = {tuple(pair["readers"]): pair for pair in server.get("/api/v1/agreement?blind=true")["pairs"]}
    assert (pairs["dr-a", "dr-b"]["found"]["by_both"], pairs["dr-a", "dr-b"]["kappa"]) == (2, None)

    def decide(**changes):
        verdict = {"lesion": differ["lesion"], "label": "metastasis", "by": "chief", "reason": "biopsy", **changes}
        return httpx.post(f"{server.url}/api/v1/images/{image}/adjudicate", json=verdict, timeout=30)

    refused = [
        decide(lesion="x"),
        decide(label="abscess"),
        decide(by=""),
        decide(by="dr-b"),
        decide(reason=""),
        decide(colour="red"),
    ]
    assert [answer.status_code for answer in refused] == [404, 422, 422, 422, 422, 422]
    assert "Allowed: cyst, metastasis, hemangioma, other, no lesion" in refused[1].json()["detail"]
    assert httpx.get(f"{server.url}/api/v1/images/nowhere/readings").status_code == 404
    decided = decide(proof="pathology").json()
    assert (decided["agreement"], decided["label"], decided["proof"]) == ("adjudicated", "metastasis", "pathology")
    assert decided["saw_model"] is False
    twice = decide(label="cyst")
    assert (twice.status_code, decided["adjudication"]["id"] in twice.json()["detail"]) == (422, True)
    assert image not in [one["image"] for one in server.get("/api/v1/disagreements")["lesions"]]
    assert image in [one["image"] for one in server.get("/api/v1/disagreements?settled=true")["lesions"]]
