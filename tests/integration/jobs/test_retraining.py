import json
import time

import pytest

from lesionlabel.jobs.jobs import BusyError, State
from lesionlabel.lesions.errors import InputError, NotFoundError
from lesionlabel.registry.versions import Versions

from .conftest import make_cohort


def test_a_retraining_makes_a_candidate_and_what_serves_stays(site, promote_untrained):
    serving = promote_untrained(site.settings)
    site.worker()
    job = site.wait(site.retrain(make_cohort()))
    assert (job.state, job.share, job.why) == (State.DONE, 1.0, None)
    assert job.result is not None
    versions = Versions(site.settings)
    [candidate] = versions.candidates()
    assert job.result["version"] == candidate.version
    assert versions.champion().version == serving
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


def test_a_second_job_is_refused_or_waits_in_line_and_a_cancelled_one_stops_within_seconds(site):
    site.worker()
    first = site.retrain(make_cohort(), profile="quick")
    with pytest.raises(BusyError, match=first.id):
        site.jobs.start("retrain", first.asked)
    second = site.retrain(make_cohort(39))
    site.wait_for_line(first, "fold 1 of 3: cutting")
    assert site.jobs.get(second.id).state is State.WAITING
    assert [job.id for job in site.jobs.active()] == [first.id, second.id]
    started = time.monotonic()
    site.jobs.cancel(first.id, "an admin")
    assert site.jobs.get(first.id).state is State.CANCELLED
    # The one in line goes on once the cancelled part has let go of the worker.
    second = site.wait(second)
    assert second.state is State.DONE
    assert time.monotonic() - started < 150
    log = site.log(first)
    assert "Cancelled by an admin." in log
    assert "fold 2" not in log
    assert "failed" not in log
    assert [info.version for info in Versions(site.settings).candidates()] == [second.result["version"]]  # type: ignore[index]
    assert site.jobs.cancel(second.id).state is State.DONE
    with pytest.raises(NotFoundError, match="No job"):
        site.jobs.cancel("../../etc")


def test_what_cannot_be_trained_ends_the_job_with_the_reason(site):
    site.worker()
    few = make_cohort(36).subset([0, 1, 2, 3, 4])
    job = site.wait(site.retrain(few))
    assert job.state is State.FAILED
    assert job.why is not None
    assert "'cyst' has lesions of 2 patient(s)" in job.why
    assert job.why in site.log(job)
    # The next one is not held up by it.
    assert site.wait(site.retrain(make_cohort())).state is State.DONE


def test_two_that_start_at_the_same_moment_one_is_told(site):
    from concurrent.futures import ThreadPoolExecutor

    asked = site.retrain(make_cohort()).asked
    site.jobs.cancel(site.jobs.active()[0].id)

    def start(_: int) -> bool:
        try:
            site.jobs.start("retrain", asked)
        except BusyError:
            return False
        return True

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(start, range(4))) == [False, False, False, True]
