"""Background jobs through a real server: stock client, REST, events, and kill -9 of the server, of its worker, and of both."""

import json
import os
import signal
import time
from collections.abc import Iterator

import httpx
import psutil
import pytest

from lesionlabel.registry.versions import Versions
from lesionlabel.settings import Settings

from .conftest import Server

pytestmark = [
    pytest.mark.acceptance,
    # The stock client closes no connection.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

PATIENCE_S = 240
TRIAL = {"profile": "trial", "synthetic": "none", "kind": "patients"}
NAMES = ("cyst", "metastasis", "hemangioma")


@pytest.fixture(scope="module")
def site(tmp_path_factory, tiny_ct, tiny_label, promote_untrained) -> Iterator[Server]:
    """A server whose studies hold enough curated lesions to train on."""
    folder = tmp_path_factory.mktemp("jobs")
    promote_untrained(Settings(home=folder / "home", device="cpu"))
    for number in range(9):
        tiny_ct(folder / "studies" / f"case{number}.nii.gz", seed=number)
    running = Server(folder / "home", folder / "studies")
    running.start()
    tiny_label(folder / "label.nii.gz", {"cyst": 1, "metastasis": 2})
    label = (folder / "label.nii.gz").read_bytes()
    for number in range(9):
        info = [{"name": NAMES[number % 3], "idx": 1}, {"name": NAMES[(number + 1) % 3], "idx": 2}]
        response = httpx.put(
            f"{running.url}/datastore/label?image=case{number}",
            files={"label": ("label.nii.gz", label)},
            data={"params": json.dumps({"label_info": info})},
        )
        assert response.status_code == 200, response.text
    yield running
    running.stop()


@pytest.fixture
def client(site, slicer_client, tmp_path):
    return slicer_client.MONAILabelClient(site.url, tmpdir=str(tmp_path), client_id="reader-1")


def wait_for(site: Server, job: str, text: str) -> None:
    end = time.monotonic() + PATIENCE_S
    log = site.home / "jobs" / job / "log.txt"
    while text not in log.read_text():
        assert time.monotonic() < end, log.read_text()
        time.sleep(0.05)


def wait_over(site: Server, job: str) -> dict:
    end = time.monotonic() + PATIENCE_S
    while (found := httpx.get(f"{site.url}/api/v1/jobs/{job}").json())["state"] in ("waiting", "running"):
        assert time.monotonic() < end, found
        time.sleep(0.2)
    return found


def test_stop_ends_what_runs_and_what_waits_and_events_tell_of_it(site, client):
    first = client.train_start("lesion_classifier", {**TRIAL, "profile": "quick"})["id"]
    second = httpx.post(f"{site.url}/train/lesion_classifier?enqueue=true", json=TRIAL).json()
    assert second["status"] == "SUBMITTED"
    end = time.monotonic() + PATIENCE_S
    while not any(0 < part["percent"] < 100 for part in httpx.get(f"{site.url}/api/v1/jobs/{first}").json()["parts"]):
        assert time.monotonic() < end
        time.sleep(0.2)
    # The one that runs is what a client sees, not the one behind it.
    assert client.train_status()["id"] == first
    with httpx.stream("GET", f"{site.url}/api/v1/jobs/{first}/events", timeout=60) as stream:
        lines = (line.removeprefix("data: ") for line in stream.iter_lines() if line.startswith("data: "))
        event = json.loads(next(lines))
        assert event["state"] == "running"
        assert 0 < event["percent"] < 100
        assert {part["title"] for part in event["parts"]} >= {"fold 1 of 3", "all lesions", "gate"}
        stopped = client.train_stop()
        assert (stopped["id"], stopped["status"]) == (first, "STOPPED")
        # The stream ends with the job.
        assert [json.loads(line) for line in lines][-1]["state"] == "cancelled"
    assert {job["state"] for job in httpx.get(f"{site.url}/api/v1/jobs").json()} == {"cancelled"}
    assert client.train_stop() is None
    assert not list((site.home / "versions").glob("2026*-[1-9a-f]*"))


def test_stock_client_trains_watches_and_stops_and_the_job_survives_every_kill(site, client):
    champion = Versions(Settings(home=site.home)).champion().sha256
    before = [task["id"] for task in httpx.get(f"{site.url}/train/?all=true").json()]
    started = client.train_start("lesion_classifier", dict(TRIAL))
    job = started["id"]
    assert started["status"] in ("SUBMITTED", "RUNNING")
    assert started["request"] == {"model": "lesion_classifier", **TRIAL, "seed": 0}
    # One at a time, unless it may wait in line.
    assert httpx.post(f"{site.url}/train/lesion_classifier", json={}).status_code == 429
    assert client.train_status(check_if_running=True) is True
    assert httpx.get(f"{site.url}/train/?check_if_running=true").json()["id"] == job
    assert [task["id"] for task in httpx.get(f"{site.url}/train/?all=true").json()] == [*before, job]

    def worker() -> psutil.Process:
        assert site.process is not None
        [found] = [one for one in psutil.Process(site.process.pid).children() if "worker" in one.cmdline()]
        return found

    # The worker is killed: the server starts another.
    wait_for(site, job, "fold 1 of 3: cutting")
    worker().send_signal(signal.SIGKILL)
    wait_for(site, job, "fold 2 of 3: cutting")
    # The server is killed: its worker ends by itself, and a new server has a new one.
    orphan = worker()
    site.kill()
    orphan.wait(60)
    site.start()
    wait_for(site, job, "fold 3 of 3: cutting")
    # Both at once.
    orphan = worker()
    site.kill()
    orphan.send_signal(signal.SIGKILL)
    site.start()
    assert client.train_status()["id"] == job
    found = wait_over(site, job)
    assert found["state"] == "done", found
    status = client.train_status()
    assert (status["status"], status["id"]) == ("DONE", job)
    assert client.train_status(check_if_running=True) is False
    stats = site.get("/info/")["train_stats"]["lesion_classifier"]
    assert (stats["epoch"], stats["version"]) == (100, found["result"]["version"])
    assert Versions(Settings(home=site.home)).champion().sha256 == champion
    log = httpx.get(f"{site.url}/api/v1/jobs/{job}/log").text
    assert log.count("fold 1 of 3: step 60 of 60") == 1
    assert str(site.home) not in log + json.dumps(found) + json.dumps(status)

    # The gate's page, the candidate over REST, and what stands against promoting it.
    version, serving = found["result"]["version"], httpx.get(f"{site.url}/api/v1/models").json()["serving"]["version"]
    assert httpx.get(f"{site.url}/api/v1/models/{version}").json()["state"] == "candidate"
    page = httpx.get(f"{site.url}/api/v1/models/{version}/gate/{serving}")
    assert page.status_code == 200
    assert "HOLDS AN IMAGE OF A PATIENT" in page.text or "Lost" in page.text
    refused = httpx.post(f"{site.url}/api/v1/models/{version}/promote", json={"by": "an admin", "reason": "why not"})
    assert refused.status_code == 422
    assert "never serves" in refused.json()["detail"]
    assert httpx.post(f"{site.url}/api/v1/models/{version}/promote", json={"by": "x", "rubbish": 1}).status_code == 422
    assert httpx.get(f"{site.url}/api/v1/models/..%2Fx").status_code == 404
    assert httpx.post(f"{site.url}/api/v1/models/rollback", json={"by": "x", "reason": "y"}).status_code == 422


@pytest.mark.parametrize(
    ("method", "path", "status", "said"),
    [
        ("POST", "/train/nothing", 404, "No trainer 'nothing'"),
        ("POST", "/train/gan_abscess", 404, "No trainer"),
        ("GET", "/api/v1/jobs/nothing", 404, "No job 'nothing'"),
        ("DELETE", "/api/v1/jobs/nothing", 404, "No job"),
        ("GET", "/api/v1/jobs/nothing/events", 404, "No job"),
        ("GET", "/api/v1/jobs/..%2F..%2Fetc", 404, ""),
        ("GET", "/api/v1/models/nothing", 404, "No version 'nothing'"),
        ("POST", "/api/v1/models/nothing/compare", 404, "No version"),
    ],
)
def test_what_is_not_there_is_said(server, method, path, status, said):
    response = httpx.request(method, server.url + path)
    assert (response.status_code, said in response.text) == (status, True), response.text


def test_a_new_champion_serves_without_a_restart_and_a_damaged_one_never_does(server):
    from .conftest import promote_another

    question = {"params": json.dumps({"point": [30, 48, 12], "diameter_mm": 20})}

    def answered() -> str:
        url = f"{server.url}/infer/lesion_classifier?image=case_a&output=json"
        response = httpx.post(url, data=question)
        assert response.status_code == 200, response.text
        return response.json()["model"]["version"]

    def serves(version: str) -> None:
        """Whoever asks in the moment of the swap is still answered by the version before."""
        end = time.monotonic() + 10
        while answered() != version:
            assert time.monotonic() < end
            time.sleep(0.1)

    before = answered()
    settings = Settings(home=server.home, device="cpu")
    newer = promote_another(settings, "20260102T000000Z-11111111")
    serves(newer)
    broken = promote_another(settings, "20260103T000000Z-22222222")
    weights = settings.versions_folder / broken / "models" / "model.safetensors"
    intact = weights.read_bytes()
    assert httpx.post(f"{server.url}/api/v1/models/rollback", json={"by": "an admin", "reason": "a drill"}).status_code == 200
    serves(newer)
    weights.write_bytes(intact[:-4] + os.urandom(4))
    # What was promoted is not what is there: it is not loaded, and what served before goes on.
    (settings.versions_folder / "champion.json").write_bytes(
        (settings.versions_folder / "promotions.jsonl").read_bytes().splitlines()[-2] + b"\n"
    )
    time.sleep(2)
    assert answered() == newer
    listed = httpx.get(f"{server.url}/api/v1/models").json()
    assert listed["serving"]["version"] == newer
    assert "what served before still does" in listed["problem"]
    assert "what served before still does" in httpx.get(f"{server.url}/").text
    weights.write_bytes(intact)
    Versions(settings).promote(before, "a test", "back")
    serves(before)
