"""kill -9 in each phase of a retraining: it goes on, nothing is done twice, and the result is that of an undisturbed run."""

import json
import signal

import pytest
from safetensors.torch import load_file

from lesionlabel.jobs.jobs import State
from lesionlabel.registry.versions import Versions

from .conftest import Site, make_cohort

#: Lines of the log, at each of which the worker is killed once.
PHASES = ("reading curated", "fold 1 of 3: cutting", "fold 3 of 3: cutting", "all lesions: cutting", "calibrating", "comparing")


def test_a_worker_killed_in_every_phase_costs_nothing_but_time(tmp_path, promote_untrained):
    calm, killed = Site(tmp_path / "calm"), Site(tmp_path / "killed")
    try:
        for site in (calm, killed):
            promote_untrained(site.settings)
        calm.worker()
        undisturbed = calm.wait(calm.retrain(make_cohort()))
        calm.end()

        serving = Versions(killed.settings).champion().sha256
        job = killed.retrain(make_cohort())
        for phase in PHASES:
            worker = killed.worker()
            killed.wait_for_line(job, phase)
            worker.send_signal(signal.SIGKILL)
            worker.wait()
            assert killed.jobs.get(job.id).state in (State.RUNNING, State.WAITING, State.DONE)
            assert Versions(killed.settings).champion().sha256 == serving
            whole(killed)
        killed.worker()
        job = killed.wait(job)
        assert job.state is State.DONE, killed.log(job)
        assert job.result is not None
        assert undisturbed.result is not None

        mine = Versions(killed.settings).get(job.result["version"])
        theirs = Versions(calm.settings).get(undisturbed.result["version"])
        one, other = (load_file(info.folder / "models" / "model.safetensors") for info in (mine, theirs))
        assert all((one[name] == other[name]).all() for name in one)
        assert mine.manifest.evaluation == theirs.manifest.evaluation
        assert {**job.result["gate"], "page": ""} == {**undisturbed.result["gate"], "page": ""}
        assert [info.version for info in Versions(killed.settings).candidates()] == [mine.version]
        # A fold that was done before a kill was not trained again after it.
        assert killed.log(job).count("fold 2 of 3: step 60 of 60") == 1
        assert len((killed.settings.home / "gate.jsonl").read_bytes().splitlines()) == 1
    finally:
        calm.end()
        killed.end()


def whole(site: Site) -> None:
    """Every file that a reader would take up is complete."""
    for path in site.settings.home.rglob("*.json"):
        if not any(part.startswith(".") for part in path.relative_to(site.settings.home).parts):
            json.loads(path.read_bytes())
    for path in site.settings.training_folder.rglob("part-*.safetensors"):
        load_file(path)
    assert not Versions(site.settings).damaged()


def fold(job) -> float:
    """How far the first fold is."""
    return next((part.share for part in job.parts if part.title == "fold 1 of 3"), 0.0)


def test_a_worker_that_is_told_to_end_keeps_a_checkpoint_and_the_next_goes_on_from_it(site):
    first = site.worker()
    # Long enough that it is in the middle when it is told.
    job = site.retrain(make_cohort(), profile="quick")
    site.wait(job, lambda job: 0 < fold(job) < 1)
    first.send_signal(signal.SIGTERM)
    assert first.wait(60) == 0
    assert site.jobs.get(job.id).state is State.RUNNING
    [kept] = site.settings.training_folder.rglob("part-1.checkpoint")
    assert kept.stat().st_size > 1000
    before = fold(site.jobs.get(job.id))
    assert not site.jobs.workers()
    assert "no worker lives" in site.jobs.get(job.id).what
    second = site.worker()
    shares: list[float] = []

    def told(job) -> bool:
        shares.append(fold(job))
        return 0.0 in shares and shares[-1] > 0

    # It begins anew with cutting ROIs, and its first word on the training is of a later step than the first worker's last.
    site.wait(site.jobs.get(job.id), told)
    assert shares[-1] > before
    site.jobs.cancel(job.id)
    second.send_signal(signal.SIGTERM)
    assert second.wait(60) == 0


@pytest.mark.parametrize("signal_number", [signal.SIGTERM, signal.SIGINT])
def test_an_idle_worker_ends_at_once(site, signal_number):
    worker = site.worker()
    end_line = "works."
    while end_line not in (site.output.read_text() if site.output.exists() else ""):
        assert worker.poll() is None
    worker.send_signal(signal_number)
    assert worker.wait(10) == 0


def test_two_workers_never_share_a_name(site):
    site.worker("same")
    while "works." not in (site.output.read_text() if site.output.exists() else ""):
        pass
    assert site.worker("same").wait(60) == 2
    assert "runs already" in site.output.read_text()
