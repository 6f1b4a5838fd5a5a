"""The images without a container engine: linted, held against the compose schema, and the install steps run for real."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from importlib import metadata
from importlib.util import cache_from_source
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


def link(names: Iterable[str], environment: Path) -> None:
    """Put packages into environment as links to the files that these tests run from: what unpacking their wheels would give."""
    site = environment / "lib" / "python3.11" / "site-packages"
    for name in names:
        found = metadata.distribution(name)
        # Scripts and data beside the packages are not needed, and are outside the folder. The compiled need not be listed.
        for file in (file for file in found.files or () if ".." not in file.parts and file.suffix != ".pyc"):
            link_file(Path(str(found.locate_file(file))), site / file)


def link_file(real: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    target.unlink(missing_ok=True)
    target.symlink_to(real)
    if real.suffix == ".py" and (compiled := Path(cache_from_source(str(real)))).exists():
        link_file(compiled, target.parent / "__pycache__" / compiled.name)


@pytest.mark.skipif(not os.environ.get("CI"), reason="asks the package index for torch: in CI only")
def test_the_install_steps_work_in_a_clean_environment(tmp_path):
    """Every step is run, in an environment with nothing of this one but what pip then takes for the pins themselves."""
    build = DOCKERFILE.split("AS build", 1)[1].split("\nFROM ", 1)[0]
    source, prefix, pins, report = (tmp_path / name for name in ("src", "opt", "r.txt", "report.json"))
    source.mkdir()
    environment = {
        **os.environ,
        # The default index, as for GPUs.
        "TORCH_INDEX": "",
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }
    # pip resolves and says what it would fetch; the project itself is built and installed for real.
    dry = {"PIP_DRY_RUN": "1", "PIP_REPORT": str(report)}

    def run(command: str, **changes: str) -> None:
        command = command.replace("/opt/lesionlabel", str(prefix)).replace("/tmp/requirements.txt", str(pins))
        bash = ["bash", "-o", "pipefail", "-c", command]
        done = subprocess.run(bash, cwd=source, env={**environment, **changes}, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, f"{command}\n{done.stdout[-2000:]}\n{done.stderr[-3000:]}"

    def fetched() -> dict[str, str]:
        chosen = [item["metadata"] for item in json.loads(report.read_bytes())["install"]]
        return {one["name"]: one["version"] for one in chosen}

    instructions = re.split(r"\n(?=[A-Z]+ )", re.sub(r"(?m)^#.*\n", "", build))
    for instruction in instructions:
        keyword, _, rest = instruction.strip().partition(" ")
        if keyword == "COPY":
            *files, target = rest.split()
            for file in files:
                where = source / target if target != "./" else source / file
                (shutil.copytree if (ROOT / file).is_dir() else shutil.copy)(ROOT / file, where)
    torch, rest, project = (one.strip().removeprefix("RUN ") for one in instructions if one.startswith("RUN "))
    run(torch, **dry)
    assert fetched()["torch"] == metadata.version("torch")
    link(fetched(), prefix)
    choose, install = rest.split("&&")
    run(choose)
    link(re.findall(r"(?m)^([^#\s=]+)==", pins.read_text()), prefix)
    run(install, **dry)
    # Each pin is met to the letter by what these tests run from, which was installed from the same file.
    assert fetched() == {}
    run(project)
    python = prefix / "bin" / "python"
    # Whatever a package says it needs is there, but for a network of monailabel's that we do not offer.
    checked = subprocess.run([python, "-m", "pip", "check"], capture_output=True, text=True, timeout=120)
    assert checked.stdout == "monailabel 0.8.5 requires sam2, which is not installed.\n"
    found = subprocess.run([prefix / "bin" / "lesionlabel", "--help"], capture_output=True, text=True, timeout=120)
    assert "retrain" in found.stdout
    # From the image alone: no file of the checkout is behind it, and what runs needs nothing that only developers have.
    where = "import lesionlabel.server.asgi, lesionlabel.jobs.worker as w; print(w.__file__)"
    shown = subprocess.run([python, "-c", where], capture_output=True, text=True, cwd="/", timeout=120)
    assert shown.stdout.startswith(str(prefix)), shown.stderr
