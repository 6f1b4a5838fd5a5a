"""Several readers of one studies folder: who decided what, what counts in the cohort, and who may decide over it."""

from __future__ import annotations

import stat

import pytest

from lesionlabel.cli.readers import adjudicate as adjudicate_command
from lesionlabel.cli.readers import agreement as agreement_command
from lesionlabel.cli.readers import list_disagreements
from lesionlabel.datastore.cohort import cohort_of, curated_lesions
from lesionlabel.datastore.readers import agreement_of_readers, disagreements, image_readings
from lesionlabel.imaging.sidecar import read_sidecar
from lesionlabel.lesions.classes import DEFAULT_CLASSES
from lesionlabel.lesions.cohort import Cohort, CohortLesion, load_cohort, take_snapshot
from lesionlabel.lesions.consensus import Agreement
from lesionlabel.lesions.errors import InputError, IntegrityError, NotFoundError, UnknownClassError
from lesionlabel.lesions.lesion import Lesion, Proof
from lesionlabel.lesions.readings import reader_key
from lesionlabel.lesions.roi import cut_context


@pytest.fixture
def submit(datastore, tmp_path, tiny_label):
    """A function: a reader saves the tiny CT's two lesions (or only the first) under the class names given."""

    def save(reader, *names, image="case_a", **info):
        tiny_label(tmp_path / "label.nii.gz", dict(zip(("cyst", "metastasis"), (1, 2)[: len(names)], strict=False)))
        label_info = [{"name": name, "idx": number} for number, name in enumerate(names, start=1)]
        datastore.save_label(
            image, str(tmp_path / "label.nii.gz"), "final", {"label_info": label_info, "client_id": reader, **info}
        )
        return [lesion["lesion_id"] for lesion in datastore.get_label_info(image, "final")["lesions"]]

    return save


@pytest.fixture
def decide(datastore):
    """A function that adjudicates with what matters changed."""

    def run(lesion, label="metastasis", image="case_a", **changes):
        said = {"by": "chief", "reason": "typical on MR", "saw_model": False, **changes}
        return datastore.readings.adjudicate(image, lesion, label, classes=DEFAULT_CLASSES, **said)

    return run


def counted(datastore):
    return [(x.label, str(x.proof), x.saw_model) for x in curated_lesions(datastore, DEFAULT_CLASSES).get("case_a", [])]


def test_with_one_reader_an_image_the_cohort_is_what_the_current_labels_say(datastore, submit, store):
    submit("a", "cyst", "metastasis")
    submit("a", "cyst", "hemangioma", proof="pathology")
    submit("b", "metastasis", image="case_b")
    datastore.update_label_info("case_a", "final", {"comment": "seen twice"})
    expected = []
    for image_id in ("case_a", "case_b"):
        volume = store.open(datastore.studies / f"{image_id}.nii.gz")
        for record in datastore.get_label_info(image_id, "final")["lesions"]:
            lesion = Lesion.from_json(record)
            context = cut_context(volume, lesion.contour)
            patient = read_sidecar(datastore.studies, image_id).patient
            expected.append(CohortLesion(lesion.lesion_id, patient, lesion.label, context, lesion.proof, lesion.saw_model))
    cohort = cohort_of(datastore, store, DEFAULT_CLASSES)
    assert [lesion.record() for lesion in cohort] == [lesion.record() for lesion in expected]
    assert cohort.digest == Cohort(tuple(expected), tuple(DEFAULT_CLASSES.names)).digest
    assert "readers" not in cohort.lesions[0].record()


def test_a_second_reader_overwrites_no_decision_and_what_they_differ_on_does_not_count(datastore, submit, store, caplog):
    submit("a", "cyst", "metastasis")
    second = submit("b", "cyst", "hemangioma")
    # Stock clients see the label that was saved last, as ever.
    assert [x["lesion_id"] for x in datastore.get_label_info("case_a", "final")["lesions"]] == second
    readings = image_readings(datastore, "case_a")
    assert {d["reader"]: [x["label"] for x in d["lesions"]] for d in readings["decisions"]} == {
        "a": ["cyst", "metastasis"],
        "b": ["cyst", "hemangioma"],
    }
    cohort = cohort_of(datastore, store, DEFAULT_CLASSES)
    assert [(x.label, x.readers, x.agreement, x.lesion_id) for x in cohort] == [("cyst", 2, Agreement.AGREED, second[0])]
    assert "1 lesion(s) on which readers differ are left out" in caplog.text
    assert [one.read.marked[-1].lesion_id for _, one in disagreements(datastore)] == [second[1]]


def test_a_reader_who_corrects_takes_the_place_of_the_own_decision_only(datastore, submit):
    submit("a", "cyst", "metastasis")
    submit("b", "cyst", "hemangioma")
    submit("a", "cyst", "hemangioma")
    assert [label for label, _, _ in counted(datastore)] == ["cyst", "hemangioma"]
    assert [one["labels"] for one in image_readings(datastore, "case_a")["earlier"]] == [["cyst", "metastasis"]]


def test_a_lesion_that_one_reader_did_not_mark_waits_unless_it_is_proven(datastore, submit):
    submit("a", "cyst", "metastasis")
    submit("b", "cyst")
    assert [label for label, _, _ in counted(datastore)] == ["cyst"]
    submit("a", "cyst", "metastasis", proof="pathology")
    assert counted(datastore) == [("cyst", "pathology", False), ("metastasis", "pathology", False)]


def test_a_label_that_nothing_could_be_taken_from_takes_no_decision_away(datastore, submit):
    submit("a", "cyst", "metastasis")
    submit("b", "cyst", "hemangioma")
    submit("a", "cyst", "metastasis", proof="hearsay")
    assert [label for label, _, _ in counted(datastore)] == ["cyst"]
    readings = image_readings(datastore, "case_a")
    assert [len(one["lesions"]) for one in readings["decisions"]] == [2, 2]
    assert [one["labels"] for one in readings["earlier"]] == [[]]
    # Of one reader's image the last label counts, as ever.
    submit("a", "cyst", image="case_b")
    submit("a", "cyst", image="case_b", proof="hearsay")
    assert "case_b" not in curated_lesions(datastore, DEFAULT_CLASSES)


def test_segments_without_a_class_say_nothing_and_take_no_decision_away(datastore, submit):
    submit("a", "cyst", "metastasis", proof="pathology")
    submit("b", "Segment_1", "Segment_2")
    assert counted(datastore) == [("cyst", "pathology", False), ("metastasis", "pathology", False)]
    submit("a", "Segment_1")
    submit("b", "cyst", "metastasis")
    assert [len(one.lesions) for one in datastore.readings.latest("case_a")] == [2, 2]
    assert [label for label, _, _ in counted(datastore)] == ["cyst", "metastasis"]


def test_one_reader_who_types_the_name_in_two_ways_agrees_with_nobody(datastore, submit):
    submit("Dr Weber", "cyst", "metastasis")
    submit("dr  weber", "cyst", "hemangioma")
    submit("user-xyz", "cyst", "hemangioma")
    assert [one.reader for one in datastore.readings.latest("case_a")] == ["dr  weber", "user-xyz"]
    submit("DR WEBER", "cyst", "metastasis", image="case_b")
    submit("b", "cyst", "metastasis", image="case_b")
    figures, note = agreement_of_readers(datastore, DEFAULT_CLASSES, blind=False)
    assert {reader_key(name) for name in figures.readers} == {"dr weber", "b"}
    assert "1 reading(s) without a reader's own name" in note


def test_what_a_reader_changes_after_the_answer_trains_and_the_blind_decision_is_tested(
    datastore, submit, store, answers, tmp_path
):
    """Or tests would keep what readers left as the model says, and lose what they gave in on."""
    submit("a", "cyst", "metastasis", proof="pathology")
    before = cohort_of(datastore, store, DEFAULT_CLASSES)
    assert "blind" not in before.lesions[0].record()
    answers.record("case_a", "a", "v1", 0.5)
    submit("a", "cyst", "hemangioma")
    cohort = load_cohort(take_snapshot(cohort_of(datastore, store, DEFAULT_CLASSES), tmp_path / "snapshots"))
    assert [(x.label, x.saw_model) for x in cohort] == [("cyst", True), ("hemangioma", True)]
    tested = [(x.label, str(x.proof), x.saw_model) for x in cohort.as_tested()]
    assert tested == [("cyst", "pathology", False), ("metastasis", "pathology", False)]
    assert (cohort.dropped, before.dropped) == (0, 0)
    # One that is gone since the answer cannot be tested, and is counted.
    submit("a", "cyst")
    cohort = load_cohort(take_snapshot(cohort_of(datastore, store, DEFAULT_CLASSES), tmp_path / "snapshots"))
    assert (len(cohort), cohort.dropped, cohort.subset([0]).dropped) == (1, 1, 1)


def test_none_of_the_classes_is_a_decision_that_trains_nothing(datastore, submit):
    submit("a", "cyst", "metastasis")
    submit("b", "cyst", "Other / none of these")
    assert [label for label, _, _ in counted(datastore)] == ["cyst"]
    submit("a", "cyst", "other")
    assert [label for label, _, _ in counted(datastore)] == ["cyst"]
    assert [str(one.agreement) for one in datastore.readings.settled("case_a")] == ["agreed", "agreed"]


def test_decisions_outlive_the_process_and_end_with_the_label_or_the_image(datastore, open_datastore, submit, tmp_path, tiny_ct):
    submit("a", "cyst", "metastasis")
    submit("b", "cyst", "hemangioma")
    (datastore.studies / "datastore_v2.json").unlink()
    assert [d.reader for d in open_datastore().readings.latest("case_a")] == ["a", "b"]
    datastore.remove_label("case_a", "final")
    assert datastore.readings.decisions("case_a") == []
    submit("c", "cyst", "metastasis")
    assert [d.reader for d in datastore.readings.decisions("case_a")] == ["c"]
    tiny_ct(tmp_path / "other.nii.gz", seed=9)
    datastore.add_image("case_a", str(tmp_path / "other.nii.gz"), {})
    assert datastore.readings.decisions("case_a") == []


def test_the_last_blind_decision_stays_one_whatever_the_reader_says_after_the_answer(datastore, submit, answers):
    submit("a", "cyst", "metastasis")
    answers.record("case_a", "a", "v1", 0.5)
    submit("a", "cyst", "hemangioma", saw_model=False)
    [last], [blind] = datastore.readings.latest("case_a"), datastore.readings.latest("case_a", blind=True)
    assert (last.saw_model, [x.label for x in last.lesions]) == (True, ["cyst", "hemangioma"])
    assert (blind.saw_model, [x.label for x in blind.lesions]) == (False, ["cyst", "metastasis"])


def test_agreement_is_reported_of_all_and_of_blind_decisions(datastore, submit, answers):
    submit("a", "cyst", "metastasis")
    submit("b", "cyst", "hemangioma")
    answers.record("case_a", "b", "v1", 0.5)
    submit("b", "cyst", "metastasis")
    for blind, differ in ((False, 0), (True, 1)):
        figures, note = agreement_of_readers(datastore, DEFAULT_CLASSES, blind)
        [pair] = figures.pairs
        assert (pair.found, pair.malignant_against_benign) == ((2, 0, 0), differ)
        assert pair.confusion[0, 0] == 1
        assert "Too few" in str(pair.why_no_kappa)
        assert ("agree more" in note) is not blind


def test_simulated_images_are_never_mixed_with_patients(datastore, submit, tiny_ct):
    tiny_ct(datastore.studies / "phantom-1.nii.gz", seed=3)
    for reader in ("a", "b"):
        submit(reader, "cyst", image="phantom-1")
    figures, note = agreement_of_readers(datastore, DEFAULT_CLASSES, blind=True)
    assert (figures.pairs[0].found[0], "simulated" in note) == (1, True)
    for reader in ("a", "b"):
        submit(reader, "cyst", "metastasis")
    figures, note = agreement_of_readers(datastore, DEFAULT_CLASSES, blind=True)
    assert (figures.pairs[0].found[0], "simulated" in note) == (2, False)


def test_an_adjudication_counts_is_kept_for_ever_and_reaches_the_snapshot(datastore, submit, decide, store, tmp_path):
    submit("a", "cyst", "metastasis", proof="follow-up")
    _, lesion = submit("b", "cyst", "hemangioma", proof="follow-up")
    decided = decide(lesion, "Metastasis ", proof="pathology")
    assert (str(decided.agreement), decided.lesion.label) == ("adjudicated", "metastasis")
    cohort = cohort_of(datastore, store, DEFAULT_CLASSES)
    kept = load_cohort(take_snapshot(cohort, tmp_path / "snapshots"))
    assert [(x.label, x.proof, x.readers, x.agreement) for x in kept] == [
        ("cyst", Proof.FOLLOW_UP, 2, Agreement.AGREED),
        ("metastasis", Proof.PATHOLOGY, 2, Agreement.ADJUDICATED),
    ]
    [file] = (datastore.studies / "labels" / "history" / "adjudications" / "case_a").iterdir()
    assert not file.stat().st_mode & stat.S_IWUSR
    assert disagreements(datastore) == []
    assert len(disagreements(datastore, settled_too=True)) == 1
    # What it rests on, if it is not said: what proved that class to a reader.
    with pytest.raises(InputError, match=r"chief decided it at .*: metastasis"):
        decide(lesion, "hemangioma")
    again = decide(lesion, "hemangioma", replaces=decided.adjudication.id, by="other chief")
    assert (again.lesion.label, again.lesion.proof) == ("hemangioma", Proof.FOLLOW_UP)
    assert len(image_readings(datastore, "case_a")["adjudications"]) == 2
    # Another reader who differs opens it again.
    submit("c", "cyst", "metastasis")
    [(_, reopened)] = disagreements(datastore)
    assert reopened.reopened
    assert [label for label, _, _ in counted(datastore)] == ["cyst"]
    assert decide(reopened.read.marked[-1].lesion_id, "no lesion").agreement is Agreement.ADJUDICATED
    assert disagreements(datastore) == []


def test_adjudications_end_with_the_readings_that_they_are_of(datastore, submit, decide):
    submit("a", "cyst", "metastasis")
    decide(submit("b", "cyst", "hemangioma")[1])
    datastore.remove_label("case_a", "final")
    submit("a", "cyst", "metastasis")
    submit("b", "cyst", "hemangioma")
    assert [str(one.agreement) for one in datastore.readings.settled("case_a")] == ["agreed", "open"]


def test_what_cannot_be_adjudicated_is_refused_with_the_reason(datastore, submit, decide):
    [agreed, first] = submit("a", "cyst", "metastasis")
    [_, lesion] = submit("b", "cyst", "hemangioma")
    [alone] = submit("a", "cyst", image="case_b")
    for changes, error, words in (
        ({"lesion": "case_a-x-1"}, NotFoundError, "No lesion 'case_a-x-1'"),
        ({"lesion": lesion, "image": "case_x"}, NotFoundError, "No image"),
        ({"lesion": lesion, "label": "abscess"}, UnknownClassError, "Allowed: cyst, metastasis, hemangioma, other, no lesion"),
        ({"lesion": lesion, "by": " "}, InputError, "name of who decides"),
        ({"lesion": lesion, "by": "unknown"}, InputError, "name of who decides"),
        ({"lesion": lesion, "by": "user-xyz"}, InputError, "name of who decides"),
        ({"lesion": lesion, "by": "B"}, InputError, "one of the lesion's readers"),
        ({"lesion": lesion, "reason": ""}, InputError, "needs a reason"),
        ({"lesion": lesion, "proof": "hearsay"}, InputError, "Unknown proof level"),
        ({"lesion": lesion, "replaces": "x"}, InputError, "Leave 'replaces' out"),
        ({"lesion": agreed}, InputError, "nothing to decide"),
        ({"lesion": alone, "image": "case_b"}, InputError, "nothing to decide"),
    ):
        with pytest.raises(error, match=words):
            decide(**changes)
    assert image_readings(datastore, "case_a")["adjudications"] == []
    decide(first)  # by the id that any of the readers' lesions has
    assert disagreements(datastore) == []


def test_a_damaged_record_stops_with_its_name_rather_than_changing_what_counts(datastore, submit, decide):
    submit("a", "cyst", "metastasis")
    decide(submit("b", "cyst", "hemangioma")[1])
    [file] = (datastore.studies / "labels" / "history" / "adjudications" / "case_a").iterdir()
    file.chmod(0o644)
    file.write_text("{}")
    with pytest.raises(IntegrityError, match=file.name):
        datastore.readings.settled("case_a")


def test_the_commands_list_decide_and_report(datastore, submit, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("LESIONLABEL_HOME", str(tmp_path / "home"))
    agreement_command(datastore.studies)
    assert "No image was read by two readers" in capsys.readouterr().out
    submit("a", "cyst", "metastasis")
    _, lesion = submit("b", "cyst", "hemangioma")
    list_disagreements(datastore.studies)
    told = capsys.readouterr().out
    assert "a: metastasis (single reader); b: hemangioma (single reader)" in told
    assert lesion in told
    adjudicate_command("case_a", lesion, "metastasis", datastore.studies, by="chief", reason="biopsy", proof="pathology")
    assert "[adjudicated: metastasis by chief" in capsys.readouterr().out
    list_disagreements(datastore.studies)
    assert "differ on no lesion" in capsys.readouterr().out
    agreement_command(datastore.studies, blind=True)
    told = capsys.readouterr().out
    assert "a and b: 2 lesions marked by both" in told
    assert "Too few for a figure" in told
    [adjudication] = datastore.readings.adjudications("case_a")
    assert (adjudication.by, adjudication.reason, adjudication.saw_model) == ("chief", "biopsy", False)
