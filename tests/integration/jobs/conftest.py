"""Real worker processes, on SQLite or on a PostgreSQL server that is started for the test."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from lesionlabel.jobs.jobs import Job, Jobs, snapshot_of
from lesionlabel.jobs.journal import Journal
from lesionlabel.lesions.cohort import Cohort
from lesionlabel.settings import Settings

PARAMS = {"profile": "trial", "synthetic": "none", "kind": "any", "seed": 0}
PATIENCE_S = 180


class Site:
    """A home folder with its jobs, and workers on it."""

    def __init__(self, home: Path, database: str | None = None) -> None:
        self.environment = {**os.environ, "LESIONLABEL_HOME": str(home), "LESIONLABEL_DEVICE": "cpu", "OMP_NUM_THREADS": "1"}
        self.environment["LESIONLABEL_MLFLOW"] = "0"
        if database is not None:
            self.environment["LESIONLABEL_JOBS_DATABASE"] = database
        self.settings = Settings(home=home, device="cpu", jobs_database=database)  # type: ignore[arg-type]
        self.jobs = Jobs(self.settings)
        self.workers: list[subprocess.Popen[bytes]] = []
        self.output = home.parent / f"{home.name}-worker.txt"

    def worker(self, name: str = "a", under: tuple[str, ...] = ()) -> subprocess.Popen[bytes]:
        with self.output.open("ab") as output:
            process = subprocess.Popen(
                [*under, sys.executable, "-m", "lesionlabel.cli", "worker", "--name", name],
                env=self.environment,
                stdout=output,
                stderr=output,
            )
        self.workers.append(process)
        return process

    def retrain(self, cohort: Cohort, **changes) -> Job:
        asked = {"trainer": "lesion_classifier", "params": {**PARAMS, **changes}, **snapshot_of(cohort, self.settings)}
        return self.jobs.start("retrain", asked, wait_in_line=True)

    def wait(self, job: Job, until: Callable[[Job], bool] = lambda job: job.state.is_over) -> Job:
        end = time.monotonic() + PATIENCE_S
        while not until(job):
            said = self.output.read_text() if self.output.exists() else ""
            assert time.monotonic() < end, f"{job}\n{self.log(job)}\n{said[-3000:]}"
            time.sleep(0.05)
            job = self.jobs.get(job.id)
        return job

    def wait_until_said(self, text: str) -> None:
        """Until a worker has said so, or ended."""
        end = time.monotonic() + PATIENCE_S
        while not self.output.exists() or text not in self.output.read_text():
            assert all(worker.poll() is None for worker in self.workers), self.output.read_text()
            assert time.monotonic() < end, text
            time.sleep(0.05)

    def wait_for_line(self, job: Job, text: str) -> None:
        self.wait(job, lambda job: text in self.log(job) or job.state.is_over)
        assert text in self.log(job), self.log(job)

    def log(self, job: Job) -> str:
        return "\n".join(Journal(self.settings, job.id).lines())

    def end(self) -> None:
        for process in self.workers:
            with suppress(ProcessLookupError):
                process.send_signal(signal.SIGKILL)
            process.wait(30)
        if "client" in vars(self.jobs):
            self.jobs.client.destroy()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path / "home")
    yield made
    made.end()


@pytest.fixture(scope="module")
def working(tmp_path_factory: pytest.TempPathFactory, promote_untrained: Callable[[Settings], str]) -> Iterator[Site]:
    """A site where something serves and a worker works, for job after job."""
    made = Site(tmp_path_factory.mktemp("working") / "home")
    promote_untrained(made.settings)
    made.worker()
    yield made
    made.end()


@pytest.fixture(scope="module")
def undisturbed(working: Site, cohort_of: Callable[..., Cohort]) -> Job:
    """A retraining that nothing came between."""
    return working.wait(working.retrain(cohort_of(36)))


def missing(what: str) -> None:
    """Skip where a real part is absent, but not in CI, which installs it."""
    if os.environ.get("CI"):
        pytest.fail(f"{what} is not installed")
    pytest.skip(f"{what} is not installed")


@pytest.fixture
def postgresql(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A new PostgreSQL server on a free port of this machine: its URL."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin")) or [Path(shutil.which("initdb") or "/nowhere").parent]
    programs = found[-1]
    if not (programs / "initdb").exists():
        missing("PostgreSQL")
    # It refuses to run as root.
    user = "postgres" if os.geteuid() == 0 else None
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder = Path(f"/tmp/lesionlabel-postgresql-{port}")
    folder.mkdir(mode=0o700)
    if user is not None:
        owner = pwd.getpwnam(user)
        os.chown(folder, owner.pw_uid, owner.pw_gid)

    def run(*command: str) -> None:
        subprocess.run(command, user=user, cwd="/", check=True, stdout=subprocess.DEVNULL, timeout=60)

    try:
        run(str(programs / "initdb"), "--auth=trust", "--username=postgres", "--no-sync", "-D", str(folder / "data"))
        options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={folder} -c fsync=off"
        run(str(programs / "pg_ctl"), "-w", "-D", str(folder / "data"), "-l", str(folder / "log"), "-o", options, "start")
        try:
            yield f"postgresql://postgres@127.0.0.1:{port}/lesionlabel"
        finally:
            run(str(programs / "pg_ctl"), "-D", str(folder / "data"), "-m", "immediate", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
