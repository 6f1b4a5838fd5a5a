"""One retraining by one worker and by two, each held to one core: how much more two do in the same time.

    .venv/bin/python benchmarks/workers.py [--database postgresql://…] [--seconds 120]

The same 36 simple lesions, profile quick without generators: three folds and the training on all lesions, four parts of equal
length. The clock runs from the first step of the first part; at best two workers do twice as much.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from pydantic import SecretStr

from lesionlabel.jobs.jobs import Jobs, State, snapshot_of
from lesionlabel.lesions.cohort import Cohort, CohortLesion
from lesionlabel.lesions.lesion import Proof
from lesionlabel.lesions.roi import Context, context_half_width
from lesionlabel.settings import Settings

NAMES = ("cyst", "metastasis", "hemangioma")
PARAMS = {"profile": "quick", "synthetic": "none", "kind": "patients", "seed": 0}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--database", help="PostgreSQL for the jobs; SQLite if left out")
    parser.add_argument("--seconds", type=float, default=120.0)
    asked = parser.parse_args()
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        parser.error("two workers need two cores")
    one, two = (done(cores[:workers], asked.database, asked.seconds) for workers in (1, 2))
    kind = "PostgreSQL" if asked.database else "SQLite"
    print(
        f"In {asked.seconds:.0f} s one worker did {one:.1%} of a retraining, two {two:.1%} ({two / one:.2f} ×); jobs in {kind}."
    )


def done(cores: list[int], database: str | None, seconds: float) -> float:
    """The share of the job that workers on these cores do in so many seconds."""
    with tempfile.TemporaryDirectory(prefix="lesionlabel-") as name:
        home = Path(name) / "home"
        settings = Settings(home=home, jobs_database=SecretStr(database) if database else None)
        environment = {**os.environ, "LESIONLABEL_HOME": str(home), "OMP_NUM_THREADS": "1", "LESIONLABEL_MLFLOW": "0"}
        if database:
            environment["LESIONLABEL_JOBS_DATABASE"] = database
        jobs = Jobs(settings)
        lesions = snapshot_of(cohort(), settings)
        workers = [
            subprocess.Popen(
                [sys.executable, "-m", "lesionlabel.cli", "worker", "--name", f"core-{core}"],
                env=environment,
                stderr=subprocess.DEVNULL,
                preexec_fn=lambda core=core: os.sched_setaffinity(0, {core}),
            )
            for core in cores
        ]
        try:
            while len(jobs.workers()) < len(cores):
                time.sleep(0.2)
            job = jobs.start("retrain", {"trainer": "lesion_classifier", "params": PARAMS, **lesions}, wait_in_line=True)
            while not any(0 < part.share < 1 for part in jobs.get(job.id).parts):
                time.sleep(0.1)
            before = jobs.get(job.id).share
            time.sleep(seconds)
            job = jobs.get(job.id)
            if job.state is not State.RUNNING:
                raise SystemExit(f"The job is {job.state}: {job.why or 'take fewer --seconds'}")
            jobs.cancel(job.id)
            return job.share - before
        finally:
            for worker in workers:
                worker.terminate()
            for worker in workers:
                worker.wait(60)


def cohort() -> Cohort:
    """Lesions of three densities, one a patient."""
    half, made = context_half_width(12.0), []
    for i in range(36):
        hu = np.random.default_rng(i).normal(60 + 30 * (i % 3), 10, (2 * half + 1, 2 * half + 1)).astype(np.float32)
        made.append(
            CohortLesion(
                f"l{i}", f"p{i}", NAMES[i % 3], Context(hu, (float(half), float(half)), 12.0, 0.75), Proof.PATHOLOGY, False
            )
        )
    return Cohort(tuple(made), NAMES)


if __name__ == "__main__":
    main()
