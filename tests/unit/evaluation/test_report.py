import json
from dataclasses import replace

import numpy as np
import pytest

from lesionlabel.evaluation.crossval import OutOfFold, Recipe
from lesionlabel.evaluation.report import make_report
from lesionlabel.lesions.classes import DEFAULT_CLASSES
from lesionlabel.lesions.cohort import BlindDecision, Cohort
from lesionlabel.lesions.errors import InputError
from lesionlabel.lesions.lesion import Proof


def answered(cohort: Cohort, wrong: tuple[int, ...] = ()) -> OutOfFold:
    """Right answers but for the lesions named, in folds that keep patients together."""
    labels = np.array([(c + 1) % 3 if i in wrong else c for i, c in enumerate(cohort.labels)])
    logits = 2.0 * np.eye(3)[labels] + 0.1 * np.random.default_rng(0).standard_normal((len(cohort), 3))
    folds = np.array([int(p.split("-")[-2]) % 3 for p in cohort.patients])
    return OutOfFold(cohort, Recipe(), 7, folds, logits, ({"images": 100, "steps": 5},) * 3)


def mixed(cohort_of, lesion_of) -> Cohort:
    """24 blind, proven lesions; 3 that a single reader named; 3 decided with the model's answer in sight."""
    weak = [lesion_of(100 + i, i, f"w-{i}-0", proof=Proof.SINGLE_READER) for i in range(3)]
    seen = [lesion_of(200 + i, i, f"s-{i}-0", saw_model=True) for i in range(3)]
    cohort = cohort_of()
    return Cohort((*cohort.lesions, *weak, *seen), cohort.class_names)


def test_headline_takes_only_proven_lesions_decided_without_the_models_answer(cohort_of, lesion_of):
    # Wrong: one proven lesion (0), every weak one (24-26), every one that saw the model (27-29).
    report = make_report(answered(mixed(cohort_of, lesion_of), wrong=(0, *range(24, 30))), DEFAULT_CLASSES)
    assert report.headline is not None
    assert report.headline.lesions == 24
    assert report.headline.accuracy.value == pytest.approx(23 / 24)
    assert report.tested.lesions == 27
    assert report.tested.accuracy.value == pytest.approx(23 / 27)
    assert (report.saw_model, report.weak_proof) == (3, 3)
    text = report.to_markdown()
    assert "3 lesion(s) decided after seeing the model's answer" in text
    assert "95.8 % [79.8, 99.3]" in text


def test_lesions_that_saw_the_model_do_not_move_any_figure_or_the_temperature(cohort_of, lesion_of):
    cohort = mixed(cohort_of, lesion_of)
    right = make_report(answered(cohort, wrong=(0, 5)), DEFAULT_CLASSES)
    wrong = make_report(answered(cohort, wrong=(0, 5, 27, 28, 29)), DEFAULT_CLASSES)
    assert right.temperature == wrong.temperature
    assert right.tested.to_json() == wrong.tested.to_json()
    assert right.calibration.to_json() == wrong.calibration.to_json()


def test_a_lesion_whose_reader_may_have_seen_the_models_answer_is_in_no_figure(cohort_of, lesion_of):
    cohort = cohort_of()
    perhaps = [lesion_of(300 + i, i, f"u-{i}-0", saw_model=None) for i in range(3)]
    cohort = Cohort((*cohort.lesions, *perhaps), cohort.class_names)
    report = make_report(answered(cohort, wrong=(24, 25, 26)), DEFAULT_CLASSES)
    assert (report.tested.lesions, report.saw_model) == (24, 3)
    assert report.tested.accuracy.value == 1
    with pytest.raises(InputError, match="or perhaps so"):
        make_report(answered(cohort_of(saw_model=None)), DEFAULT_CLASSES)


def test_what_was_decided_again_after_the_answer_is_tested_as_decided_before_it(cohort_of):
    first, *others = cohort_of().lesions
    swayed = replace(first, label=DEFAULT_CLASSES.names[1], saw_model=True, blind=BlindDecision(first.label, first.proof))
    cohort = Cohort((swayed, *others), tuple(DEFAULT_CLASSES.names), dropped=2)
    # The network says what the reader says now.
    report = make_report(answered(cohort), DEFAULT_CLASSES)
    assert (report.tested.lesions, report.saw_model) == (len(cohort), 0)
    assert report.tested.accuracy.value == pytest.approx(1 - 1 / len(cohort))
    text = report.to_markdown()
    assert "1 lesion(s) were decided again" in text
    assert "2 lesion(s) that were decided blind count no more" in text
    assert report.to_json()["snapshot"] == cohort.digest


def test_without_proven_lesions_there_is_no_headline_and_the_report_says_so(cohort_of):
    report = make_report(answered(cohort_of(proof=Proof.CONSENSUS)), DEFAULT_CLASSES)
    assert report.headline is None
    assert report.to_json()["headline"] is None
    assert "No headline figures" in report.to_markdown()


def test_a_cohort_that_may_not_be_tested_gets_no_report(cohort_of):
    with pytest.raises(InputError, match="after seeing the model's answer"):
        make_report(answered(cohort_of(saw_model=True)), DEFAULT_CLASSES)


def test_every_phantom_report_says_that_it_says_nothing_about_patients(cohort_of):
    phantom = make_report(answered(cohort_of(prefix="phantom-")), DEFAULT_CLASSES)
    assert "says nothing about patients" in phantom.to_markdown()
    assert "says nothing about patients" in phantom.to_json()["statement"]
    real = make_report(answered(cohort_of()), DEFAULT_CLASSES)
    assert "simulated" not in real.to_markdown()
    assert real.to_json()["statement"] is None


def test_report_is_plain_json_from_which_other_figures_can_be_computed(cohort_of):
    report = make_report(answered(cohort_of(), wrong=(1,)), DEFAULT_CLASSES)
    content = json.loads(json.dumps(report.to_json(), allow_nan=False))
    rows = content["out_of_fold"]
    right = [DEFAULT_CLASSES.names[int(np.argmax(row["logits"]))] == row["label"] for row in rows]
    assert np.mean(right) == pytest.approx(content["headline"]["accuracy"]["value"], abs=1e-4)
    assert content["headline"]["malignant_called_benign"]["of"] == 8
    assert content["headline"]["malignant_called_benign"]["value"] == pytest.approx(1 / 8)
    assert 0 <= content["diameter_only_accuracy"]["value"] < 0.8


def test_markdown_names_no_patient_and_no_lesion(cohort_of):
    text = make_report(answered(cohort_of()), DEFAULT_CLASSES).to_markdown()
    assert "p-0-0" not in text
    assert "lesion-0" not in text
