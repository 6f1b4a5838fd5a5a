"""The images without a container engine: linted, held against the compose schema, and the install steps run for real."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
LINT = ROOT / "build" / "docker-lint" / "bin"
DOCKERFILE = (ROOT / "docker" / "Dockerfile").read_text()
COMPOSE = yaml.safe_load((ROOT / "docker" / "compose.yaml").read_text())


def lint(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    if not (LINT / program).exists():
        missing = f"{program} is not installed: make build/docker-lint/.ready"
        if os.environ.get("CI"):
            pytest.fail(missing)
        pytest.skip(missing)
    return subprocess.run([LINT / program, *arguments], capture_output=True, text=True, cwd=ROOT, timeout=120)


def test_hadolint_finds_nothing():
    found = lint("hadolint", "docker/Dockerfile")
    assert (found.returncode, found.stdout) == (0, "")


def test_the_compose_file_is_of_the_schema():
    found = lint("check-jsonschema", "--builtin-schema", "vendor.compose-spec", "docker/compose.yaml")
    assert found.returncode == 0, found.stdout


def test_containers_run_without_rights_and_are_watched():
    assert re.search(r"^USER 10001:10001$", DOCKERFILE, re.MULTILINE)
    assert "HEALTHCHECK" in DOCKERFILE
    services = COMPOSE["services"]
    assert set(services) == {"server", "worker", "postgres", "orthanc", "mlflow"}
    for name, service in services.items():
        assert service["cap_drop"] == ["ALL"], name
        # Orthanc's image writes its configuration at start.
        assert service.get("read_only") or name == "orthanc", name
        # Nobody has to sign in yet.
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ())), name
    assert all("healthcheck" in services[name] for name in ("worker", "mlflow", "postgres"))


@pytest.mark.skipif(not os.environ.get("CI"), reason="installs everything anew, which takes minutes: in CI only")
def test_the_install_steps_work_in_a_clean_environment(tmp_path):
    build = DOCKERFILE.split("AS build", 1)[1].split("\nFROM ", 1)[0]
    source, prefix = tmp_path / "src", tmp_path / "opt"
    source.mkdir()
    # The default index, as for GPUs.
    environment = {
        **os.environ,
        "TORCH_INDEX": "",
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }
    for instruction in re.split(r"\n(?=[A-Z]+ )", re.sub(r"(?m)^#.*\n", "", build)):
        keyword, _, rest = instruction.strip().partition(" ")
        if keyword == "COPY":
            *files, target = rest.split()
            for file in files:
                where = source / target if target != "./" else source / file
                (shutil.copytree if (ROOT / file).is_dir() else shutil.copy)(ROOT / file, where)
        elif keyword == "RUN":
            command = rest.replace("/opt/lesionlabel", str(prefix)).replace("/tmp/requirements.txt", str(tmp_path / "r.txt"))
            done = subprocess.run(
                ["bash", "-o", "pipefail", "-c", command], cwd=source, env=environment, capture_output=True, text=True
            )
            assert done.returncode == 0, f"{command}\n{done.stdout[-2000:]}\n{done.stderr[-3000:]}"
    found = subprocess.run([prefix / "bin" / "lesionlabel", "--help"], capture_output=True, text=True, timeout=120)
    assert "retrain" in found.stdout
    # From the image alone: no file of the checkout is behind it.
    where = "import lesionlabel; print(lesionlabel.__file__)"
    shown = subprocess.run([prefix / "bin" / "python", "-c", where], capture_output=True, text=True, cwd="/", timeout=120)
    assert shown.stdout.startswith(str(prefix))
