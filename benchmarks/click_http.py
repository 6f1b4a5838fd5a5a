"""From a click to a prediction over HTTP: our server beside the same app written with MONAI Label's BasicInferTask.

Both run at once on this machine with the same network and a 512 × 512 × 119 volume; requests go to them in turn. Prints the
median and the 95th percentile of each, their ratio, and how long /info/ waits while inference runs.

    .venv/bin/python benchmarks/click_http.py [--rounds 30]
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import httpx
import numpy as np
import SimpleITK as sitk
import torch

from lesionlabel.networks.paper_cnn import PaperCNN
from lesionlabel.registry.manifest import Manifest
from lesionlabel.registry.versions import Versions
from lesionlabel.settings import Settings

SHAPE = (119, 512, 512)
SPACING = (0.74, 0.74, 1.6)
CLICK = {"foreground": [[200, 230, 60]], "diameter_mm": 30.0}
#: Our answers per answer of the stock app: they are that much shorter.
OURS_PER_ROUND = 5


@dataclass
class Running:
    name: str
    url: str
    process: subprocess.Popen[bytes]
    output: Path

    def wait(self) -> None:
        end = time.monotonic() + 180
        while time.monotonic() < end and self.process.poll() is None:
            try:
                httpx.get(self.url + "/info/", timeout=5).raise_for_status()
                return
            except httpx.HTTPError:
                time.sleep(0.3)
        raise SystemExit(f"The {self.name} server did not start:\n{self.output.read_text()[-3000:]}")

    def click(self, client: httpx.Client) -> dict:
        files = {"params": (None, json.dumps(CLICK))}
        response = client.post(f"{self.url}/infer/lesion_classifier?image=ct&output=json", files=files)
        response.raise_for_status()
        return response.json()


def write_volume(path: Path) -> None:
    """A body of noise with a round lesion; what the pixels show does not matter to the clock."""
    rng = np.random.default_rng(0)
    j, i = np.mgrid[: SHAPE[1], : SHAPE[2]]
    body = ((i - 256) / 230) ** 2 + ((j - 256) / 170) ** 2 <= 1
    hu = np.where(body[None], rng.normal(105, 20, SHAPE).astype(np.float32), np.float32(-1000))
    x, y, z = CLICK["foreground"][0]
    k = np.arange(SHAPE[0])[:, None, None]
    hu[((i - x) * 0.74) ** 2 + ((j - y) * 0.74) ** 2 + ((k - z) * 1.6) ** 2 <= 15**2] -= 60
    image = sitk.GetImageFromArray(np.rint(hu).astype(np.int16))
    image.SetSpacing(SPACING)
    path.parent.mkdir(parents=True)
    sitk.WriteImage(image, str(path))


def prepare(folder: Path) -> tuple[Path, Path]:
    """The same random network for both: as a promoted version under home, and as stock_app/model/lesion_classifier.pt."""
    settings = Settings(home=folder / "home", device="cpu")
    network = PaperCNN(len(settings.classes), torch.Generator().manual_seed(1))
    manifest = Manifest(
        version="20260101T000000Z-benchmrk",
        created="2026-01-01T00:00:00+00:00",
        class_counts=dict.fromkeys(settings.classes.names, 1),
        trained_on="phantom",
        patients=(),
        snapshot="",
        config={},
        seed=1,
        temperature=1.0,
        evaluation={},
        code_version="",
    )
    versions = Versions(settings)
    versions.add(network, manifest)
    versions.promote(manifest.version, by="benchmark", reason="the same network for both")
    app = folder / "stock_app"
    shutil.copytree(Path(__file__).parent / "stock_app", app, ignore=shutil.ignore_patterns("__pycache__"))
    (app / "model").mkdir()
    torch.save(network.state_dict(), app / "model" / "lesion_classifier.pt")
    return settings.home, app


def start(name: str, arguments: list[str], folder: Path, environment: dict[str, str]) -> Running:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    output = folder / f"{name}.txt"
    with output.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, *arguments, "--port", str(port)],
            cwd=folder,
            env={**os.environ, **environment},
            stdout=file,
            stderr=subprocess.STDOUT,
        )
    return Running(name, f"http://127.0.0.1:{port}", process, output)


def info_while_busy(server: Running, seconds: float) -> list[float]:
    """How long /info/ takes while two clients click without a pause."""
    stop = threading.Event()

    def click_on() -> None:
        with httpx.Client(timeout=120) as client:
            while not stop.is_set():
                server.click(client)

    clickers = [threading.Thread(target=click_on) for _ in range(2)]
    for clicker in clickers:
        clicker.start()
    waits = []
    end = time.monotonic() + seconds
    with httpx.Client(timeout=120) as client:
        while time.monotonic() < end:
            begin = time.perf_counter()
            client.get(server.url + "/info/").raise_for_status()
            waits.append(time.perf_counter() - begin)
            time.sleep(0.02)
    stop.set()
    for clicker in clickers:
        clicker.join()
    return waits


def milliseconds(times: list[float], percentile: float) -> float:
    return 1000 * float(np.percentile(times, percentile))


def measure(ours: Running, stock: Running, rounds: int) -> None:
    times: dict[str, list[float]] = {ours.name: [], stock.name: []}
    with httpx.Client(timeout=120) as client:
        for server in (ours, stock):
            for _ in range(3):
                answer = server.click(client)
            scores = ", ".join(f"{entry['label']} {entry['score']:.3f}" for entry in answer["prediction"])
            print(f"{server.name:<10} answers {scores}")
        for _ in range(rounds):
            for server, count in ((ours, OURS_PER_ROUND), (stock, 1)):
                for _ in range(count):
                    begin = time.perf_counter()
                    server.click(client)
                    times[server.name].append(time.perf_counter() - begin)
    print(f"\n{'click to prediction over HTTP':<32} {'n':>5} {'p50 ms':>9} {'p95 ms':>9}")
    for name, seconds in times.items():
        print(f"{name:<32} {len(seconds):>5} {milliseconds(seconds, 50):>9.1f} {milliseconds(seconds, 95):>9.1f}")
    ratio = milliseconds(times[stock.name], 50) / milliseconds(times[ours.name], 50)
    print(f"{'ratio of the medians':<32} {ratio:>15.1f}")
    print(f"\n{'/info/ while two clients click':<32} {'n':>5} {'p50 ms':>9} {'p99 ms':>9}")
    for server in (ours, stock):
        waits = info_while_busy(server, 10)
        print(f"{server.name:<32} {len(waits):>5} {milliseconds(waits, 50):>9.1f} {milliseconds(waits, 99):>9.1f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=30, help="answers of the stock app")
    rounds = parser.parse_args().rounds
    print(f"{os.cpu_count()} CPU cores, load {os.getloadavg()[0]:.1f}, volume {SHAPE[2]} × {SHAPE[1]} × {SHAPE[0]}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        home, app = prepare(folder)
        write_volume(folder / "ours" / "ct.nii.gz")
        shutil.copytree(folder / "ours", folder / "stock")
        serve = ["-c", "from lesionlabel.cli.main import main; main()", "serve", "--studies", str(folder / "ours")]
        by_the_book = ["-m", "monailabel.main", "start_server", "--app", str(app), "--studies", str(folder / "stock")]
        by_the_book += ["--host", "127.0.0.1"]
        ours, stock = (
            start("lesionlabel", serve, folder, {"LESIONLABEL_HOME": str(home), "LESIONLABEL_DEVICE": "cpu"}),
            start("stock", by_the_book, folder, {"MONAI_LABEL_TRACKING_ENABLED": "false"}),
        )
        try:
            for server in (ours, stock):
                server.wait()
            measure(ours, stock, rounds)
        finally:
            for server in (ours, stock):
                server.process.terminate()
            for server in (ours, stock):
                server.process.wait(30)


if __name__ == "__main__":
    main()
