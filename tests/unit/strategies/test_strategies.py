import json
from types import SimpleNamespace

import numpy as np
import pytest

from lesionlabel.datastore.answers import AnswerLog
from lesionlabel.datastore.curated import CuratedDatastore
from lesionlabel.lesions.errors import NoModelError
from lesionlabel.registry.versions import Versions
from lesionlabel.settings import Settings
from lesionlabel.strategies.first import First
from lesionlabel.strategies.most_informative import MostInformative
from lesionlabel.strategies.random import Random


@pytest.fixture
def datastore(tmp_path):
    studies = tmp_path / "studies"
    studies.mkdir()
    for name in "abcd":
        (studies / f"{name}.nii.gz").write_bytes(name.encode())
    return CuratedDatastore(studies)


@pytest.fixture
def label(datastore, tmp_path):
    def save(*images):
        (tmp_path / "label.nii.gz").write_bytes(b"label")
        for image in images:
            datastore.save_label(image, str(tmp_path / "label.nii.gz"), "final", {})

    return save


def pick(strategy, datastore) -> str | None:
    """The id that a strategy picks, None when nothing is left."""
    sample = strategy({"strategy": "random"}, datastore)
    return None if sample is None else sample["id"]


@pytest.fixture
def informative(datastore, tmp_path, promote_untrained):
    settings = Settings(home=tmp_path / "home", device="cpu")
    version = promote_untrained(settings)
    answers = AnswerLog(tmp_path / "answers")
    return SimpleNamespace(
        strategy=MostInformative(datastore.studies, answers, Versions(settings)), answers=answers, version=version
    )


def test_first_goes_through_the_unlabelled_and_ends_with_nothing(datastore, label):
    assert First()({}, datastore) == {"id": "a"}
    label("a", "b")
    assert First()({}, datastore) == {"id": "c"}
    label("c", "d")
    for strategy in (First(), Random(np.random.default_rng(0))):
        assert strategy({"strategy": "random"}, datastore) is None


def test_random_may_be_asked_again_at_once_and_reaches_every_image(datastore):
    strategy = Random(np.random.default_rng(0))
    drawn = set()
    for _ in range(60):
        image = pick(strategy, datastore)
        datastore.update_image_info(image, {"strategy": {"random": {"ts": 4e9}}})
        drawn.add(image)
    assert drawn == set("abcd")


def test_synthetic_images_are_never_offered(datastore, informative):
    for name in "abd":
        datastore.update_image_info(name, {"synthetic": True})
    for strategy in (First(), Random(np.random.default_rng(0)), informative.strategy):
        assert pick(strategy, datastore) == "c"


def test_the_image_the_model_is_least_sure_about_comes_first(datastore, informative, label):
    for image, entropy in (("a", 0.2), ("b", 0.9), ("c", 0.95)):
        informative.answers.record(image, "r", informative.version, entropy)
    assert informative.strategy({}, datastore) == {"id": "c", "entropy": 0.95}
    label("c", "b")
    # Never asked about counts more than answered with certainty.
    assert informative.strategy({}, datastore) == {"id": "d", "entropy": None}


def test_answers_of_an_earlier_model_do_not_count(datastore, informative):
    informative.answers.record("d", "r", "another version", 1.0)
    assert pick(informative.strategy, datastore) == "a"


def test_among_equals_a_patient_without_a_labelled_image_comes_first(datastore, informative, label):
    for image, patient in (("a", "p1"), ("b", "p1"), ("c", "p2")):
        record = {"image": image, "patient": patient, "simulated": False, "info": {}, "source": {}}
        (datastore.studies / f"{image}.series.json").write_text(json.dumps(record))
    label("a")
    assert pick(informative.strategy, datastore) == "c"


def test_without_a_model_it_offers_what_first_does(datastore, tmp_path):
    versions = Versions(Settings(home=tmp_path / "none", allow_starter=False))
    with pytest.raises(NoModelError):
        versions.champion()
    assert pick(MostInformative(datastore.studies, AnswerLog(tmp_path / "answers"), versions), datastore) == "a"
