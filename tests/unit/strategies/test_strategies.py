import json
import time
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from lesionlabel.datastore.cohort import ACTIVE_LEARNING
from lesionlabel.datastore.curated import CuratedDatastore
from lesionlabel.registry.versions import Versions
from lesionlabel.settings import Settings
from lesionlabel.strategies.by_model import ByModel
from lesionlabel.strategies.first import First
from lesionlabel.strategies.random import Random
from lesionlabel.strategies.ranking import RANKINGS, Seen
from lesionlabel.strategies.scoreboard import Scoreboard
from lesionlabel.strategies.states import state_of
from lesionlabel.strategies.views import DETECTED, View, Views


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


@pytest.fixture
def site(datastore, tmp_path, promote_untrained, monkeypatch):
    """A served model and what it says of images, put there instead of looked at: unsure is the margin's complement."""
    settings = Settings(home=tmp_path / "home", device="cpu")
    promote_untrained(settings)
    versions = Versions(settings)
    views = Views(settings.scores_folder, versions.champion())

    def put(image, unsure, place=(1.0, 0.0), *, found=True):
        first = 1 - unsure / 2
        seen = Seen(np.array([place]), np.array([[0.0, first, 1 - first]]), np.ones(1)) if found else None
        state = state_of(datastore, image, datastore.studies / f"{image}.nii.gz")
        views.put(image, View(state, "0" * 64, DETECTED, seen))

    scoreboard = Scoreboard(settings, versions)
    # These are no images: what would be found out of them is put there.
    monkeypatch.setattr(scoreboard, "complete", lambda board, image_ids: None)
    strategies = {name: ByModel(name, scoreboard) for name in RANKINGS}
    return SimpleNamespace(put=put, settings=settings, scoreboard=scoreboard, **strategies)


def pick(strategy, datastore) -> Any:
    """The id that a strategy picks, None when nothing is left."""
    sample = strategy({"strategy": "random"}, datastore)
    return None if sample is None else sample["id"]


def test_first_goes_through_the_unlabelled_and_ends_with_nothing(datastore, label, site):
    assert First()({}, datastore) == {"id": "a"}
    label("a", "b")
    assert First()({}, datastore) == {"id": "c"}
    label("c", "d")
    for strategy in (First(), Random(np.random.default_rng(0)), site.uncertainty):
        assert strategy({"strategy": "random"}, datastore) is None


def test_random_may_be_asked_again_at_once_and_reaches_every_image(datastore):
    strategy = Random(np.random.default_rng(0))
    drawn = set()
    for _ in range(60):
        image = pick(strategy, datastore)
        datastore.update_image_info(image, {"strategy": {"random": {"ts": 4e9}}})
        drawn.add(image)
    assert drawn == set("abcd")


def test_synthetic_images_are_never_offered(datastore, site):
    for name in "abd":
        site.put(name, 1.0)
        datastore.update_image_info(name, {"synthetic": True})
    for strategy in (First(), Random(np.random.default_rng(0)), site.uncertainty, site.diversity, site.uncertainty_and_diversity):
        assert pick(strategy, datastore) == "c"


def test_uncertainty_offers_what_the_model_is_least_sure_of_then_what_is_not_scored_then_what_holds_nothing(datastore, site):
    site.put("a", 0.0, found=False)
    site.put("b", 0.2)
    site.put("d", 0.9)
    sample = site.uncertainty({}, datastore)
    assert (sample["id"], sample["value"], sample["scored"], sample["unscored"]) == ("d", pytest.approx(0.9), 3, 1)
    assert "3 of 4 volumes" in sample["said"]
    assert json.dumps(sample)
    assert [pick(site.uncertainty, datastore) for _ in range(3)] == ["b", "c", "a"]


def test_diversity_offers_what_is_unlike_the_curated_and_then_unlike_what_was_just_offered(datastore, site, label):
    label("a")
    for image, place in (("a", (0.0, 0.0)), ("b", (1.0, 0.0)), ("c", (9.0, 0.0)), ("d", (9.5, 0.0))):
        site.put(image, 0.5, place)
    assert [pick(site.diversity, datastore) for _ in range(3)] == ["d", "b", "c"]


def test_both_passes_over_what_is_sure_and_what_is_like_the_last_offer(datastore, site):
    for image, unsure, place in (("a", 0.01, (0.0, 9.0)), ("b", 0.9, (3.0, 0.0)), ("c", 0.9, (3.1, 0.0)), ("d", 0.9, (0.0, 3.0))):
        site.put(image, unsure, place)
    assert [pick(site.uncertainty_and_diversity, datastore) for _ in range(2)] == ["c", "d"]


@pytest.mark.parametrize("name", RANKINGS)
def test_what_somebody_was_just_offered_comes_again_only_when_nothing_else_is_left(datastore, site, name):
    for place, image in enumerate("abcd"):
        site.put(image, 0.5 + place / 10)
    datastore.update_image_info("d", {"strategy": {"first": {"ts": int(time.time()) - 60}}})
    strategy = getattr(site, name)
    drawn = [pick(strategy, datastore) for _ in range(4)]
    assert sorted(drawn[:3]) == ["a", "b", "c"]
    assert drawn[3] == "d"
    later = ByModel(name, site.scoreboard, lambda: time.time() + 3600)
    assert pick(later, datastore) == pick(later, datastore)


def test_another_patients_volume_comes_before_a_second_one_of_a_labelled_patient(datastore, site, label):
    for image, patient in (("a", "p1"), ("b", "p1"), ("c", "p2")):
        record = {"image": image, "patient": patient, "simulated": False, "info": {}, "source": {}}
        (datastore.studies / f"{image}.series.json").write_text(json.dumps(record))
    label("a", "d")
    site.put("b", 1.0)
    site.put("c", 0.1)
    assert [pick(site.uncertainty, datastore) for _ in range(2)] == ["c", "b"]


def test_the_gate_knows_what_a_model_chose(datastore, site):
    for name in RANKINGS:
        image = pick(getattr(site, name), datastore)
        assert ACTIVE_LEARNING & set(datastore.get_image_info(image)["strategy"])


def test_nothing_makes_the_gate_forget_that_a_model_chose(datastore, site):
    image = pick(site.uncertainty, datastore)
    for said in ({"strategy": {}}, {"strategy": None}, {"strategy": {"random": {"ts": 1}}}):
        datastore.update_image_info(image, said)
    assert set(datastore.get_image_info(image)["strategy"]) == {"uncertainty", "random"}


def test_a_view_of_another_file_or_model_is_not_used(datastore, site):
    site.put("d", 0.9)
    (datastore.studies / "d.nii.gz").write_bytes(b"another image")
    assert site.uncertainty({}, datastore)["scored"] == 0
    site.put("c", 0.9)
    (site.settings.scores_folder / "none").mkdir()
    [kept] = site.settings.scores_folder.glob("*/c.npz")
    kept.write_bytes(b"half a fi")
    assert site.uncertainty({}, datastore)["scored"] == 0


def test_without_a_model_it_offers_by_id_and_says_so(datastore, tmp_path):
    settings = Settings(home=tmp_path / "none", allow_starter=False)
    strategy = ByModel("uncertainty", Scoreboard(settings, Versions(settings)))
    sample = strategy({}, datastore) or {}
    assert (sample["id"], sample["model"]) == ("a", None)
    assert "No model serves" in sample["said"]
