"""Workers that are told to end, and a second of the same name."""

import signal

import pytest

from lesionlabel.jobs.jobs import State


def fold(job) -> float:
    """How far the first fold is."""
    return next((part.share for part in job.parts if part.title == "fold 1 of 3"), 0.0)


def test_a_worker_that_is_told_to_end_keeps_a_checkpoint_and_the_next_goes_on_from_it(site, cohort_of):
    first = site.worker()
    # Long enough that it is in the middle when it is told.
    job = site.retrain(cohort_of(36), profile="quick")
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
    site.wait_until_said("works.")
    worker.send_signal(signal_number)
    assert worker.wait(10) == 0


def test_two_workers_never_share_a_name(working):
    working.wait_until_said("works.")
    assert working.worker("a").wait(60) == 2
    assert "runs already" in working.output.read_text()
