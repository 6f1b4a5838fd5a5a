import csv
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from lesionlabel.cli.main import app
from lesionlabel.lesions.cohort import Cohort, load_cohort, save_cohort
from lesionlabel.lesions.errors import InputError
from lesionlabel.phantom.cohort import make_cohort
from lesionlabel.registry.locked import LockedPatients
from lesionlabel.settings import Settings


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("LESIONLABEL_HOME", str(tmp_path / "home"))


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    path = tmp_path_factory.mktemp("cohort") / "cohort.npz"
    save_cohort(make_cohort({"cyst": 12, "metastasis": 12, "hemangioma": 12}, seed=7), path)
    return str(path)


def run(*words):
    result = CliRunner().invoke(app, ["experiment", *words], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_arms_without_a_network_give_a_report_and_the_same_command_goes_on(cohort, tmp_path):
    out = tmp_path / "out"
    words = ("--cohort", cohort, "--arms", "mean, diameter", "--seeds", "1", "--jobs", "1", "--out", str(out))
    said = run(*words)
    assert "12 cyst" in said
    assert "100%" in said
    # Neither arm of the hypothesis was run, and that is said instead of a verdict.
    assert "Nothing is concluded" in said
    assert "<html" in (out / "report.html").read_text()
    json.loads((out / "results.json").read_text())
    before = {path: path.stat().st_mtime_ns for path in (out / "answers").rglob("*.npz")}
    assert before
    with pytest.raises(InputError, match="Give --resume to go on"):
        run(*words)
    run(*words, "--resume")
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_locked_patients_are_left_out(cohort, tmp_path):
    home = tmp_path / "home"
    home.mkdir()
    (home / "pseudonym.key").write_text("ab" * 32)
    (home / "locked.json").write_text('{"phantom": {"since": "2026-01-01T00:00:00+00:00", "snapshot": ""}}')
    said = run("--cohort", cohort, "--arms", "diameter", "--seeds", "1", "--jobs", "1", "--out", str(tmp_path / "out"))
    locked = LockedPatients(Settings(home=home)).of(load_cohort(Path(cohort)))
    assert locked.any()
    found = json.loads((tmp_path / "out" / "results.json").read_text())
    assert found["lesions"] == (~locked).sum()
    assert "locked patient(s) are left out" in said


@pytest.mark.parametrize(
    ("words", "named"),
    [(("--profile", "huge"), r"Unknown profile 'huge'"), (("--arms", "gan"), r"Unknown arm 'gan'\. Allowed: classic")],
)
def test_what_is_not_known_is_refused_before_anything_is_written(cohort, tmp_path, words, named):
    with pytest.raises(InputError, match=named):
        run("--cohort", cohort, "--out", str(tmp_path / "out"), *words)
    assert not (tmp_path / "out").exists()


FOUR = """
[[class]]
name = "FNH"
snomed = "1"
meaning = "Focal nodular hyperplasia of liver"
benign = true
colour = [80, 160, 255]
[[class]]
name = "HCC"
snomed = "2"
meaning = "Hepatocellular carcinoma"
benign = false
colour = [235, 90, 70]
[[class]]
name = "simple cyst"
snomed = "3"
meaning = "Simple cyst of liver"
benign = true
colour = [80, 200, 80]
[[class]]
name = "metastasis"
snomed = "4"
meaning = "Metastatic malignant neoplasm to liver"
benign = false
colour = [235, 90, 170]
"""


def test_a_site_with_four_classes_of_its_own_imports_its_rois_and_has_its_report(tmp_path, monkeypatch):
    (tmp_path / "classes.toml").write_text(FOUR)
    monkeypatch.setenv("LESIONLABEL_CLASS_FILE", str(tmp_path / "classes.toml"))
    rng, names = np.random.default_rng(1), ("FNH", "HCC", "simple cyst", "metastasis")
    with (tmp_path / "rois.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["file", "patient", "class", "diameter_px", "proof", "spacing_mm"])
        for number in range(36):
            np.save(tmp_path / f"{number}.npy", rng.normal(40 + 30 * (number % 4), 15, (40, 40)))
            writer.writerow([f"{number}.npy", f"patient {number}", names[number % 4], 20 + number % 5, "pathology", 0.8])
    cohort = str(tmp_path / "cohort.npz")
    done = CliRunner().invoke(app, ["import-rois", str(tmp_path / "rois.csv"), "--out", cohort], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    arms = ("--arms", "words,mean,diameter", "--seeds", "2", "--jobs", "1")
    run("--cohort", cohort, "--out", str(tmp_path / "out"), *arms)
    found = json.loads((tmp_path / "out" / "results.json").read_text())
    assert found["class_names"] == list(names)
    assert found["tested"] == 36
    mean = next(figures for figures in found["figures"] if figures["arm"] == "mean")
    assert mean["accuracy"]["low"] > 0.25
    assert np.shape(mean["confusion"]) == (4, 4)
    page = (tmp_path / "out" / "report.html").read_text()
    assert "simple cyst" in page
    assert "patient 1" not in page
    # Another class list than the cohort's is refused before anything is written.
    monkeypatch.delenv("LESIONLABEL_CLASS_FILE")
    with pytest.raises(InputError, match="LESIONLABEL_CLASS_FILE"):
        run("--cohort", cohort, "--out", str(tmp_path / "other"), *arms)
    assert not (tmp_path / "other").exists()


def test_shuffled_labels_give_chance_and_the_interval_covers_it(tmp_path):
    everyone = make_cohort(dict.fromkeys(("cyst", "metastasis", "hemangioma"), 30), seed=7)
    order = np.random.default_rng(0).permutation(len(everyone))
    shuffled = [replace(x, label=everyone.lesions[i].label) for x, i in zip(everyone, order, strict=True)]
    accuracy = {}
    for name, cohort in (("true", everyone), ("shuffled", Cohort(tuple(shuffled), everyone.class_names))):
        save_cohort(cohort, tmp_path / f"{name}.npz")
        out = tmp_path / name
        run("--cohort", f"{out}.npz", "--arms", "words,mean", "--seeds", "2", "--jobs", "1", "--out", str(out))
        figures = json.loads((out / "results.json").read_text())["figures"]
        accuracy[name] = {one["arm"]: one["accuracy"] for one in figures}
    for arm in ("words", "mean"):
        assert accuracy["true"][arm]["low"] > 1 / 3
        assert accuracy["shuffled"][arm]["low"] < 1 / 3 < accuracy["shuffled"][arm]["high"]


def gone(group):
    """Whether no process of a group is left within half a minute."""
    for _ in range(300):
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.1)
    return False


@pytest.mark.skipif(os.name != "posix", reason="process groups are POSIX")
@pytest.mark.parametrize("how", ["Ctrl+C", "kill -9"])
def test_every_process_ends_however_the_command_is_ended(cohort, tmp_path, how):
    command = [sys.executable, "-c", "from lesionlabel.cli.main import main; main()", "experiment", "--cohort", cohort]
    command += ["--arms", "classic,duplicates", "--jobs", "2", "--out", str(tmp_path / "out")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True) as running:
        assert running.stdout is not None
        while "%  fresh lesions" not in (line := running.stdout.readline()):
            assert line, running.communicate()
        if how == "Ctrl+C":
            # As a terminal does it: the signal reaches the whole group.
            os.killpg(running.pid, signal.SIGINT)
        else:
            running.kill()
        _, complaint = running.communicate(timeout=120)
        if how == "Ctrl+C":
            assert running.returncode == 2
            assert complaint.strip().endswith("The same command with --resume goes on from here.")
            assert "Traceback" not in complaint
        assert gone(running.pid)
    assert (tmp_path / "out" / "pools" / "fresh.npz").exists()
