import json
import threading
from dataclasses import replace

import numpy as np
import pytest

from lesionlabel.lesions.classes import DEFAULT_CLASSES
from lesionlabel.lesions.errors import InputError, IntegrityError, NoModelError, NotFoundError
from lesionlabel.registry import versions as versions_module
from lesionlabel.registry.bundle import save_bundle
from lesionlabel.registry.gate import GateOutcome, Sides, decide
from lesionlabel.registry.gate_records import GateRecords
from lesionlabel.registry.versions import Versions

FIRST, SECOND = "20260101T000000Z-aaaaaaaa", "20260102T000000Z-bbbbbbbb"


@pytest.fixture
def versions(settings, network_of, manifest_of):
    versions = Versions(settings)
    versions.add(network_of(1), manifest_of(FIRST))
    versions.add(network_of(2), manifest_of(SECOND))
    return versions


@pytest.fixture
def starter(tmp_path, monkeypatch, network_of, manifest_of):
    """Stands for the packaged starter, so that these tests do not depend on which weights are shipped."""
    folder = tmp_path / "starter"
    save_bundle(folder, network_of(9), manifest_of("starter-0", trained_on="phantom"))
    monkeypatch.setattr(versions_module, "starter_folder", lambda: folder)
    return folder


def test_training_alone_changes_nothing_that_serves(versions, starter):
    assert versions.champion().version == "starter-0"
    assert [info.version for info in versions.candidates()] == [SECOND, FIRST]


def test_promotion_is_seen_by_the_next_call_and_by_other_processes(versions, starter, settings):
    other = Versions(settings)
    assert other.champion().version == "starter-0"
    versions.promote(FIRST, "an admin", "better")
    assert versions.champion().version == other.champion().version == FIRST
    versions.promote(SECOND, "an admin", "better still", override=True)
    assert other.champion().version == SECOND
    assert [(i.version, i.is_champion, i.was_promoted) for i in other.list()] == [(FIRST, False, True), (SECOND, True, True)]
    assert other.champion() is other.champion()


def test_rolling_back_is_a_promotion_and_every_one_stays_on_record(versions, starter):
    for version, reason in ((FIRST, "first"), (SECOND, "second"), (FIRST, "roll back")):
        versions.promote(version, "an admin", reason, override=version == SECOND)
    assert versions.champion().version == FIRST
    assert [(e["previous"], e["version"], e["reason"]) for e in versions.promotions()] == [
        (None, FIRST, "first"),
        (FIRST, SECOND, "second"),
        (SECOND, FIRST, "roll back"),
    ]


def test_rollback_goes_to_what_served_before_and_back(versions, starter):
    with pytest.raises(InputError, match="nothing to go back to"):
        versions.rollback("an admin", "worse")
    versions.promote(FIRST, "an admin", "first")
    with pytest.raises(InputError, match="nothing to go back to"):
        versions.rollback("an admin", "worse")
    versions.promote(SECOND, "an admin", "second", override=True)
    assert versions.rollback("an admin", "worse").version == versions.champion().version == FIRST
    assert versions.rollback("an admin", "after all").version == versions.champion().version == SECOND


def test_a_retired_version_never_serves_again(versions, starter):
    versions.promote(FIRST, "an admin", "first")
    with pytest.raises(InputError, match="serves"):
        versions.retire(FIRST, "an admin", "old")
    versions.promote(SECOND, "an admin", "second", override=True)
    versions.retire(FIRST, "an admin", "trained on wrong labels")
    assert versions.get(FIRST).is_retired
    assert FIRST not in [info.version for info in versions.candidates()]
    with pytest.raises(InputError, match="is retired"):
        versions.promote(FIRST, "an admin", "back", override=True)
    with pytest.raises(InputError, match="nothing to go back to"):
        versions.rollback("an admin", "back")
    assert versions.champion().version == SECOND


def test_a_record_cut_short_by_a_power_cut_loses_only_that_line(versions, starter):
    versions.promote(FIRST, "an admin", "first")
    with (versions.folder / "promotions.jsonl").open("ab") as record:
        record.write(b'{"time": "2026')
    versions.promote(SECOND, "an admin", "second", override=True)
    assert [e["version"] for e in versions.promotions()] == [FIRST, SECOND]


def test_a_phantom_version_never_replaces_one_trained_on_patients(versions, starter, network_of, manifest_of):
    versions.add(network_of(3), manifest_of("phantom-version", trained_on="phantom"))
    versions.promote("phantom-version", "an admin", "nothing better yet")
    versions.promote(FIRST, "an admin", "patients", override=True)
    with pytest.raises(InputError, match="phantom"):
        versions.promote("phantom-version", "an admin", "back")
    assert versions.champion().version == FIRST


def test_other_classes_or_no_evaluation_cannot_be_promoted(versions, starter, network_of, manifest_of):
    versions.add(network_of(3, n_classes=2), manifest_of("two", class_counts={"cyst": 1, "abscess": 1}))
    versions.add(network_of(3), manifest_of("order", class_counts={"metastasis": 1, "cyst": 1, "hemangioma": 1}))
    versions.add(network_of(3), manifest_of("unseen", evaluation=None))
    for version, why in (("two", "abscess"), ("order", "metastasis, cyst"), ("unseen", "out-of-fold")):
        with pytest.raises(InputError, match=why):
            versions.promote(version, "an admin", "try")
    with pytest.raises(NotFoundError, match=FIRST):
        versions.promote("no-such", "an admin", "try")
    with pytest.raises(NotFoundError):
        versions.promote("../home", "an admin", "try")
    with pytest.raises(InputError, match="reason"):
        versions.promote(FIRST, "an admin", " ")
    assert versions.promotions() == ()
    assert versions.champion().version == "starter-0"


def test_a_changed_champion_is_refused_even_when_its_own_hashes_fit(versions, starter, settings):
    versions.promote(FIRST, "an admin", "first")
    path = versions.folder / FIRST / "manifest.json"
    content = json.loads(path.read_text())
    content["temperature"] = 0.01
    path.write_text(json.dumps(content))
    with pytest.raises(IntegrityError, match="changed since"):
        Versions(settings).champion()


def test_a_damaged_version_cannot_be_promoted_and_does_not_hide_the_others(versions, starter):
    weights = versions.folder / FIRST / "models/model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\xff")
    with pytest.raises(IntegrityError, match=r"model\.safetensors"):
        versions.promote(FIRST, "an admin", "try")
    (versions.folder / FIRST / "manifest.json").write_text("{")
    assert [info.version for info in versions.list()] == [SECOND]
    assert versions.damaged() == (FIRST,)


def test_a_damaged_pointer_serves_nothing_until_a_version_is_promoted_again(versions, starter):
    versions.promote(FIRST, "an admin", "first")
    (versions.folder / "champion.json").write_text("{")
    with pytest.raises(IntegrityError, match="Promote a version again"):
        versions.champion()
    versions.promote(FIRST, "an admin", "mend")
    assert versions.champion().version == FIRST


def test_without_a_starter_there_is_no_model(versions, starter, settings, tmp_path):
    off = settings.model_copy(update={"allow_starter": False})
    with pytest.raises(NoModelError, match="LESIONLABEL_ALLOW_STARTER"):
        Versions(off).champion()
    classes = tmp_path / "classes.toml"
    classes.write_text(
        "".join(
            f'[[class]]\nname = "{name}"\nsnomed = "1"\nmeaning = "x"\nbenign = true\ncolour = [1, 2, 3]\n'
            for name in ("cyst", "abscess")
        )
    )
    other = type(settings)(home=settings.home, class_file=classes, device="cpu")
    with pytest.raises(NoModelError, match="does not fit"):
        Versions(other).champion()
    versions.promote(FIRST, "an admin", "first")
    with pytest.raises(NoModelError, match="abscess"):
        Versions(other).champion()


def test_a_missing_starter_is_no_model(settings, tmp_path, monkeypatch):
    monkeypatch.setattr(versions_module, "starter_folder", lambda: tmp_path / "none")
    with pytest.raises(NoModelError, match="No trained model"):
        Versions(settings).champion()
    assert Versions(settings).list() == ()


def test_version_names_are_never_overwritten(versions, network, manifest_of):
    with pytest.raises(InputError, match="never overwritten"):
        versions.add(network, replace(manifest_of(FIRST), seed=7))


def test_of_two_promotions_at_once_one_wins_and_the_other_is_told(
    versions, starter, settings, network_of, manifest_of, cohort_of
):
    versions.promote(FIRST, "an admin", "first")
    third = "20260103T000000Z-dddddddd"
    versions.add(network_of(3), manifest_of(third))
    cohort = cohort_of(6)
    sides = Sides(cohort, np.zeros((6, 3)), np.zeros((6, 3)))
    for version in (SECOND, third):
        named = {"candidate": version, "champion": FIRST, "snapshot": version, "simulated": False}
        decision = decide(sides, DEFAULT_CLASSES, "locked", 1, **named)
        GateRecords(settings).add(replace(decision, outcome=GateOutcome.PASS), cohort)
    said = {}

    def promote(version):
        try:
            Versions(settings).promote(version, f"admin of {version}", "it passed")
        except InputError as error:
            said[version] = str(error)

    both = [threading.Thread(target=promote, args=(version,)) for version in (SECOND, third)]
    for one in both:
        one.start()
    for one in both:
        one.join()
    winner = versions.champion().version
    assert {winner, *said} == {SECOND, third}
    assert len(said) == 1
    assert f"was not compared with {winner}, which serves" in next(iter(said.values()))
    assert [entry["version"] for entry in versions.promotions()] == [FIRST, winner]


def test_a_reader_accepts_each_lesion_by_name_and_is_not_the_one_who_promotes(versions, starter, settings, cohort_of):
    versions.promote(FIRST, "an admin", "first")
    cohort = cohort_of(300)
    right = 2.0 * np.eye(3)[cohort.labels]
    candidate = right.copy()
    harmed = np.flatnonzero(cohort.labels == DEFAULT_CLASSES.names.index("metastasis"))[:2]
    candidate[harmed] = 2.0 * np.eye(3)[DEFAULT_CLASSES.names.index("cyst")]
    named = {"candidate": SECOND, "champion": FIRST, "snapshot": "ab", "simulated": False}
    decision = decide(Sides(cohort, candidate, right), DEFAULT_CLASSES, "locked", 1, **named)
    assert (decision.outcome, decision.without_harm) == (GateOutcome.FAIL, GateOutcome.PASS)
    GateRecords(settings).add(decision, cohort)
    both = [cohort.lesions[i].lesion_id for i in harmed]
    for reader, accepts in (("", both), ("An Admin", both), ("a reader", both[:1]), ("a reader", ())):
        with pytest.raises(InputError, match="failed against"):
            versions.promote(SECOND, "an admin", "better", reader=reader, accepts=accepts)
    versions.promote(SECOND, "an admin", "better", reader="a reader", accepts=both)
    assert versions.promotions()[-1]["accepts"] == sorted(both)


def test_a_new_champion_is_swapped_in_while_others_ask_and_each_answer_is_of_one_version(settings, network_of, manifest_of):
    from concurrent.futures import ThreadPoolExecutor

    versions = Versions(settings)
    names = [f"2026010{day}T000000Z-aaaaaaa{day}" for day in (1, 2, 3)]
    for seed, name in enumerate(names):
        versions.add(network_of(seed), manifest_of(name))
    expected = {name: versions.load(versions.get(name).folder).logits(np.full((1, 64, 64), 0.4, np.float32)) for name in names}
    versions.promote(names[0], "an admin", "first")
    serving = Versions(settings)
    serving.champion()
    stop: list[bool] = []

    def ask() -> list[str]:
        answered = []
        while not stop:
            model = serving.champion()
            assert np.array_equal(model.logits(np.full((1, 64, 64), 0.4, np.float32)), expected[model.version])
            answered.append(model.version)
        return answered

    with ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(ask) for _ in range(4)]
        for name in names[1:]:
            versions.promote(name, "an admin", "next", override=True)
            while serving.champion().version != name:
                pass
        stop.append(True)
        seen = [one.result(30) for one in asked]
    for answered in seen:
        # Never back to an earlier one.
        assert answered == sorted(answered)


@pytest.mark.parametrize("harm", ["weights", "gone", "pointer"])
def test_where_the_new_one_cannot_be_loaded_the_one_before_goes_on_and_it_is_said(settings, network_of, manifest_of, harm):
    import shutil

    versions, names = Versions(settings), ["20260101T000000Z-aaaaaaaa", "20260102T000000Z-bbbbbbbb"]
    for seed, name in enumerate(names):
        versions.add(network_of(seed), manifest_of(name))
    versions.promote(names[0], "an admin", "first")
    serving = Versions(settings)
    assert serving.champion().version == names[0]
    versions.promote(names[1], "an admin", "next", override=True)
    folder = versions.get(names[1]).folder
    if harm == "weights":
        (folder / "models/model.safetensors").write_bytes(b"rubbish")
    elif harm == "gone":
        shutil.rmtree(folder)
    else:
        (versions.folder / "champion.json").write_text("{ half")
    assert serving.champion().version == names[0]
    assert serving.problem is not None
    assert "what served before still does" in serving.problem
    # Where nothing was loaded before, nothing unverified serves.
    with pytest.raises((IntegrityError, NoModelError)):
        Versions(settings).champion()
    versions.promote(names[0], "an admin", "back", override=True)
    assert serving.champion().version == names[0]
    assert serving.problem is None
