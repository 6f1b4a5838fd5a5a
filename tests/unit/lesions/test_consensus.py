"""What counts where several readers decided: every combination that a reader would ask about."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest

from lesionlabel.lesions.consensus import Adjudication, Agreement, Word, settle
from lesionlabel.lesions.errors import InputError
from lesionlabel.lesions.lesion import Proof
from lesionlabel.lesions.readings import NO_LESION, Decision, read_lesions, spacing_of

SPACING = (1.0, 1.0, 5.0)
PATHOLOGY, FOLLOW_UP, CONSENSUS, SINGLE = Proof.PATHOLOGY, Proof.FOLLOW_UP, Proof.CONSENSUS, Proof.SINGLE_READER


@pytest.fixture
def decided(outlined):
    """A function: reader, what was marked where, proof, whether the model was seen -> the reader's decision."""

    def make(reader, *labels, proof=SINGLE, saw_model=False, shift=0.0, **more):
        lesions = tuple(
            outlined(label, (50 + 100 * i + shift, 50, 10), proof=proof, saw_model=saw_model, reader=reader)
            for i, label in enumerate(labels)
            if label is not None
        )
        return Decision(reader, "2026-01-01T00:00:00+00:00", proof, saw_model, lesions, SPACING, **more)

    return make


def settled(*decisions: Decision, adjudications: Sequence[Adjudication] = ()) -> list[Any]:
    return settle(read_lesions(decisions), adjudications, SPACING)


def counts(*decisions):
    return [(str(one.agreement), one.lesion and one.lesion.label) for one in settled(*decisions)]


def test_one_readers_lesions_are_as_they_were_saved(decided):
    decision = decided("a", "cyst", "metastasis", proof=FOLLOW_UP, saw_model=None)
    found = settled(decision)
    assert [one.lesion for one in found] == list(decision.lesions)
    assert {(one.agreement, one.readers) for one in found} == {(Agreement.ONE_READER, 1)}


def test_what_all_say_counts_and_what_they_differ_on_does_not(decided):
    assert counts(decided("a", "cyst", "cyst", "cyst"), decided("b", "cyst", "metastasis", None)) == [
        ("agreed", "cyst"),
        ("open", None),
        ("open", None),
    ]
    assert counts(decided("a", "cyst"), decided("b", "cyst"), decided("c", "hemangioma")) == [("open", None)]
    assert counts(decided("a"), decided("b", "cyst")) == [("open", None)]


def test_a_part_that_was_asked_about_or_not_named_is_no_word_against_another_readers_lesion(decided):
    """Or a biopsied metastasis would wait because somebody left a segment called Segment_1."""
    a = decided("a", "cyst", "metastasis")
    for unclear in ({"not_curated": ("Segment_1",)}, {"questions": 1}):
        assert counts(a, decided("b", "cyst", **unclear)) == [("agreed", "cyst"), ("one reader", "metastasis")]
        assert counts(a, decided("b", **unclear)) == [("one reader", "cyst"), ("one reader", "metastasis")]
    # A label with nothing at all in it does say that there is nothing.
    assert counts(a, decided("b")) == [("open", None)] * 2


def test_stronger_proof_decides_and_not_having_marked_a_lesion_is_no_proof(decided):
    assert counts(decided("a", "cyst"), decided("b", "metastasis", proof=PATHOLOGY)) == [("by proof", "metastasis")]
    assert counts(decided("a", "cyst", proof=PATHOLOGY), decided("b", "metastasis", proof=FOLLOW_UP)) == [("by proof", "cyst")]
    assert counts(decided("a", "cyst", proof=PATHOLOGY), decided("b", "metastasis", proof=PATHOLOGY)) == [("open", None)]
    assert counts(decided("a", "cyst", "cyst", proof=CONSENSUS), decided("b", "cyst", None, proof=PATHOLOGY)) == [
        ("agreed", "cyst"),
        ("by proof", "cyst"),
    ]


def test_the_outline_is_that_of_the_last_reader_who_gave_the_class(decided):
    first, second, third = decided("a", "cyst"), decided("b", "cyst", shift=2), decided("c", "metastasis", shift=4)
    assert settled(first, second)[0].lesion.lesion_id == second.lesions[0].lesion_id
    proven = decided("a", "cyst", proof=PATHOLOGY)
    assert settled(proven, third)[0].lesion.contour is proven.lesions[0].contour


@pytest.mark.parametrize(
    ("first", "second", "combined"), [(False, False, False), (False, True, True), (True, None, True), (False, None, None)]
)
def test_an_agreement_is_blind_only_if_all_who_decide_were(decided, first, second, combined):
    [one] = settled(decided("a", "cyst", saw_model=first), decided("b", "cyst", saw_model=second))
    assert one.lesion.saw_model is combined


def test_whom_a_stronger_proof_overrules_has_no_say_in_whether_it_was_blind(decided):
    [one] = settled(decided("a", "cyst", proof=PATHOLOGY), decided("b", "metastasis", saw_model=True))
    assert (one.lesion.label, one.lesion.saw_model, one.lesion.proof) == ("cyst", False, PATHOLOGY)


def test_a_label_that_nothing_could_be_taken_from_says_nothing(decided):
    assert counts(decided("a", "cyst"), decided("b", problem="Markups hold no segments.")) == [("one reader", "cyst")]
    assert counts(decided("a", problem="x")) == []


def adjudicated(read, label, **changes):
    words = tuple(Word(s.reader, s.label, s.proof, s.lesion and s.lesion.lesion_id) for s in read.stances)
    values = {"by": "c", "reason": "biopsy", "at": "2026-01-02", "saw_model": False, "proof": CONSENSUS, **changes}
    return Adjudication(id="1", image="case", label=label, words=words, place=read.marked[-1], **values)


def test_an_adjudication_decides_and_is_the_same_after_being_written(decided):
    a, b = decided("a", "cyst"), decided("b", "metastasis", shift=2)
    [read] = read_lesions([a, b])
    verdict = Adjudication.from_json(json.loads(json.dumps(adjudicated(read, "cyst", proof=PATHOLOGY).to_json())))
    [one] = settled(a, b, adjudications=[verdict])
    assert (one.agreement, one.lesion.label, one.lesion.proof) == (Agreement.ADJUDICATED, "cyst", PATHOLOGY)
    assert one.lesion.contour is a.lesions[0].contour
    [one] = settled(a, b, adjudications=[adjudicated(read, "hemangioma", saw_model=None)])
    assert (one.lesion.label, one.lesion.saw_model) == ("hemangioma", None)
    [one] = settled(a, b, adjudications=[adjudicated(read, NO_LESION)])
    assert (one.agreement, one.lesion, one.to_json()["label"]) == (Agreement.ADJUDICATED, None, NO_LESION)
    with pytest.raises(InputError, match="not complete"):
        Adjudication.from_json({"id": "1"})


def test_of_two_adjudications_the_newer_counts(decided):
    a, b = decided("a", "cyst"), decided("b", "metastasis")
    [read] = read_lesions([a, b])
    [one] = settled(a, b, adjudications=[adjudicated(read, "cyst"), adjudicated(read, "metastasis")])
    assert one.lesion.label == "metastasis"


def test_a_later_reading_that_contradicts_an_adjudication_shows_up_again(decided):
    a, b = decided("a", "cyst"), decided("b", "metastasis")
    [read] = read_lesions([a, b])
    verdict = adjudicated(read, "cyst")

    def now(*decisions):
        [one] = settled(*decisions, adjudications=[verdict])
        return str(one.agreement), one.reopened

    # Saved again with the same opinion, by the overruled reader too: nothing new was said.
    assert now(decided("a", "cyst", shift=3), decided("b", "metastasis", shift=2)) == ("adjudicated", False)
    assert now(a, decided("b", "cyst")) == ("adjudicated", False)
    assert now(a, b, decided("c", "cyst")) == ("adjudicated", False)
    # Another class, another proof, another reader who differs, one who takes the lesion away.
    assert now(a, decided("b", "hemangioma")) == ("open", True)
    assert now(a, decided("b", "metastasis", proof=PATHOLOGY)) == ("open", True)
    assert now(a, b, decided("c", "metastasis")) == ("open", True)
    assert now(a, b, decided("c")) == ("open", True)
    # All agree, on something else than was decided.
    assert now(decided("a", "metastasis"), decided("b", "metastasis")) == ("open", True)


def test_an_adjudication_finds_its_lesion_among_others(decided):
    a, b = decided("a", "cyst", "cyst"), decided("b", "metastasis", "metastasis")
    verdict = adjudicated(read_lesions([a, b])[1], "cyst")
    again = decided("a", "cyst", "cyst", shift=1), decided("b", "metastasis", "metastasis", shift=1)
    assert [str(one.agreement) for one in settled(*again, adjudications=[verdict])] == ["open", "adjudicated"]


def test_the_spacing_is_what_a_label_says_else_the_usual(decided, outlined):
    assert spacing_of([decided("a", "cyst")]) == SPACING
    old = Decision("a", "", SINGLE, False, (outlined("cyst"),))
    assert spacing_of([old]) == pytest.approx((1.0, 1.0, 5.0), rel=0.01)
