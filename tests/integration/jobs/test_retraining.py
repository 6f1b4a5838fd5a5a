"""Retrainings by a worker, one after the other, at once, cancelled, impossible, and with kill -9 in each phase."""

import json
import re
import signal

import pytest
from safetensors.torch import load_file

from lesionlabel.jobs.jobs import BusyError, State
from lesionlabel.lesions.errors import InputError, NotFoundError
from lesionlabel.registry.versions import Versions

from .conftest import Site

#: Lines of the log, at each of which the worker is killed once.
PHASES = ("reading curated", "fold 1 of 3: cutting", "fold 3 of 3: cutting", "all lesions: cutting", "calibrating", "comparing")


def test_a_retraining_makes_a_candidate_and_what_serves_stays(working, undisturbed):
    site, job = working, undisturbed
    assert (job.state, job.share, job.why) == (State.DONE, 1.0, None)
    assert job.result is not None
    versions = Versions(site.settings)
    [candidate] = versions.candidates()
    assert job.result["version"] == candidate.version
    assert versions.champion().version == versions.promotions()[-1]["version"] != candidate.version
    # What serves was trained on none of these patients, so that its weights answer; 36 lesions are far too few to pass.
    assert (job.result["gate"]["outcome"], job.result["gate"]["regime"]) == ("not enough evidence", "C")
    assert (site.settings.home / "gate" / job.result["gate"]["page"]).exists()
    # A trial shows that everything works, and never serves.
    with pytest.raises(InputError, match="never serves"):
        versions.promote(candidate.version, "an admin", "why not", reader="a reader")
    # Every part has told how far it is, nothing is left on the way, and the log says what happened.
    assert all(part.share == 1.0 for part in site.jobs.get(job.id).parts)
    assert list(site.settings.training_folder.iterdir()) == []
    assert "36 lesions (12 cyst, 12 metastasis, 12 hemangioma) of 36 patients" in site.log(job)
    seen = json.dumps(job.to_json())
    assert str(site.settings.home) not in seen


def test_a_second_job_is_refused_or_waits_in_line_and_a_cancelled_one_stops_in_the_middle(working, cohort_of):
    site = working
    before = Versions(site.settings).candidates()
    first = site.retrain(cohort_of(36), profile="quick")
    with pytest.raises(BusyError, match=first.id):
        site.jobs.start("retrain", first.asked)
    second = site.retrain(cohort_of(39))
    site.wait_for_line(first, "fold 1 of 3: cutting")
    assert site.jobs.get(second.id).state is State.WAITING
    assert [job.id for job in site.jobs.active()] == [first.id, second.id]
    site.jobs.cancel(first.id, "an admin")
    assert site.jobs.get(first.id).state is State.CANCELLED
    # The one in line goes on once the cancelled part has let go of the worker.
    second = site.wait(second)
    assert second.state is State.DONE
    log = site.log(first)
    assert "Cancelled by an admin." in log
    # What was under way is not worked off first.
    assert re.search(r"fold 1 of 3: step (\d+) of \1\b", log) is None
    assert "fold 2" not in log
    assert "failed" not in log
    made = {info.version for info in Versions(site.settings).candidates()} - {info.version for info in before}
    assert made == {second.result["version"]}  # type: ignore[index]
    assert site.jobs.cancel(second.id).state is State.DONE
    with pytest.raises(NotFoundError, match="No job"):
        site.jobs.cancel("../../etc")


def test_what_cannot_be_trained_ends_the_job_with_the_reason(working, cohort_of):
    site = working
    few = cohort_of(36).subset([0, 1, 2, 3, 4])
    job = site.wait(site.retrain(few))
    assert job.state is State.FAILED
    assert job.why is not None
    assert "'cyst' has lesions of 2 patient(s)" in job.why
    assert job.why in site.log(job)
    # The next one is not held up by it.
    assert site.wait(site.retrain(cohort_of(36))).state is State.DONE


def test_two_that_start_at_the_same_moment_one_is_told(site, cohort_of):
    from concurrent.futures import ThreadPoolExecutor

    asked = site.retrain(cohort_of(36)).asked
    site.jobs.cancel(site.jobs.active()[0].id)

    def start(_: int) -> bool:
        try:
            site.jobs.start("retrain", asked)
        except BusyError:
            return False
        return True

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(start, range(4))) == [False, False, False, True]


def test_a_worker_killed_in_every_phase_costs_nothing_but_time(site, working, undisturbed, promote_untrained, cohort_of):
    promote_untrained(site.settings)
    serving = Versions(site.settings).champion().sha256
    job = site.retrain(cohort_of(36))
    for phase in PHASES:
        worker = site.worker()
        site.wait_for_line(job, phase)
        worker.send_signal(signal.SIGKILL)
        worker.wait()
        assert site.jobs.get(job.id).state in (State.RUNNING, State.WAITING, State.DONE)
        assert Versions(site.settings).champion().sha256 == serving
        whole(site)
    site.worker()
    job = site.wait(job)
    assert job.state is State.DONE, site.log(job)
    assert job.result is not None
    assert undisturbed.result is not None

    mine = Versions(site.settings).get(job.result["version"])
    theirs = Versions(working.settings).get(undisturbed.result["version"])
    one, other = (load_file(info.folder / "models" / "model.safetensors") for info in (mine, theirs))
    assert all((one[name] == other[name]).all() for name in one)
    assert mine.manifest.evaluation == theirs.manifest.evaluation
    assert {**job.result["gate"], "page": ""} == {**undisturbed.result["gate"], "page": ""}
    assert [info.version for info in Versions(site.settings).candidates()] == [mine.version]
    # A fold that was done before a kill was not trained again after it.
    assert site.log(job).count("fold 2 of 3: step 60 of 60") == 1
    assert len((site.settings.home / "gate.jsonl").read_bytes().splitlines()) == 1


def whole(site: Site) -> None:
    """Every file that a reader would take up is complete."""
    for path in site.settings.home.rglob("*.json"):
        if not any(part.startswith(".") for part in path.relative_to(site.settings.home).parts):
            json.loads(path.read_bytes())
    for path in site.settings.training_folder.rglob("part-*.safetensors"):
        load_file(path)
    assert not Versions(site.settings).damaged()
