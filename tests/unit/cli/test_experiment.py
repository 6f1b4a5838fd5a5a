import json

import pytest
from typer.testing import CliRunner

from lesionlabel.cli.main import app
from lesionlabel.lesions.cohort import save_cohort
from lesionlabel.lesions.errors import InputError
from lesionlabel.phantom.cohort import make_cohort


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("LESIONLABEL_HOME", str(tmp_path / "home"))


@pytest.fixture
def cohort(tmp_path):
    save_cohort(make_cohort({"cyst": 12, "metastasis": 12, "hemangioma": 12}, seed=7), tmp_path / "cohort.npz")
    return str(tmp_path / "cohort.npz")


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


@pytest.mark.parametrize(
    ("words", "named"),
    [(("--profile", "huge"), r"Unknown profile 'huge'"), (("--arms", "gan"), r"Unknown arm 'gan'\. Allowed: classic")],
)
def test_what_is_not_known_is_refused_before_anything_is_written(cohort, tmp_path, words, named):
    with pytest.raises(InputError, match=named):
        run("--cohort", cohort, "--out", str(tmp_path / "out"), *words)
    assert not (tmp_path / "out").exists()
