import dataclasses

import numpy as np
import pytest

from lesionlabel.evaluation.crossval import Recipe
from lesionlabel.jobs.gate_page import gate_page
from lesionlabel.lesions.cohort import Cohort
from lesionlabel.lesions.errors import InputError, IntegrityError
from lesionlabel.registry import retrain
from lesionlabel.registry.compare import compare_with_champion
from lesionlabel.registry.locked import LockedPatients
from lesionlabel.registry.retrain import PROFILES, train_version
from lesionlabel.registry.versions import Versions
from lesionlabel.training.classifier import ClassifierConfig

NAMES = ("cyst", "metastasis", "hemangioma")
TINY = Recipe("tiny", 0, 3, ClassifierConfig(epochs=None, steps=4, batch=8))


@pytest.fixture(autouse=True)
def tiny_profile(monkeypatch):
    monkeypatch.setattr(retrain, "PROFILES", {**PROFILES, "tiny": TINY})


@pytest.fixture(autouse=True)
def key(settings):
    """A key of its own for each test would lock other patients each time."""
    settings.home.mkdir(parents=True, exist_ok=True)
    (settings.home / "pseudonym.key").write_text("ab" * 32)


def train(cohort, settings, seed=0):
    return train_version(cohort, settings, "tiny", seed)[0].version


def test_without_locked_patients_recipes_are_compared_and_two_people_decide(settings, cohort_of):
    versions = Versions(settings)
    champion = train(cohort_of(36), settings)
    versions.promote(champion, "an admin", "the first")
    candidate = train(cohort_of(48), settings, seed=1)
    with pytest.raises(InputError, match=f"was not compared with {champion}.*models compare {candidate}"):
        versions.promote(candidate, "an admin", "newer")
    decision, tested = compare_with_champion(settings, candidate)
    assert (decision.evidence, decision.regime, decision.lesions) == ("recipes", "C", dict.fromkeys(NAMES, 16))
    assert len(tested) == 48
    # The champion has seen 36 of the 48 patients. Its weights are never asked about them: the recipe, which is the same, runs
    # again on the candidate's folds and seed, and so there is no difference.
    assert not decision.won
    assert not decision.lost
    # Asked again it is the same decision, and no other candidate on this snapshot is compared.
    assert compare_with_champion(settings, candidate)[0] == decision
    other = train(cohort_of(48), settings, seed=2)
    with pytest.raises(InputError, match="One candidate a snapshot"):
        compare_with_champion(settings, other)

    with pytest.raises(InputError, match="Give --reader, another person"):
        versions.promote(candidate, "an admin", "newer")
    with pytest.raises(InputError, match="another person than --by"):
        versions.promote(candidate, "an admin", "newer", reader="An Admin")
    versions.promote(candidate, "an admin", "newer", reader="a reader")
    assert versions.champion().version == candidate
    entry = versions.promotions()[-1]
    assert (entry["gate"], entry["reader"]) == ("not enough evidence", "a reader")
    # Back to what served before: no test.
    versions.promote(champion, "an admin", "back")
    with pytest.raises(InputError, match="serves already"):
        compare_with_champion(settings, champion)


def test_an_override_is_recorded_as_such(settings, cohort_of):
    versions = Versions(settings)
    versions.promote(train(cohort_of(36), settings), "an admin", "the first")
    candidate = train(cohort_of(48), settings, seed=1)
    versions.promote(candidate, "an admin", "the old one cannot be used", override=True)
    entry = versions.promotions()[-1]
    assert (entry["gate"], entry["override"], entry["reason"]) == ("not compared", True, "the old one cannot be used")


def test_locked_patients_never_train_and_weights_are_tested_on_them(settings, cohort_of):
    versions = Versions(settings)
    early = cohort_of(90)
    assert not LockedPatients(settings).cut(early).any()
    champion = train(early, settings)
    versions.promote(champion, "an admin", "the first")

    grown = cohort_of(450)
    candidate = train(grown, settings, seed=1)
    locked = LockedPatients(settings).of(grown)
    assert 0.2 < locked.mean() < 0.45
    seen = set(versions.get(candidate).manifest.patients)
    assert seen == {patient for patient, apart in zip(grown.patients, locked, strict=True) if not apart}
    assert versions.get(candidate).manifest.config["locked_patients"] == locked.sum()
    decision, tested = compare_with_champion(settings, candidate)
    assert decision.evidence == "locked"
    assert decision.regime == "B"
    assert sum(decision.lesions.values()) == len(tested) == locked.sum()
    assert not set(tested.patients) & seen
    page, text = gate_page(decision, tested)
    assert all(swap.lesion_id in page for swap in (*decision.won, *decision.lost))
    assert "Regime B, look 1" in text
    # Locked is for ever, also where a later cohort has fewer lesions, or the patient more of them.
    assert LockedPatients(settings).cut(early).tolist() == locked[:90].tolist()
    # What was trained before the cut has seen them, and is not tested on them.
    late = train(cohort_of(451), settings, seed=3)
    manifest = versions.get(late).manifest
    assert not set(manifest.patients) & set(tested.patients)
    moved = dataclasses.replace(manifest, patients=tuple(early.patients), version="20260101T000000Z-cccccccc")
    versions.add(versions.load(versions.get(late).folder)._network, moved)
    with pytest.raises(InputError, match="trained before patients were locked"):
        compare_with_champion(settings, moved.version)


def test_a_damaged_list_of_locked_patients_stops_training(settings, cohort_of):
    (settings.home / "locked.json").write_text("{ half")
    with pytest.raises(IntegrityError, match="whose lesions must not train"):
        train(cohort_of(36), settings)


def test_a_candidate_that_learned_from_shuffled_labels_fails_and_is_not_promoted(settings, cohort_of, monkeypatch):
    learns = Recipe("learns", 0, 3, ClassifierConfig(epochs=None, steps=60, batch=12, learning_rate=0.01))
    monkeypatch.setattr(retrain, "PROFILES", {**PROFILES, "learns": learns})
    versions = Versions(settings)
    good = cohort_of(450)
    champion = train_version(good, settings, "learns", 0)[0].version
    versions.promote(champion, "an admin", "the first")
    # The labels of those who train are dealt anew; those of locked patients, who test, are right.
    locked = LockedPatients(settings).of(good)
    labels = np.array([lesion.label for lesion in good])
    labels[~locked] = np.random.default_rng(0).permutation(labels[~locked])
    bad = Cohort(tuple(dataclasses.replace(x, label=str(label)) for x, label in zip(good, labels, strict=True)), NAMES)
    candidate = train_version(bad, settings, "learns", 0)[0].version
    decision, _ = compare_with_champion(settings, candidate)
    assert (decision.evidence, decision.regime, decision.outcome) == ("locked", "B", "fail")
    assert any("shown to be worse" in reason for reason in decision.reasons)
    assert len(decision.lost) > 50
    with pytest.raises(InputError, match=rf"{candidate} failed against {champion}.*shown to be worse"):
        versions.promote(candidate, "an admin", "newer", reader="a reader")
    assert versions.champion().version == champion
