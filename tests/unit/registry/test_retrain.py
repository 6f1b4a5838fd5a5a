import json

import numpy as np
import pytest

from lesionlabel.evaluation.crossval import Recipe
from lesionlabel.lesions.cohort import load_cohort
from lesionlabel.lesions.errors import InputError
from lesionlabel.registry import retrain
from lesionlabel.registry.bundle import load_classifier
from lesionlabel.registry.retrain import PROFILES, train_starter, train_version
from lesionlabel.registry.versions import Versions
from lesionlabel.training.classifier import ClassifierConfig
from lesionlabel.training.hooks import StoppedError

TINY = Recipe("tiny", 0, 3, ClassifierConfig(epochs=None, steps=4, batch=8))


@pytest.fixture(autouse=True)
def tiny_profile(monkeypatch):
    monkeypatch.setattr(retrain, "PROFILES", {**PROFILES, "tiny": TINY})


def test_training_keeps_a_candidate_that_answers_and_does_not_serve(settings, cohort_of):
    cohort = cohort_of(18)
    told: list[float] = []
    info, trained = train_version(cohort, settings, "tiny", 5, progress=lambda share, what: told.append(share))
    report = trained.report
    assert report is not None
    assert told == sorted(told)
    assert told[-1] == 1.0
    versions = Versions(settings)
    assert [(x.version, x.is_champion) for x in versions.list()] == [(info.version, False)]
    manifest = versions.get(info.version).manifest
    assert manifest.trained_on == "patients"
    assert manifest.patients == tuple(sorted(cohort.patients))
    assert manifest.class_counts == cohort.counts()
    assert (manifest.temperature, manifest.seed) == (report.temperature, 5)
    assert manifest.config["training"]["steps"] == 4
    assert manifest.evaluation == json.loads(json.dumps(report.to_json()))
    # The snapshot named in the manifest is there, and is the cohort.
    assert load_cohort(settings.snapshots_folder / f"{manifest.snapshot}.npz").digest == cohort.digest
    versions.promote(info.version, "an admin", "first")
    classifier = versions.champion()
    assert classifier.version == info.version
    assert classifier.probabilities(np.zeros((1, 64, 64), dtype=np.float32)).sum() == pytest.approx(1)
    card = (info.folder / "docs/README.md").read_text()
    assert report.headline is not None
    assert report.headline.accuracy.percent() in card


@pytest.mark.parametrize("saw_model", [True, None])
def test_lesions_decided_with_the_answer_in_sight_train_a_candidate_that_nobody_can_promote(settings, cohort_of, saw_model):
    info, trained = train_version(cohort_of(18, saw_model=saw_model), settings, "tiny", 5)
    assert trained.report is None
    assert info.manifest.evaluation is None
    assert info.manifest.temperature == 1
    assert "may be tested" in (info.folder / "docs/README.md").read_text()
    with pytest.raises(InputError, match="before the model was asked"):
        Versions(settings).promote(info.version, "an admin", "it looks fine")


def test_the_same_snapshot_and_seed_give_the_same_version_also_where_a_run_was_stopped_and_goes_on(settings, cohort_of):
    whole, _ = train_version(cohort_of(18), settings, "tiny", 1)
    asked = iter([False] * 10 + [True])
    with pytest.raises(StoppedError):
        train_version(cohort_of(18), settings, "tiny", 1, should_stop=lambda: next(asked))
    assert [info.version for info in Versions(settings).list()] == [whole.version]
    told = []
    resumed, _ = train_version(cohort_of(18), settings, "tiny", 1, should_stop=lambda: told.append(1) is not None)
    # 4 parts of 4 steps, of which 10 were done.
    assert len(told) == 6
    kept = [Versions(settings).get(info.version).manifest.evaluation for info in (whole, resumed)]
    assert kept[0] == kept[1]
    assert resumed.version.split("-")[1] == whole.version.split("-")[1]
    assert resumed.manifest.temperature == whole.manifest.temperature
    # What was on the way is gone.
    assert list(settings.training_folder.iterdir()) == []


def test_a_starter_is_trained_on_the_phantom_only(settings, cohort_of, tmp_path):
    with pytest.raises(InputError, match="never on patients"):
        train_starter(cohort_of(18), settings, tmp_path / "starter", "tiny")
    trained = train_starter(cohort_of(18, "phantom-1-"), settings, tmp_path / "starter", "tiny")
    classifier = load_classifier(tmp_path / "starter")
    assert classifier.trained_on == "phantom"
    assert classifier.version == trained.manifest.version == f"starter-{classifier.sha256[:8]}"
    assert Versions(settings).list() == ()


def test_other_classes_or_an_unknown_profile_are_refused_before_any_work(settings, cohort_of):
    with pytest.raises(InputError, match="LESIONLABEL_CLASS_FILE"):
        train_version(cohort_of(18, names=("cyst", "metastasis", "abscess")), settings, "tiny")
    with pytest.raises(InputError, match="quick"):
        train_version(cohort_of(18), settings, "fast")
    assert not settings.snapshots_folder.exists()


def test_the_paper_profile_is_the_papers():
    paper = PROFILES["paper"]
    assert (paper.amount_per_fold, paper.n_folds) == (5000, 3)
    training = paper.training
    assert (training.epochs, training.steps, training.batch, training.learning_rate, training.dropout) == (
        150,
        None,
        64,
        1e-3,
        0.5,
    )
    assert paper.reduced == ()
    assert all(recipe.reduced for name, recipe in PROFILES.items() if name != "paper")
