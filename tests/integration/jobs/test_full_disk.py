"""A full disk during a retraining: what served still serves, the job says why it failed, and runs once there is space."""

import os
import subprocess
from pathlib import Path

import pytest

from lesionlabel.jobs.jobs import State
from lesionlabel.registry.versions import Versions

from .conftest import Site

MIB = 2**20


@pytest.fixture
def small_disk(tmp_path):
    """A folder on a disk of its own, of 40 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=40m", "tmpfs", str(folder)], capture_output=True, text=True)
    if mounted.returncode != 0:
        pytest.skip(f"no disk can be mounted here: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(disk: Path, leave: int) -> Path:
    filler = disk / "filler"
    free = os.statvfs(disk)
    with filler.open("wb") as file:
        file.write(b"\0" * max(free.f_bavail * free.f_frsize - leave, 0))
    return filler


def test_a_full_disk_fails_the_job_in_words_and_the_next_goes_on_where_it_was(small_disk, promote_untrained, cohort_of):
    site = Site(small_disk / "home")
    try:
        serving = promote_untrained(site.settings)
        site.worker()
        job = site.retrain(cohort_of(36))
        site.wait_for_line(job, "fold 3 of 3: cutting")
        # Enough for the answers of folds, too little for a network's weights.
        filler = fill(small_disk, 2 * MIB)
        job = site.wait(job)
        assert job.state is State.FAILED
        assert job.why == (
            "The disk is full. Make space and start the job again: what it has finished is taken up, not done again."
        )
        versions = Versions(site.settings)
        assert versions.champion().version == serving
        assert not versions.candidates()
        assert not versions.damaged()

        filler.unlink()
        again = site.wait(site.retrain(cohort_of(36)))
        assert again.state is State.DONE, site.log(again)
        # The folds were there already.
        assert site.log(again).count("done before") == 3
        assert [info.version for info in versions.candidates()] == [again.result["version"]]  # type: ignore[index]
    finally:
        site.end()
