import pytest

from lesionlabel.jobs.jobs import Jobs
from lesionlabel.lesions.errors import InputError
from lesionlabel.registry import generator_training, retrain
from lesionlabel.settings import Settings
from lesionlabel.trainers.generator import PROFILES
from lesionlabel.trainers.lesion_classifier import CHOICES
from lesionlabel.trainers.table import trainers

DEFAULTS = {"profile": "quick", "synthetic": "auto", "kind": "any", "seed": 0}


@pytest.fixture
def table(tmp_path):
    settings = Settings(home=tmp_path / "home", device="cpu")
    return trainers(settings, Jobs(settings))


@pytest.fixture
def trainer(table):
    return table["lesion_classifier"]


def test_there_is_one_for_the_classifier_and_one_for_each_generator(table):
    assert list(table) == ["lesion_classifier", "gan_cyst", "gan_metastasis", "gan_hemangioma", "acgan"]


def test_the_profiles_offered_are_those_that_exist():
    assert set(CHOICES["profile"]) == set(retrain.PROFILES)
    assert set(PROFILES) == set(generator_training.PROFILES)


def test_defaults_hold_for_an_empty_request_and_for_whole_lists_as_some_clients_send(trainer):
    assert trainer.check({}) == DEFAULTS
    assert trainer.check({**trainer.config(), "client_id": "x", "model": "m"}) == DEFAULTS
    assert trainer.check({"profile": "paper", "seed": "7"}) == {**DEFAULTS, "profile": "paper", "seed": 7}


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
def test_anything_else_is_refused_by_name_before_a_job_is_there(trainer, params, named):
    with pytest.raises(InputError, match=named):
        trainer.start(params, {"studies": "/nowhere"})
    assert trainer.jobs.list() == ()


def test_a_job_in_line_is_what_stats_show_as_3d_slicer_reads_them(table, trainer):
    assert trainer.stats() == {}
    job = trainer.start({"seed": 3}, {"studies": "/nowhere"})
    assert job.asked == {"trainer": "lesion_classifier", "params": {**DEFAULTS, "seed": 3}, "studies": "/nowhere"}
    trainer.jobs._recent = (-1.0, ())
    stats = trainer.stats()
    # 3D Slicer's module draws a bar of these while there is no total_time.
    assert {"total_epochs", "epoch", "best_metric", "start_ts", "current_time"} <= set(stats)
    assert stats["job"] == job.id
    assert "total_time" not in stats
    assert isinstance(stats["best_metric"], float)
    # Of another trainer there is none.
    assert table["gan_cyst"].stats() == {}
    trainer.jobs.cancel(job.id)
    trainer.jobs._recent = (-1.0, ())
    assert trainer.stats()["total_time"] >= 1
