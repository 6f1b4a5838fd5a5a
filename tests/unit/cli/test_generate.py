import numpy as np
import pytest
from typer.testing import CliRunner

from lesionlabel.cli.main import app
from lesionlabel.lesions.cohort import save_cohort
from lesionlabel.lesions.errors import InputError, NotFoundError
from lesionlabel.phantom.cohort import make_cohort
from lesionlabel.registry.synthetic_set import load_synthetic_set
from lesionlabel.settings import Settings


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch, promote_untrained_generators):
    monkeypatch.setenv("LESIONLABEL_HOME", str(tmp_path / "home"))
    promote_untrained_generators(Settings())


def run(*words: str) -> str:
    result = CliRunner().invoke(app, list(words), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


@pytest.mark.parametrize("form", ["png", "npy", "nifti", "dicom"])
def test_a_class_is_generated_in_every_format(tmp_path, form):
    said = run("generate", "cyst", "--n", "5", "--seed", "7", "--out", str(tmp_path / "out"), "--format", form)
    assert "5 synthetic ROIs of cyst" in said
    assert "no patient's" in said
    assert all(path.name.startswith("SYNTHETIC-") for path in (tmp_path / "out").iterdir())


def test_more_than_a_server_makes_at_once_are_made_here(tmp_path):
    run("generate", "cyst", "--n", "1200", "--out", str(tmp_path / "out"), "--format", "npy")
    [file] = (tmp_path / "out").glob("*.npy")
    assert np.load(file, mmap_mode="r").shape == (1200, 64, 64)


@pytest.mark.parametrize(
    ("words", "error", "said"),
    [
        (("cyst", "--n", "0"), InputError, "n must be"),
        (("cyst", "--n", "1000000"), InputError, "1 to 20000, got 1000000"),
        (("abscess",), NotFoundError, "No generator 'abscess'"),
        (("cyst", "--version", "never"), NotFoundError, "No version 'never'"),
        (("cyst", "--format", "jpg"), InputError, "Unknown format"),
        (("acgan",), InputError, "no class was named"),
    ],
)
def test_what_cannot_be_made_is_refused_in_words(tmp_path, words, error, said):
    with pytest.raises(error, match=said):
        run("generate", *words, "--out", str(tmp_path / "out"))


def test_a_seed_that_is_no_integer_is_refused(tmp_path):
    result = CliRunner().invoke(app, ["generate", "cyst", "--seed", "seven", "--out", str(tmp_path)])
    assert result.exit_code == 2
    assert "--seed" in result.output


def test_a_synthetic_set_of_all_classes_says_what_made_it(tmp_path):
    said = run("synthetic-set", "--n", "4", "--out", str(tmp_path / "SYNTHETIC-set.npz"))
    assert "4 of 4 cyst by gan_cyst" in said
    assert "copies: fit" in said
    assert load_synthetic_set(tmp_path / "SYNTHETIC-set.npz").manifest["counts"]["cyst"] == {"made": 4, "kept": 4}
    assert "4 of 4 hemangioma by acgan" in run(
        "synthetic-set", "--n", "4", "--acgan", "--out", str(tmp_path / "SYNTHETIC-all.npz")
    )


def test_the_generators_are_listed_with_whether_they_copy_patients():
    said = run("generators", "list")
    assert "gan_metastasis serves 20260101T000000Z-00000000, trained on phantom; copies: fit." in said
    assert "Copies of patients: fit" in run("generators", "show", "cyst", "20260101T000000Z-00000000")


def test_training_on_too_few_lesions_says_how_many_are_needed(tmp_path):
    save_cohort(make_cohort({"cyst": 4, "metastasis": 4, "hemangioma": 4}, seed=1), tmp_path / "few.npz")
    with pytest.raises(InputError, match="at least 12 patients"):
        run("train", "gan", "cyst", "--cohort", str(tmp_path / "few.npz"))
    with pytest.raises(NotFoundError, match="No generator 'abscess'"):
        run("train", "gan", "abscess", "--cohort", str(tmp_path / "few.npz"))
