"""A real server process on a folder of small CTs, and what 3D Slicer's module sends to it."""

from __future__ import annotations

import importlib.util
import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from urllib.error import URLError

import pytest

from lesionlabel.settings import Settings

#: A machine that is busy with other tests takes minutes.
START_SECONDS = 400


def load_module(name: str, path: Path) -> ModuleType:
    """Import third-party code from a file; its own warnings at import are not ours."""
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        spec.loader.exec_module(module)
    return module


class Server:
    """`lesionlabel serve` on a free port, with all state under home. environment: settings beside the usual ones."""

    def __init__(self, home: Path, studies: Path | str, **environment: str) -> None:
        self.home, self.studies, self.environment = home, studies, environment
        self.output = home.parent / "server.txt"
        self.temporary = home.parent / "tmp"
        self.process: subprocess.Popen[bytes] | None = None
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port: int = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        self.temporary.mkdir(exist_ok=True)
        environment = {**os.environ, "LESIONLABEL_HOME": str(self.home), "LESIONLABEL_DEVICE": "cpu", "OMP_NUM_THREADS": "1"}
        environment["LESIONLABEL_MLFLOW"] = "0"
        environment["TMPDIR"] = str(self.temporary)
        environment |= self.environment
        command = [sys.executable, "-c", "from lesionlabel.cli.main import main; main()", "serve"]
        command += ["--studies", str(self.studies), "--port", str(self.port)]
        with self.output.open("ab") as output:
            self.process = subprocess.Popen(command, env=environment, stdout=output, stderr=subprocess.STDOUT)
        end = time.monotonic() + START_SECONDS
        while time.monotonic() < end:
            try:
                self.get("/info/")
                return
            except (URLError, ConnectionError):
                if self.process.poll() is not None:
                    break
                time.sleep(0.2)
        self.kill()
        raise AssertionError(f"The server did not start:\n{self.output.read_text()[-4000:]}")

    def stop(self) -> None:
        assert self.process is not None
        self.process.terminate()
        self.process.wait(30)

    def kill(self) -> None:
        """As a power cut does."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(30)

    def worker_log(self) -> str:
        """What its worker said, for whoever waits for it in vain."""
        return next(self.home.rglob("worker.log")).read_text()

    def get(self, path: str) -> dict:
        with urllib.request.urlopen(self.url + path, timeout=30) as response:
            return json.load(response)


@pytest.fixture(scope="session")
def server(
    tmp_path_factory: pytest.TempPathFactory, tiny_ct, tiny_label, promote_untrained, promote_untrained_generators
) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("site")
    settings = Settings(home=folder / "home", device="cpu")
    promote_untrained(settings)
    promote_untrained_generators(settings)
    for number, name in enumerate(("case_a", "case_b", "case_c", "spleen_3", "spleen_8", "spleen_9")):
        tiny_ct(folder / "studies" / f"{name}.nii.gz", seed=number)
    (folder / "studies" / "labels" / "final").mkdir(parents=True)
    tiny_label(folder / "studies" / "labels" / "final" / "spleen_3.nii.gz", {"cyst": 1})
    running = Server(folder / "home", folder / "studies")
    running.start()
    yield running
    running.stop()


@pytest.fixture(scope="session")
def secured_orthanc(new_orthanc):
    """An Orthanc that wants a user, with nobody's images but its tests'."""
    return new_orthanc(AuthenticationEnabled=True, RegisteredUsers={"reader": "open sesame"})


@pytest.fixture(scope="session")
def pacs_server(secured_orthanc, tmp_path_factory: pytest.TempPathFactory, promote_untrained) -> Iterator[Server]:
    """A server on that Orthanc, with the credentials in stock MONAI Label's names. It stores results there."""
    folder = tmp_path_factory.mktemp("pacs-site")
    promote_untrained(Settings(home=folder / "home", device="cpu"))
    credentials = {"MONAI_LABEL_DICOMWEB_USERNAME": "reader", "MONAI_LABEL_DICOMWEB_PASSWORD": "open sesame"}
    credentials["LESIONLABEL_STORE_RESULTS"] = "true"
    running = Server(folder / "home", secured_orthanc.url, **credentials)
    running.start()
    yield running
    running.stop()


def promote_another(settings: Settings, version: str) -> str:
    """Let another network with random weights serve, as an administrator's override does."""
    from dataclasses import replace

    import torch

    from lesionlabel.networks.paper_cnn import PaperCNN
    from lesionlabel.registry.versions import Versions

    versions = Versions(settings)
    network = PaperCNN(len(settings.classes), torch.Generator().manual_seed(int(version[-1])))
    versions.add(network, replace(versions.champion().manifest, version=version, files={}))
    versions.promote(version, by="a test", reason="a drill", override=True)
    return version


@pytest.fixture(scope="session")
def slicer_client() -> ModuleType:
    """The client module that 3D Slicer's MONAI Label extension uses, as the monailabel wheel installs it."""
    path = Path(sys.prefix) / "monailabel" / "plugins" / "slicer" / "MONAILabel" / "MONAILabelLib" / "client.py"
    return load_module("monailabel_slicer_client", path)


@pytest.fixture
def client(server: Server, slicer_client: ModuleType, tmp_path: Path):
    return slicer_client.MONAILabelClient(server.url, tmpdir=str(tmp_path), client_id="reader-1")
