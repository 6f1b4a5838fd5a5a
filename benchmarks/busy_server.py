"""Ten clients classify while the server's own worker retrains: do any fail, and how long do they and /info/ wait?

    .venv/bin/python benchmarks/busy_server.py [--seconds 60]

A 512 × 512 × 119 volume, and a retraining of the phantom's cohort of seed 100 (profile quick, without generators). Each phase
lasts as long; the same ten clients ask once a second each, and one more asks for /info/ ten times a second. Prints medians and
99th percentiles; the bar of the design is 100 ms for /info/.
"""

from __future__ import annotations

import argparse
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import numpy as np
from click_http import Running, prepare, start, write_volume

from lesionlabel.jobs.jobs import Jobs, State, snapshot_of
from lesionlabel.phantom.cohort import PAPER_COUNTS, make_cohort
from lesionlabel.settings import Settings

CLIENTS = 10
PARAMS = {"profile": "quick", "synthetic": "none", "kind": "phantom", "seed": 0}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="lesionlabel-") as name:
        folder = Path(name)
        home, _ = prepare(folder)
        write_volume(folder / "studies" / "ct.nii.gz")
        cohort = make_cohort(PAPER_COUNTS, 100)
        command = ["-m", "lesionlabel.cli", "serve", "--studies", str(folder / "studies")]
        # Where a GPU is, the server answers on the CPU all the same: this is about what the machine's cores have to do.
        server = start("serve", command, folder, {"LESIONLABEL_HOME": str(home), "LESIONLABEL_MLFLOW": "0"})
        try:
            server.wait()
            with httpx.Client(timeout=120) as client:
                server.click(client)
            jobs = Jobs(Settings(home=home))
            print(f"{'phase':<28} {'/info/ p50':>10} {'p99':>8} {'predict p50':>12} {'p99':>8} {'asked':>6} {'failed':>6}")
            show("ten clients", *phase(server, asked.seconds))
            job = jobs.start("retrain", {"trainer": "lesion_classifier", "params": PARAMS, **snapshot_of(cohort, jobs.settings)})
            while jobs.get(job.id).share < 0.1:
                time.sleep(0.5)
            show("the same, while it retrains", *phase(server, asked.seconds))
            running = jobs.get(job.id)
            print(f"The job was {running.state} at {running.share:.0%} at the end.")
            if running.state is not State.RUNNING:
                print("It ended before the phase did: take fewer --seconds.")
            jobs.cancel(job.id)
        finally:
            server.process.terminate()
            server.process.wait(60)


def phase(server: Running, seconds: float) -> tuple[list[float], list[float], int]:
    """Seconds that /info/ and predictions took, and how many requests failed."""
    end = time.monotonic() + seconds
    infos: list[float] = []
    predictions: list[float] = []
    failures: list[Exception] = []

    def ask(what: Callable[[httpx.Client], object], every: float, times: list[float], offset: float) -> None:
        time.sleep(offset)
        with httpx.Client(timeout=120) as client:
            while time.monotonic() < end:
                started = time.perf_counter()
                try:
                    what(client)
                except httpx.HTTPError as error:
                    failures.append(error)
                took = time.perf_counter() - started
                times.append(took)
                time.sleep(max(every - took, 0))

    def info(client: httpx.Client) -> None:
        client.get(f"{server.url}/info/").raise_for_status()

    threads = [threading.Thread(target=ask, args=(server.click, 1.0, predictions, i / CLIENTS)) for i in range(CLIENTS)]
    threads.append(threading.Thread(target=ask, args=(info, 0.1, infos, 0.0)))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return infos, predictions, len(failures)


def show(what: str, infos: list[float], predictions: list[float], failed: int) -> None:
    figures = [1000 * np.percentile(times, q) for times in (infos, predictions) for q in (50, 99)]
    a, b, c, d = (f"{figure:.0f} ms" for figure in figures)
    print(f"{what:<28} {a:>10} {b:>8} {c:>12} {d:>8} {len(infos) + len(predictions):>6} {failed:>6}", flush=True)


if __name__ == "__main__":
    main()
