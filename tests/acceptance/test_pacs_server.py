"""`lesionlabel serve` on a real Orthanc that wants a password: stock REST, the read-only proxy, and an Orthanc that dies."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from filelock import FileLock

pytestmark = pytest.mark.acceptance


@pytest.fixture(scope="module")
def series(secured_orthanc, tiny_series, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str, Path]:
    """An oblique series of an invented patient: its UIDs, and where its files are."""
    folder = tmp_path_factory.mktemp("series") / "dicom"
    study, uid = tiny_series(folder, oblique_deg=10.0)
    secured_orthanc.add(folder)
    return study, uid, folder


def ask(server, uid: str, **params) -> httpx.Response:
    return httpx.post(f"{server.url}/infer/lesion?image={uid}&output=json", data={"params": json.dumps(params)}, timeout=120)


def test_a_click_fetches_the_series_and_is_answered(pacs_server, series):
    assert pacs_server.get("/info/")["datastore"]["pacs"] == "answers"
    answer = ask(pacs_server, series[1], foreground=[[35, 45, 12]])
    assert answer.status_code == 200, answer.text
    assert answer.json()["lesion"]["slice"] == 12
    image = httpx.get(f"{pacs_server.url}/datastore/image?image={series[1]}", timeout=60)
    assert f'filename="{series[1]}.nrrd"' in image.headers["content-disposition"]
    assert httpx.head(f"{pacs_server.url}/datastore/image?image={series[1]}").status_code == 200


def test_the_image_opens_in_its_own_geometry(pacs_server, series, tmp_path):
    (tmp_path / "image.nrrd").write_bytes(httpx.get(f"{pacs_server.url}/datastore/image?image={series[1]}", timeout=60).content)
    image = sitk.ReadImage(tmp_path / "image.nrrd")
    expected = sitk.ReadImage(sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(series[2])))
    assert np.array_equal(sitk.GetArrayFromImage(image), sitk.GetArrayFromImage(expected))
    assert np.allclose(image.GetDirection(), expected.GetDirection(), atol=1e-5)


def raw_label(values: dict[tuple[int, int, int], int]) -> bytes:
    """24 × 96 × 96 bytes with discs of radius 6 around (slice, row, column)."""
    label = np.zeros((24, 96, 96), dtype=np.uint8)
    rows, columns = np.mgrid[:96, :96]
    for (number, row, column), value in values.items():
        label[number][(rows - row) ** 2 + (columns - column) ** 2 <= 36] = value
    return label.tobytes()


def save(server, uid: str, content: bytes) -> httpx.Response:
    params = json.dumps({"label_info": [{"name": "cyst", "idx": 1}], "client_id": "reader"})
    files = {"label": ("label.bin", content)}
    return httpx.put(f"{server.url}/datastore/label?image={uid}", data={"params": params}, files=files, timeout=120)


def test_ohifs_raw_label_lands_on_the_grid_of_the_series(pacs_server, series, tmp_path):
    saved = save(pacs_server, series[1], raw_label({(12, 45, 35): 1}))
    assert saved.status_code == 200, saved.text
    (lesion,) = saved.json()["lesions"]
    assert lesion["label"] == "cyst"
    assert lesion["slice"] == 12
    label = httpx.get(f"{pacs_server.url}/datastore/label?label={series[1]}&tag=final")
    (tmp_path / "label.nrrd").write_bytes(label.content)
    stored = sitk.GetArrayFromImage(sitk.ReadImage(tmp_path / "label.nrrd"))
    assert (stored[12, 45, 35], stored[12, 35, 45], stored[11].max()) == (1, 0, 0)
    wrong = save(pacs_server, series[1], raw_label({(12, 45, 35): 1})[:-1])
    assert wrong.status_code == 422
    assert "221183 bytes" in wrong.json()["detail"]
    (kept,) = pacs_server.home.glob(f"pacs/*/labels/history/labels/final/{series[1]}/*/{series[1]}.bin")
    assert kept.stat().st_size == 221183
    assert pacs_server.get(f"/datastore/label/info?label={series[1]}&tag=final")["lesions"] == [lesion]


def test_the_proxy_keeps_queries_and_shows_no_credentials(pacs_server, series):
    base = f"{pacs_server.url}/proxy/dicom"
    headers = {"Authorization": "Basic bm9ib2R5Ong=", "Cookie": "a=b"}
    found = httpx.get(f"{base}/qido/studies?StudyInstanceUID={series[0]}&includefield=00081030%2C00080060", headers=headers)
    assert [item["0020000D"]["Value"] for item in found.json()] == [[series[0]]]
    assert httpx.get(f"{base}/qido/studies?StudyInstanceUID=1.2.3").json() == []
    assert not {"www-authenticate", "set-cookie", "authorization"} & {name.lower() for name in found.headers}
    instances = httpx.get(f"{base}/wado/studies/{series[0]}/series/{series[1]}/instances?limit=2").json()
    assert len(instances) == 2
    assert found.headers["x-content-type-options"] == "nosniff"
    assert found.headers["content-security-policy"].startswith("sandbox")
    sop = instances[0]["00080018"]["Value"][0]
    frame = f"{base}/wado/studies/{series[0]}/series/{series[1]}/instances/{sop}/frames/1"
    pixels = httpx.get(frame, headers={"Accept": 'multipart/related; type="application/octet-stream"'})
    assert pixels.status_code == 200
    assert len(pixels.content) > 96 * 96 * 2
    said = pacs_server.output.read_text() + (pacs_server.home / "app" / "logs" / "app.log").read_text()
    assert "open sesame" not in said
    assert "reader" not in said
    assert series[1] not in said


@pytest.mark.parametrize(
    "path",
    [
        "wado/../../system",
        "wado/..%2f..%2fsystem",
        "wado/studies/%2e%2e/%2e%2e/system",
        "wado/studies/..%2f..%2f..%2fsystem",
        "wado/studies/%252e%252e/system",
        "wado/instances/..",
        "wado//system",
        "wado/system",
        "wado/studies/1.2/%00",
        "wado/studies\\..\\..\\system",
        "qido/studies%3f/../../system",
    ],
)
def test_the_proxy_stays_below_the_address_of_the_pacs(pacs_server, secured_orthanc, path):
    with httpx.Client(base_url=pacs_server.url) as client:
        request = client.build_request("GET", "/")
        # As it stands: httpx would resolve the dots itself.
        request.url = request.url.copy_with(raw_path=f"/proxy/dicom/{path}".encode())
        answer = client.send(request)
    assert answer.status_code == 404
    assert "DatabaseVersion" not in answer.text


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH"])
def test_the_proxy_only_reads(pacs_server, method):
    for path in ("stow/studies", "wado/studies", "studies"):
        answer = httpx.request(method, f"{pacs_server.url}/proxy/dicom/{path}", content=b"x")
        assert answer.status_code == 405
        assert "only read" in answer.json()["detail"]


def test_ohif_is_served_with_its_types_and_nothing_else(pacs_server):
    page = httpx.get(f"{pacs_server.url}/ohif/monai-label?StudyInstanceUIDs=1.2.3")
    assert page.headers["content-type"].startswith("text/html")
    assert "default-src 'self'" in page.headers["content-security-policy"]
    assert "https://" not in page.text
    script = next(part.split('"')[0] for part in page.text.split('src="') if "app.bundle" in part.split('"')[0])
    assert httpx.get(pacs_server.url + script).headers["content-type"].startswith("text/javascript")
    wasm = httpx.get(f"{pacs_server.url}/ohif/20fc4c659b85ccd2a9c0.wasm")
    assert wasm.headers["content-type"] == "application/wasm"
    assert "/proxy/dicom/wado" in httpx.get(f"{pacs_server.url}/ohif/app-config.js").text
    assert "@import" not in httpx.get(f"{pacs_server.url}/ohif/app.bundle.css").text
    for path in ("..%2f..%2f..%2fconfig.py", "%2e%2e/app.py", "sw.js", "nothing.js"):
        assert httpx.get(f"{pacs_server.url}/ohif/{path}").status_code == 404
    for path in ("ohif/index.html", "/ohif/index.html", "%2e/ohif/index.html"):
        assert httpx.get(f"{pacs_server.url}/static/{path}").status_code == 404


def test_a_pacs_that_hangs_holds_up_nobody(pacs_server, secured_orthanc, series):
    secured_orthanc.pause()
    try:
        with ThreadPoolExecutor() as pool:
            waiting = pool.submit(httpx.get, f"{pacs_server.url}/datastore/image?image=1.2.3.4", timeout=300)
            for path in ("image/info?image=1.2.3.4", "label?label=1.2.3.4&tag=final", "label/info?label=1.2.3.4&tag=final"):
                assert httpx.get(f"{pacs_server.url}/datastore/{path}", timeout=20).status_code == 404
            assert not waiting.done()
            secured_orthanc.resume()
            assert waiting.result().status_code == 404
    finally:
        secured_orthanc.resume()


def test_a_list_of_everything_that_waits_holds_up_nobody(pacs_server, series):
    """The list waits for the index, which another process, such as a worker on a slow disk, is writing."""
    (folder,) = pacs_server.home.glob("pacs/*")
    with ThreadPoolExecutor() as pool:
        with FileLock(folder / ".lock"):
            (folder / "new").touch()  # so that the server has to look
            waiting = pool.submit(httpx.get, f"{pacs_server.url}/datastore/?output=all", timeout=300)
            for _ in range(10):  # the first of these may come before the list's request
                assert httpx.get(f"{pacs_server.url}/ohif/app-config.js", timeout=20).status_code == 200
                time.sleep(0.1)
            assert not waiting.done()
        assert waiting.result().status_code == 200
    (folder / "new").unlink()


def test_an_orthanc_that_dies_and_comes_back(pacs_server, secured_orthanc, series, tiny_series, tmp_path):
    _, late = tiny_series(tmp_path / "late", slices=4)
    secured_orthanc.add(tmp_path / "late")
    secured_orthanc.kill()
    try:
        # What is here is still answered, saved and told of; what is not is refused in words.
        assert ask(pacs_server, series[1], foreground=[[35, 45, 12]]).status_code == 200
        assert save(pacs_server, series[1], raw_label({(12, 45, 35): 1})).status_code == 200
        away = ask(pacs_server, late, foreground=[[35, 45, 2]])
        assert away.status_code == 503
        assert "cannot be reached" in away.json()["detail"]
        proxied = httpx.get(f"{pacs_server.url}/proxy/dicom/qido/studies")
        assert (proxied.status_code, proxied.json()["error"]) == (503, "PacsError")
    finally:
        secured_orthanc.start()
    assert httpx.get(f"{pacs_server.url}/datastore/image?image={late}", timeout=120).status_code == 200
    end = time.monotonic() + 60
    while pacs_server.get("/info/")["datastore"]["pacs"] != "answers" and time.monotonic() < end:
        time.sleep(0.2)
    assert pacs_server.get("/info/")["datastore"]["pacs"] == "answers"


def test_a_series_deleted_on_the_pacs_says_so(pacs_server, secured_orthanc, series):
    assert ask(pacs_server, series[1], foreground=[[35, 45, 12]]).status_code == 200
    secured_orthanc.remove(series[1])
    end = time.monotonic() + 60
    while pacs_server.get("/datastore/?output=all")["objects"][series[1]]["image"]["info"]["pacs"] != "gone":
        assert time.monotonic() < end
        time.sleep(0.2)
    answer = ask(pacs_server, series[1], foreground=[[35, 45, 12]])
    assert answer.status_code == 200
    assert "not on the PACS any more" in answer.json()["reader_notes"][0]
    secured_orthanc.add(series[2])


def test_retraining_takes_the_labels_of_a_pacs(pacs_server, secured_orthanc, series):
    """As a worker does: another process, which finds the PACS by the folder of its labels."""
    assert save(pacs_server, series[1], raw_label({(12, 45, 35): 1})).status_code == 200
    from lesionlabel.datastore.cohort import cohort_of_studies, open_studies
    from lesionlabel.jobs.jobs import lesions_of
    from lesionlabel.settings import Settings

    settings = Settings(home=pacs_server.home, dicomweb_username="reader", dicomweb_password="open sesame")  # type: ignore[arg-type]
    datastore, _ = open_studies(Path(secured_orthanc.url), settings)
    (datastore.studies / f"{series[1]}.nrrd").unlink()
    cohort = cohort_of_studies(Path(lesions_of(datastore.studies)["studies"]), settings)
    assert cohort.counts()["cyst"] == 1
    assert cohort.patients[0].startswith("p-")
    # A series that is gone altogether stops nothing.
    (datastore.studies / f"{series[1]}.nrrd").unlink()
    secured_orthanc.remove(series[1])
    assert cohort_of_studies(datastore.studies, settings).counts()["cyst"] == 0
    secured_orthanc.add(series[2])


def test_what_a_reader_submits_comes_to_the_pacs_as_seg_and_sr(pacs_server, secured_orthanc, tiny_series, tmp_path):
    study, uid = tiny_series(tmp_path / "dicom", patient="R-7")
    secured_orthanc.add(tmp_path / "dicom")
    click = json.dumps({"foreground": [[35, 45, 12]], "whole": True, "client_id": "Dr. A"})
    outline = httpx.post(f"{pacs_server.url}/infer/lesion?image={uid}&output=image", data={"params": click}, timeout=120)
    assert outline.status_code == 200, outline.text
    assert ask(pacs_server, uid, foreground=[[62, 50, 10]], with_type=True).json()["prediction"]
    (tmp_path / "outline.nrrd").write_bytes(outline.content)
    mask = sitk.ReadImage(tmp_path / "outline.nrrd")
    data = {"params": json.dumps({"label_info": [{"name": "cyst", "idx": 1}], "client_id": "Dr. A"})}
    files = {"label": ("label.nrrd", outline.content)}
    report = httpx.post(f"{pacs_server.url}/infer/lesion_report?image={uid}&output=json", data=data, files=files, timeout=120)
    assert report.json()["lesions"][0]["prediction"], report.text
    saved = httpx.put(f"{pacs_server.url}/datastore/label?image={uid}", data=data, files=files, timeout=120)
    assert len(saved.json()["lesions"]) == 1, saved.text

    def stored() -> dict[str, str]:
        (found,) = secured_orthanc.ask("POST", "/tools/lookup", study.encode())
        series = secured_orthanc.ask("GET", f"/studies/{found['ID']}/series")
        return {one["MainDicomTags"]["SeriesDescription"]: one["Instances"][0] for one in series}

    end = time.monotonic() + 120
    while len(stored()) < 5 and time.monotonic() < end:
        time.sleep(0.5)
    kinds = {name.split()[1] + " " + name.split()[2]: name for name in stored() if name.startswith("RESEARCH")}
    assert sorted(kinds) == ["model's outlines", "model's prediction", "reader's decision", "reader's outlines"]
    drawn = stored()[kinds["reader's outlines"]]
    (segment,) = secured_orthanc.ask("GET", f"/instances/{drawn}/simplified-tags")["SegmentSequence"]
    assert segment["SegmentLabel"] == "cyst (Lesion 1)"
    assert segment["SegmentAlgorithmType"] == "SEMIAUTOMATIC", "the software's outline, as it was"
    while pacs_server.get("/api/v1/results") and time.monotonic() < end:
        time.sleep(0.5)
    assert pacs_server.get("/api/v1/results") == []
    *_, sent = pacs_server.get("/api/v1/results?sent=true")
    assert (sent["state"], len(sent["documents"]), sent["problem"]) == ("sent", 4, "")

    asked = {"params": json.dumps({"point": [35, 45, 12], "diameter_mm": 28})}
    told = httpx.post(f"{pacs_server.url}/api/v1/results/sr?image={uid}", data=asked, timeout=120)
    (tmp_path / "sr.dcm").write_bytes(told.content)
    assert pydicom.dcmread(tmp_path / "sr.dcm").PatientID == "R-7"
    infer = f"{pacs_server.url}/infer"
    drawn = httpx.post(f"{infer}/lesion?image={uid}&output=dicom_seg", data={"params": click}, timeout=120)
    (tmp_path / "seg.dcm").write_bytes(drawn.content)
    assert pydicom.dcmread(tmp_path / "seg.dcm").pixel_array.sum() == sitk.GetArrayViewFromImage(mask).sum()
    refused = httpx.post(f"{infer}/generate?image={uid}&output=dicom_seg", data=asked, timeout=120)
    assert refused.status_code == 422, refused.text
    assert "DICOM SEG" in refused.json()["detail"]
    said = pacs_server.output.read_text() + (pacs_server.home / "app" / "logs" / "app.log").read_text()
    assert not [word for word in (study, uid, "R-7", "Invented", "Dr. A", sent["name"]) if word in said]
