"""The gate's steps of a job, done as a worker does them, also twice and while others promote."""

import shutil
from dataclasses import replace

import pytest

from lesionlabel.evaluation.crossval import Recipe
from lesionlabel.jobs import retraining
from lesionlabel.jobs.jobs import Jobs
from lesionlabel.jobs.work import Work
from lesionlabel.registry import retrain
from lesionlabel.registry.compare import prepare
from lesionlabel.registry.gate import GateOutcome
from lesionlabel.registry.gate_records import GateRecords
from lesionlabel.registry.retrain import PROFILES, train_version
from lesionlabel.registry.versions import Versions
from lesionlabel.settings import Settings
from lesionlabel.training.classifier import ClassifierConfig
from lesionlabel.training.hooks import never_stop, no_progress

TINY = Recipe("tiny", 0, 3, ClassifierConfig(epochs=None, steps=4, batch=8))


@pytest.fixture(scope="module")
def trained(tmp_path_factory, cohort_of):
    """A home with what serves, another that served before it, and a candidate, of patients apart."""
    settings = Settings(home=tmp_path_factory.mktemp("trained") / "home", device="cpu")
    versions = Versions(settings)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(retrain, "PROFILES", {**PROFILES, "tiny": TINY})
        # Of seeds of their own: the same weights made within one second would be one version.
        for seed, prefix in enumerate(("a", "b"), start=2):
            version = train_version(cohort_of(18, prefix), settings, "tiny", seed)[0].version
            versions.promote(version, "an admin", "a drill", override=True)
        train_version(cohort_of(24, "c"), settings, "tiny", 1)
    return settings.home


@pytest.fixture
def work(trained, tmp_path):
    shutil.copytree(trained, tmp_path / "home")
    settings = Settings(home=tmp_path / "home", device="cpu", auto_promote=True)
    return Work(settings, Jobs(settings), "a")


@pytest.fixture
def versions(work):
    return Versions(work.settings)


def begin(work, version):
    return retraining.begin_gate(work, no_progress, never_stop, "job-1", version)


def decide(work, version, champion, may_promote=True):
    return retraining.decide(work, no_progress, never_stop, version, champion, None, may_promote)


def passes(work, version, **changes):
    """Keep a decision for the version as if it had passed in regime A."""
    comparison = prepare(work.settings, version)
    decision = replace(comparison.decide(None), regime="A", outcome=GateOutcome.PASS, reasons=("A drill.",), **changes)
    GateRecords(work.settings).add(decision, comparison.tested)


def test_where_another_serves_meanwhile_nothing_is_decided_against_the_wrong_one(work, versions):
    [candidate] = [info.version for info in versions.candidates()]
    began = begin(work, candidate)
    assert began["rerun"] is None
    versions.rollback("an admin", "meanwhile")
    decided = decide(work, candidate, began["champion"])
    assert decided["outcome"] == "not compared"
    assert f"no longer {began['champion']}" in decided["reasons"][0]
    assert not (work.settings.home / "gate.jsonl").exists()


def test_an_automatic_promotion_is_done_once_however_often_the_step_is(work, versions):
    [candidate] = [info.version for info in versions.candidates()]
    champion = versions.champion().version
    passes(work, candidate)
    # A comparison that somebody asks for decides, and promotes nothing.
    assert decide(work, candidate, champion, may_promote=False)["promoted"] is False
    assert versions.champion().version == champion
    first = decide(work, candidate, champion)
    assert (first["outcome"], first["promoted"]) == ("pass", True)
    assert versions.champion().version == candidate
    # Killed before that was noted, the step is done again, and says the same.
    assert decide(work, candidate, champion) == first
    assert len(versions.promotions()) == 3
    # What a person has taken back stays back.
    versions.rollback("an admin", "readers saw trouble")
    assert decide(work, candidate, champion)["promoted"] is False
    assert versions.champion().version == champion


def test_where_lesions_left_the_test_since_the_answer_a_person_decides(work, versions):
    [candidate] = [info.version for info in versions.candidates()]
    champion = versions.champion().version
    passes(work, candidate, dropped=2)
    decided = decide(work, candidate, champion)
    assert (decided["promoted"], versions.champion().version) == (False, champion)
    assert "2 lesion(s) that were decided blind count no more" in decided["reasons"][-1]


def test_in_regime_b_or_where_it_is_not_configured_nothing_is_promoted(work, versions):
    [candidate] = [info.version for info in versions.candidates()]
    champion = versions.champion().version
    passes(work, candidate)
    work.settings = Settings(home=work.settings.home, device="cpu")
    assert decide(work, candidate, champion)["promoted"] is False


def test_what_stands_against_a_promotion_is_a_reason_and_no_failure(work, versions):
    [candidate] = [info.version for info in versions.candidates()]
    champion = versions.champion().version
    passes(work, candidate)
    versions.retire(candidate, "an admin", "it was trained by mistake")
    decided = decide(work, candidate, champion)
    assert decided["promoted"] is False
    assert "is retired" in decided["reasons"][-1]


def test_a_comparison_that_cannot_be_made_says_why_without_folders(work, versions):
    [candidate] = [info.version for info in versions.candidates()]
    for path in work.settings.snapshots_folder.iterdir():
        path.unlink()
    began = begin(work, candidate)
    assert began["outcome"] == "not compared"
    assert "is gone" in began["reasons"][0]
    assert str(work.settings.home) not in began["reasons"][0]
