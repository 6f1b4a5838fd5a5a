import json
import shutil
from dataclasses import replace

import numpy as np
import pytest

from lesionlabel.evaluation.prediction_set import PredictionSets
from lesionlabel.infers.asked import read_request
from lesionlabel.infers.certainty import OWN_MAY_COUNT, prediction_set, unlike
from lesionlabel.infers.desk import Desk
from lesionlabel.registry.bundle import load_classifier
from lesionlabel.registry.versions import starter_folder
from lesionlabel.settings import Settings

CYST = {"point": [35, 45, 12], "diameter_mm": 28, "override_phase": True}
P = np.array([0.5, 0.3, 0.2])


@pytest.fixture(scope="module")
def starter():
    return load_classifier(starter_folder())


@pytest.fixture
def with_sets(starter, monkeypatch):
    """A function that gives the starter other prediction sets."""

    def change(sets):
        monkeypatch.setattr(starter, "manifest", replace(starter.manifest, prediction_sets=sets))
        return starter

    return change


def test_an_answer_names_its_set_with_what_it_rests_on(with_sets):
    said = prediction_set(with_sets(PredictionSets(0.9, 60, 60, False, (0.7, 0.7, 0.7), (0.833, 0.956))), P)
    assert said["classes"] == ["cyst", "metastasis"]
    assert (said["nominal"], said["achieved"], said["lesions"]) == (0.9, [0.83, 0.96], 60)
    assert "cyst or metastasis" in said["sentence"]
    assert "83% to 96%" in said["sentence"]
    assert "simulated lesions" in said["sentence"]
    alone = prediction_set(with_sets(PredictionSets(0.9, 60, 60, False, (0.1, 0.1, 0.1), (0.833, 0.956))), P)
    assert alone["classes"] == ["cyst"]


@pytest.mark.parametrize(
    ("sets", "sentence"),
    [
        (None, "trained before they were kept"),
        (PredictionSets(0.9, 59, 40, why_not="too few cases: 59 lesions may be tested, at least 60 are needed"), "too few cases"),
    ],
)
def test_without_a_set_it_is_said_why(with_sets, sets, sentence):
    said = prediction_set(with_sets(sets), P)
    assert said["classes"] is None
    assert said["achieved"] is None
    assert sentence in said["sentence"]


def test_far_is_warned_about_and_near_is_never_called_usual(starter):
    near, far = starter.familiar.features[3].astype(float), np.full(256, 30.0)
    quiet, warned = unlike(starter, near, None), unlike(starter, far, None)
    assert (quiet["warn"], warned["warn"], warned["percentile"]) == (False, True, 100)
    assert "Unlike anything curated" in warned["sentence"]
    assert starter.manifest.false_alarms.percent() in warned["sentence"]
    assert warned["false_alarms"]["of"] == 300
    assert "does not mean that it is one of the classes" in quiet["sentence"]
    for word in ("in distribution", "in-distribution", "familiar", "similar"):
        assert word not in quiet["sentence"].lower()


@pytest.mark.parametrize("features", [3, 30.0], ids=["near", "far"])
def test_where_the_patient_is_not_known_it_is_said_that_own_lesions_may_count(starter, monkeypatch, features):
    row = starter.familiar.features[3].astype(float) if features == 3 else np.full(256, features)
    assert OWN_MAY_COUNT not in unlike(starter, row, None)["sentence"]  # the phantom's lesions are nobody's
    monkeypatch.setattr(starter, "trained_on", "patients")
    for unknown in (None, "image-case"):
        assert OWN_MAY_COUNT in unlike(starter, row, unknown)["sentence"]
    assert OWN_MAY_COUNT not in unlike(starter, row, "P0123456789")["sentence"]


def test_the_demo_answers_with_both_and_a_refusal_with_neither(ct, tmp_path):
    desk = Desk(Settings(home=tmp_path / "home", device="cpu"))
    given = desk.answer(ct, read_request(CYST)).json
    assert set(given["prediction_set"]["classes"]) <= {"cyst", "metastasis", "hemangioma"}
    assert 0 <= given["unlike"]["percentile"] <= 100
    assert given["prediction_set"]["sentence"] in given["reader_notes"]
    assert given["unlike"]["sentence"] in given["reader_notes"]
    refused = desk.answer(ct, read_request({**CYST, "diameter_mm": 6})).json
    assert refused["prediction_set"]["classes"] is None
    assert refused["unlike"]["percentile"] is None
    assert refused["unlike"]["warn"] is False


def test_a_patient_who_trained_is_not_known_again_by_the_own_lesion(ct, tmp_path, starter):
    """The image of a patient whose lesions trained is compared with the lesions of the others."""
    shutil.copy(ct, tmp_path / "case.nii.gz")
    record = {"image": "case", "patient": starter.manifest.patients[0], "simulated": True, "info": {}, "source": {}}
    (tmp_path / "case.series.json").write_text(json.dumps(record))
    assert Desk(Settings(home=tmp_path / "home")).open(tmp_path / "case.nii.gz").patient == starter.manifest.patients[0]
    number = int(starter.familiar.patients[0])
    own = starter.familiar.features[0].astype(float)
    assert starter.percentile(own) == 0
    assert starter.percentile(own, starter.manifest.patients[number]) > 0
