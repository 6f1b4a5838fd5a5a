import hashlib
import json

import numpy as np
import pytest

from lesionlabel.augment.classic import originals
from lesionlabel.evaluation.crossval import Recipe
from lesionlabel.evaluation.metrics import Interval
from lesionlabel.evaluation.prediction_set import PredictionSets
from lesionlabel.lesions.errors import IntegrityError
from lesionlabel.registry import retrain
from lesionlabel.registry.bundle import load_classifier, save_bundle
from lesionlabel.registry.certainty import NOT_TESTED, familiar_to, prediction_sets_of
from lesionlabel.registry.familiar_file import FAMILIAR_NAME
from lesionlabel.registry.versions import starter_folder
from lesionlabel.training.classifier import ClassifierConfig

SETS = PredictionSets(0.9, 66, 33, False, (0.6, 0.6, 0.6), (0.8, 0.97), None)
ALARMS = Interval(0.05, 0.02, 0.12, 66.0)


@pytest.fixture
def cohort(cohort_of):
    return cohort_of(66)


@pytest.fixture
def bundle(tmp_path, network, manifest_of, cohort):
    patients = tuple(sorted({*cohort.patients, "seen-by-a-generator"}))
    manifest = manifest_of(prediction_sets=SETS, false_alarms=ALARMS, patients=patients)
    save_bundle(tmp_path / "bundle", network, manifest, "", familiar_to(network, cohort, patients))
    return tmp_path / "bundle"


def test_a_version_comes_back_with_its_sets_lesions_and_false_alarms(bundle, cohort):
    classifier = load_classifier(bundle)
    assert classifier.manifest.prediction_sets == SETS
    assert classifier.manifest.false_alarms == ALARMS
    assert classifier.familiar is not None
    features, probabilities = classifier.look(originals(cohort)[:, 0].numpy())
    assert np.allclose(classifier.familiar.features, features, atol=1e-5)
    assert np.allclose(probabilities, classifier.probabilities(originals(cohort)[:, 0].numpy()))
    card = (bundle / "docs/README.md").read_text()
    assert "66 lesions of 33 patients" in card
    assert "5.0 % [2.0, 12.0]" in card


def test_a_lesion_is_known_again_but_not_for_its_own_patient(bundle, cohort):
    classifier = load_classifier(bundle)
    features, _ = classifier.look(originals(cohort)[:1, 0].numpy())
    assert classifier.percentile(features[0]) == 0
    assert classifier.percentile(features[0], "a stranger") == 0
    assert classifier.familiar is not None
    own = classifier.percentile(features[0], cohort.patients[0])
    rank = 100 * np.mean(classifier.familiar.scale < classifier.familiar.scale[0])
    assert own == pytest.approx(rank, abs=3.1)


def test_features_of_lesions_that_were_exchanged_are_refused(bundle):
    path = bundle / FAMILIAR_NAME
    path.write_bytes(path.read_bytes()[:-4] + b"\1\2\3\4")
    with pytest.raises(IntegrityError, match="does not match the hash"):
        load_classifier(bundle)


def test_what_holds_no_features_is_refused_though_its_hash_is_right(bundle):
    path, manifest = bundle / FAMILIAR_NAME, bundle / "manifest.json"
    path.write_bytes(b"no safetensors")
    content = json.loads(manifest.read_text())
    content["files"][FAMILIAR_NAME] = hashlib.sha256(b"no safetensors").hexdigest()
    manifest.write_text(json.dumps(content))
    with pytest.raises(IntegrityError, match="does not hold the features"):
        load_classifier(bundle)


def test_a_version_from_before_has_none_and_still_answers(tmp_path, network, manifest, cohort):
    save_bundle(tmp_path / "old", network, manifest)
    content = json.loads((tmp_path / "old" / "manifest.json").read_text())
    del content["prediction_sets"], content["false_alarms"]
    (tmp_path / "old" / "manifest.json").write_text(json.dumps(content))
    classifier = load_classifier(tmp_path / "old")
    features, _ = classifier.look(originals(cohort)[:1, 0].numpy())
    assert classifier.manifest.prediction_sets is None
    assert classifier.percentile(features[0]) is None
    assert "keeps neither prediction sets" in (tmp_path / "old" / "docs/README.md").read_text()


def test_the_starter_carries_both_and_its_set_is_the_one_of_its_out_of_fold_answers():
    starter = load_classifier(starter_folder())
    sets = starter.manifest.prediction_sets
    assert sets is not None
    assert starter.familiar is not None
    assert starter.manifest.false_alarms is not None
    assert (sets.lesions, sets.patients, sets.per_class) == (182, 129, True)
    assert len(starter.familiar.features) == 182
    assert len(np.unique(starter.familiar.patients)) == 129
    assert starter.manifest.false_alarms.of == 300


def test_training_keeps_what_its_folds_have_found(settings, cohort_of, monkeypatch):
    tiny = Recipe("tiny", 0, 3, ClassifierConfig(epochs=None, steps=2, batch=8))
    monkeypatch.setattr(retrain, "PROFILES", {**retrain.PROFILES, "tiny": tiny})
    cohort = cohort_of(96)
    info, trained = retrain.train_version(cohort, settings, "tiny", 1)
    classifier = load_classifier(info.folder)
    assert trained.report is not None
    assert classifier.familiar is not None
    assert classifier.manifest.false_alarms is not None
    assert classifier.manifest.prediction_sets == prediction_sets_of(trained.report.out_of_fold)
    assert prediction_sets_of(trained.report.out_of_fold).lesions == 96
    assert len(classifier.familiar.features) == 96
    assert classifier.manifest.false_alarms.of == 96


def test_lesions_decided_with_the_answer_in_sight_make_no_set(settings, cohort_of, monkeypatch):
    tiny = Recipe("tiny", 0, 3, ClassifierConfig(epochs=None, steps=2, batch=8))
    monkeypatch.setattr(retrain, "PROFILES", {**retrain.PROFILES, "tiny": tiny})
    info, _ = retrain.train_version(cohort_of(63, saw_model=True), settings, "tiny", 1)
    assert info.manifest.prediction_sets == NOT_TESTED
    familiar = load_classifier(info.folder).familiar
    assert familiar is not None
    assert familiar.measures
