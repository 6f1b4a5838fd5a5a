from pathlib import Path

import pytest
from typer.testing import CliRunner

from lesionlabel.cli.models import models_app
from lesionlabel.cli.training import train_app
from lesionlabel.evaluation.crossval import Recipe
from lesionlabel.lesions.cohort import save_cohort
from lesionlabel.lesions.errors import InputError, NotFoundError
from lesionlabel.registry import retrain
from lesionlabel.training.classifier import ClassifierConfig

NAMES = ("cyst", "metastasis", "hemangioma")


@pytest.fixture
def cohort_file(tmp_path, monkeypatch, cohort_of):
    monkeypatch.setenv("LESIONLABEL_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(
        retrain,
        "PROFILES",
        {"tiny": Recipe("tiny", 0, 3, ClassifierConfig(epochs=None, steps=2, batch=8, device="cpu"), ("all but nothing",))},
    )
    save_cohort(cohort_of(12, "secret-"), tmp_path / "cohort.npz")
    return tmp_path / "cohort.npz"


def run(app, *args: object) -> str:
    result = CliRunner().invoke(app, [str(a) for a in args], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_train_then_show_then_promote(cohort_file, tmp_path):
    text = run(train_app, "classifier", "--cohort", cohort_file, "--profile", "tiny", "--out", tmp_path / "report")
    assert "reduced against the paper: all but nothing" in text
    assert "accuracy" in text
    version = text.split("models promote ")[1].split()[0]
    assert (tmp_path / "report/report.md").read_text() in text
    assert "candidate" in run(models_app, "list")
    assert "Trained on patients: 12 lesions of 12 patients" in run(models_app, "show", version)
    assert version in run(models_app, "promote", version, "--by", "an admin", "--reason", "it is the first")
    listed = run(models_app, "list")
    assert f"Serving: {version}, trained on patients" in listed
    shown = run(models_app, "show", version)
    assert "by an admin: it is the first" in shown
    assert "secret-" not in text + listed + shown


def test_a_second_version_is_compared_before_it_serves_and_can_be_rolled_back(cohort_file, tmp_path):
    def train(seed):
        text = run(train_app, "classifier", "--cohort", cohort_file, "--profile", "tiny", "--seed", str(seed))
        return text.split("models promote ")[1].split()[0]

    who = ("--by", "an admin", "--reason", "better")
    first, second = train(0), train(1)
    run(models_app, "promote", first, *who)
    with pytest.raises(InputError, match="models compare"):
        run(models_app, "promote", second, *who)
    said = run(models_app, "compare", second)
    assert "Not enough evidence" in said
    assert "Regime C" in said
    page = Path(said.split(" shows every lesion")[0].split()[-1]).read_text()
    assert "<html" in page
    assert "secret-" not in said
    run(models_app, "promote", second, *who, "--reader", "a reader")
    assert "by an admin with a reader: better" in run(models_app, "show", second)
    assert f"{first} serves again" in run(models_app, "rollback", *who)
    run(models_app, "retire", second, *who)
    assert f"{second}  retired" in run(models_app, "list")
    assert "Retired" in run(models_app, "show", second)


def test_what_cannot_work_is_said_before_anything_is_trained(cohort_file, tmp_path):
    for args, why in (
        (["--cohort", cohort_file, "--profile", "no"], "profile"),
        (["--profile", "tiny"], "--studies"),
        (["--cohort", cohort_file, "--studies", tmp_path, "--profile", "tiny"], "either"),
        (["--cohort", tmp_path / "none.npz", "--profile", "tiny"], "no cohort file"),
        (["--studies", tmp_path / "none", "--profile", "tiny"], "is not there"),
        (["--studies", tmp_path, "--kind", "real", "--profile", "tiny"], "kind"),
        (["--cohort", cohort_file, "--kind", "phantom", "--profile", "tiny"], "--kind chooses"),
    ):
        with pytest.raises(InputError, match=why):
            run(train_app, "classifier", *args)
    with pytest.raises(NotFoundError):
        run(models_app, "show", "none")
