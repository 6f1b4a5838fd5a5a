"""Two workers on one PostgreSQL share the parts of one retraining, and one takes over what a killed one has left."""

import signal

from lesionlabel.jobs.jobs import State

from .conftest import Site


def test_two_workers_share_a_retraining_and_one_finishes_what_a_killed_one_began(tmp_path, postgresql, cohort_of):
    site = Site(tmp_path / "home", postgresql)
    try:
        first, _ = site.worker("one"), site.worker("two")
        job = site.retrain(cohort_of(36), seed=1)
        # Both are at work on folds of the same job.
        site.wait(job, lambda job: site.log(job).count(": cutting") >= 2 or job.state.is_over)
        parts = site.jobs.client.list_workflows(parent_workflow_id=job.id, status="PENDING")
        assert {part.executor_id for part in parts} == {"one", "two"}
        first.send_signal(signal.SIGKILL)
        first.wait()
        job = site.wait(job)
        assert job.state is State.DONE, site.log(job)
        assert "Worker one is lost" in site.output.read_text()
        parts = site.jobs.client.list_workflows(parent_workflow_id=job.id)
        assert [part.status for part in parts] == ["SUCCESS"] * 4
        # Nothing of the jobs is pickled, nor is the database's password told.
        assert "postgres" not in str(site.settings.describe()["jobs_database"])
    finally:
        site.end()
