import pytest

from lesionlabel.datastore.answers import AnswerLog
from lesionlabel.datastore.curate import Curator
from lesionlabel.datastore.curated import CuratedDatastore
from lesionlabel.imaging.store import VolumeStore
from lesionlabel.jobs.jobs import Jobs, State
from lesionlabel.jobs.schedule import SCHEDULE, Growth, apply_schedule, require_cron
from lesionlabel.lesions.errors import InputError
from lesionlabel.settings import Settings

PARAMS = {"profile": "trial", "synthetic": "none", "kind": "any", "seed": 0}


@pytest.fixture
def datastore(tmp_path, tiny_ct, tiny_label):
    """A function that saves a label with two lesions for a case."""
    settings = Settings(home=tmp_path / "home", device="cpu")
    for number in range(4):
        tiny_ct(tmp_path / "studies" / f"case{number}.nii.gz", seed=number)
    tiny_label(tmp_path / "label.nii.gz", {"cyst": 1, "metastasis": 2})
    store = VolumeStore(settings.volumes_folder, 2**30)
    made = CuratedDatastore(tmp_path / "studies", Curator(store.open, settings.classes, AnswerLog(tmp_path / "answers")))

    def save(case: int) -> CuratedDatastore:
        info = [{"name": name, "idx": value} for value, name in ((1, "cyst"), (2, "metastasis"))]
        made.save_label(f"case{case}", str(tmp_path / "label.nii.gz"), "final", {"label_info": info})
        return made

    return save


def test_a_retraining_starts_once_enough_lesions_are_new_and_not_again_for_the_same(tmp_path, datastore):
    jobs = Jobs(Settings(home=tmp_path / "home", retrain_after=4))
    growth = Growth(jobs, datastore(0), PARAMS)
    assert growth.look() is None
    datastore(1)
    job = growth.look()
    assert job is not None
    assert job.asked["params"] == PARAMS
    assert growth.look() is None
    jobs.cancel(job.id)
    # However that job ended, it takes four new ones for the next.
    datastore(2)
    assert growth.look() is None
    # While another waits, none starts, and nothing is forgotten.
    other = jobs.start("retrain", job.asked)
    datastore(3)
    assert growth.look() is None
    jobs.cancel(other.id)
    again = growth.look()
    assert again is not None
    assert again.state is State.WAITING


def test_without_the_setting_nothing_starts(tmp_path, datastore):
    jobs = Jobs(Settings(home=tmp_path / "home"))
    datastore(0)
    assert Growth(jobs, datastore(1), PARAMS).look() is None
    assert jobs.list() == ()


def test_times_are_kept_by_dbos_and_taken_back(tmp_path):
    jobs = Jobs(Settings(home=tmp_path / "home", retrain_at="0 2 * * *"))
    apply_schedule(jobs, {"params": PARAMS})
    apply_schedule(jobs, {"params": PARAMS})
    kept = jobs.client.get_schedule(SCHEDULE)
    assert kept is not None
    assert (kept["schedule"], kept["workflow_name"]) == ("0 2 * * *", "scheduled_retrain")
    apply_schedule(Jobs(Settings(home=tmp_path / "home")), {})
    assert jobs.client.get_schedule(SCHEDULE) is None
    apply_schedule(Jobs(Settings(home=tmp_path / "home")), {})


@pytest.mark.parametrize("wrong", ["soon", "0 2 * *", "0 0 2 * * *", "61 2 * * *"])
def test_other_times_are_refused_before_the_server_starts(tmp_path, wrong):
    with pytest.raises(InputError, match="RETRAIN_AT must be five cron fields"):
        require_cron(Settings(home=tmp_path, retrain_at=wrong))
