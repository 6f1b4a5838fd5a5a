import json

import pytest

from lesionlabel.datastore.answers import AnswerLog
from lesionlabel.datastore.curate import Curator
from lesionlabel.datastore.curated import CuratedDatastore
from lesionlabel.evaluation.crossval import Recipe
from lesionlabel.imaging.store import VolumeStore
from lesionlabel.lesions.errors import InputError
from lesionlabel.registry.retrain import PROFILES
from lesionlabel.registry.versions import Versions
from lesionlabel.settings import Settings
from lesionlabel.trainers.lesion_classifier import CHOICES, LesionClassifierTrainer
from lesionlabel.training.classifier import ClassifierConfig


@pytest.fixture
def trainer(tmp_path):
    settings = Settings(home=tmp_path / "home", device="cpu")
    return LesionClassifierTrainer(settings, VolumeStore(settings.volumes_folder, 2**30))


def test_the_profiles_offered_are_those_that_exist():
    assert set(CHOICES["profile"]) == set(PROFILES)


def test_defaults_hold_for_an_empty_request_and_for_whole_lists_as_some_clients_send(trainer):
    assert trainer.check({}) == {"profile": "quick", "kind": "any", "seed": 0}
    assert trainer.check({**trainer.config(), "client_id": "x", "model": "m"}) == {"profile": "quick", "kind": "any", "seed": 0}
    assert trainer.check({"profile": "paper", "seed": "7"}) == {"profile": "paper", "kind": "any", "seed": 7}


@pytest.mark.parametrize(
    ("params", "named"),
    [
        ({"tracking_experiment": "http://x", "train_ds": "/etc/passwd"}, "does not know tracking_experiment, train_ds"),
        ({"profile": "huge"}, "profile must be one of"),
        ({"seed": -1}, "seed must be a whole number"),
        ({"seed": 1.5}, "seed must be a whole number"),
        ({"seed": True}, "seed must be a whole number"),
    ],
)
def test_anything_else_is_refused_by_name(trainer, params, named):
    with pytest.raises(InputError, match=named):
        trainer.check(params)


def test_before_the_first_run_there_are_no_figures_and_damaged_ones_are_none(trainer):
    assert trainer.stats() == {}
    trainer.stats_file.parent.mkdir(parents=True)
    trainer.stats_file.write_text("{ half")
    assert trainer.stats() == {}


def test_too_few_lesions_are_refused_and_nothing_serves_differently(trainer, tmp_path, tiny_ct, tiny_label):
    tiny_ct(tmp_path / "studies" / "case.nii.gz")
    tiny_label(tmp_path / "label.nii.gz", {"cyst": 1})
    curator = Curator(trainer.store.open, trainer.settings.classes, AnswerLog(tmp_path / "answers"))
    datastore = CuratedDatastore(tmp_path / "studies", curator)
    datastore.save_label("case", str(tmp_path / "label.nii.gz"), "final", {"class": "cyst"})
    with pytest.raises(InputError) as refused:
        trainer({"model": "lesion_classifier"}, datastore)
    assert not trainer.settings.versions_folder.exists()
    stats = trainer.stats()
    assert (stats["what"], stats["why"]) == ("failed", str(refused.value))
    # 3D Slicer's module draws a bar of these while there is no total_time.
    assert {"total_epochs", "epoch", "best_metric", "start_ts"} <= set(stats)
    assert stats["total_time"] >= 1


def test_a_run_that_fails_before_its_first_figure_does_not_show_the_run_before(trainer, tmp_path, tiny_ct):
    tiny_ct(tmp_path / "studies" / "case.nii.gz")
    trainer.stats_file.parent.mkdir(parents=True)
    trainer.stats_file.write_text(json.dumps({"what": "done", "epoch": 100, "version": "before"}))
    with pytest.raises(InputError, match="no curated lesion"):
        trainer({}, CuratedDatastore(tmp_path / "studies"))
    assert trainer.stats()["what"] == "failed"
    assert "version" not in trainer.stats()


@pytest.mark.parametrize(
    "error", [OSError("/data/studies/Muster^Erika.nii.gz is gone"), InputError("STUDIES/case.nii.gz is gone")]
)
def test_why_a_run_failed_names_no_folder_and_nothing_that_only_a_file_said(trainer, tmp_path, tiny_ct, monkeypatch, error):
    tiny_ct(tmp_path / "studies" / "case.nii.gz")
    error.args = (str(error).replace("STUDIES", str(tmp_path / "studies")),)
    monkeypatch.setattr("lesionlabel.trainers.base.cohort_of", lambda *_: (_ for _ in ()).throw(error))
    with pytest.raises(type(error)):
        trainer({}, CuratedDatastore(tmp_path / "studies"))
    why = trainer.stats()["why"]
    assert "Muster" not in why
    assert str(tmp_path) not in why
    assert ("case.nii.gz is gone" in why) == isinstance(error, InputError)


def test_curated_lesions_become_a_candidate_that_does_not_serve(
    trainer, tmp_path, tiny_ct, tiny_label, promote_untrained, monkeypatch
):
    smallest = Recipe(profile="quick", amount_per_fold=12, training=ClassifierConfig(epochs=None, steps=2))
    monkeypatch.setattr("lesionlabel.registry.retrain.PROFILES", {"quick": smallest})
    serving = promote_untrained(trainer.settings)
    curator = Curator(trainer.store.open, trainer.settings.classes, AnswerLog(tmp_path / "answers"))
    tiny_label(tmp_path / "label.nii.gz", {"cyst": 1, "metastasis": 2})
    for number in range(6):
        tiny_ct(tmp_path / "studies" / f"case{number}.nii.gz", seed=number)
    datastore = CuratedDatastore(tmp_path / "studies", curator)
    for number in range(6):
        names = ("cyst", "metastasis" if number % 2 else "hemangioma")
        info = [{"name": name, "idx": value} for value, name in enumerate(names, start=1)]
        datastore.save_label(f"case{number}", str(tmp_path / "label.nii.gz"), "final", {"label_info": info})

    result = trainer({"model": "lesion_classifier", "seed": 3}, datastore)

    assert result["counts"] == {"cyst": 6, "metastasis": 3, "hemangioma": 3}
    versions = Versions(trainer.settings)
    assert [info.version for info in versions.candidates()] == [result["version"]]
    assert versions.get(result["version"]).manifest.trained_on == "patients"
    assert versions.champion().version == serving
    stats = trainer.stats()
    assert (stats["epoch"], stats["total_epochs"], stats["version"]) == (100, 100, result["version"])
    assert isinstance(stats["best_metric"], float)
