"""Kappa against published tables, and what is said where there is too little."""

from __future__ import annotations

import numpy as np
import pytest
from statsmodels.stats.inter_rater import fleiss_kappa

from lesionlabel.evaluation.agreement import LesionRead, cohen, fleiss, reader_agreement
from lesionlabel.lesions.classes import DEFAULT_CLASSES

#: Fleiss, Levin, Paik: Statistical Methods for Rates and Proportions, 3rd ed., table 18.1: two raters, 100 subjects, kappa 0.68.
TWO_RATERS = np.array([[75, 1, 4], [5, 4, 1], [0, 0, 10]])
#: The example of ten subjects, 14 raters and five categories that goes with Fleiss' kappa in textbooks: 0.210.
MANY_RATERS = np.array(
    [
        [0, 0, 0, 0, 14],
        [0, 2, 6, 4, 2],
        [0, 0, 3, 5, 6],
        [0, 3, 9, 2, 0],
        [2, 2, 8, 1, 1],
        [7, 7, 0, 0, 0],
        [3, 2, 6, 3, 0],
        [2, 5, 3, 2, 2],
        [6, 5, 2, 1, 0],
        [0, 2, 2, 3, 7],
    ]
)
NAMES = DEFAULT_CLASSES.names


def test_cohens_kappa_is_that_of_the_published_table():
    first, second = np.nonzero(np.ones((3, 3)))
    assert cohen(first, second, TWO_RATERS.ravel().astype(float), 3) == pytest.approx(0.68, abs=0.005)
    assert np.isnan(cohen(np.zeros(4, np.int64), np.zeros(4, np.int64), np.ones(4), 3))


def test_fleiss_kappa_is_that_of_the_published_table_and_of_the_library():
    assert fleiss(MANY_RATERS, np.ones(10)) == pytest.approx(0.210, abs=0.0005)
    assert fleiss(MANY_RATERS, np.ones(10)) == pytest.approx(fleiss_kappa(MANY_RATERS))
    twice = np.r_[np.ones(9), 2.0]
    assert fleiss(MANY_RATERS, twice) == pytest.approx(fleiss_kappa(np.vstack([MANY_RATERS, MANY_RATERS[-1:]])))
    assert np.isnan(fleiss(np.array([[3, 0], [3, 0]]), np.ones(2)))


@pytest.fixture
def read(outlined):
    """A function: lesions as (patient, class to each reader; None: not marked) -> agreement."""

    def run(rows, **changes):
        lesions = [
            LesionRead(
                patient,
                {
                    name: None if label is None else outlined(label, diameter_mm=20.0 + changes.get(name, 0))
                    for name, label in zip("abcd", labels, strict=False)
                },
            )
            for patient, *labels in rows
        ]
        return reader_agreement(lesions, DEFAULT_CLASSES, np.random.default_rng(0))

    return run


def rows_of(table):
    """One lesion a patient, as the table counts them."""
    pairs = [(NAMES[i], NAMES[j]) for i, j in np.ndindex(3, 3) for _ in range(table[i, j])]
    return [(f"p{number}", *pair) for number, pair in enumerate(pairs)]


def test_two_readers_are_compared_with_table_kappa_interval_and_the_harmful_error(read):
    [pair] = read(rows_of(TWO_RATERS), b=2).pairs
    assert pair.confusion[:3, :3].tolist() == TWO_RATERS.tolist()
    assert pair.kappa is not None
    assert pair.agreement is not None
    assert pair.kappa.value == pytest.approx(0.676, abs=0.001)
    # The standard error of that table is 0.087 by Fleiss, Cohen and Everitt (1969).
    assert (pair.kappa.low, pair.kappa.high) == pytest.approx((0.676 - 1.96 * 0.087, 0.676 + 1.96 * 0.087), abs=0.06)
    assert pair.agreement.value == pytest.approx(0.89)
    assert pair.malignant_against_benign == 1 + 5 + 1 + 0
    assert pair.why_no_kappa is None
    assert pair.diameter_mm == (2.0, 2.0, 2.0)
    assert pair.dice is not None
    assert 0.85 < pair.dice[0] < 0.95


def test_lesions_that_one_reader_only_marked_are_no_part_of_kappa(read):
    rows = rows_of(TWO_RATERS) + [(f"q{i}", "cyst", None) for i in range(20)] + [(f"r{i}", None, "cyst") for i in range(5)]
    [pair] = read(rows).pairs
    assert pair.found == (100, 20, 5)
    assert pair.kappa is not None
    assert pair.detection is not None
    assert pair.kappa.value == pytest.approx(0.676, abs=0.001)
    assert pair.detection.value == pytest.approx(200 / 225)


def test_too_few_lesions_or_patients_give_counts_and_no_figure(read):
    [pair] = read([("p1", "cyst", "cyst"), ("p2", "cyst", "other")]).pairs
    assert (pair.found, int(pair.confusion.sum())) == ((2, 0, 0), 2)
    assert (pair.kappa, pair.agreement, pair.detection, pair.dice, pair.diameter_mm) == (None,) * 5
    assert "Too few for a figure: 2 lesions of 2 patients" in pair.why_no_kappa
    [pair] = read([("p1", name, name) for _ in range(10) for name in NAMES]).pairs
    assert "30 lesions of 1 patients" in pair.why_no_kappa


def test_one_class_only_is_said_instead_of_a_kappa(read):
    [pair] = read([(f"p{i}", "cyst", "cyst") for i in range(30)]).pairs
    assert pair.kappa is None
    assert "one class" in pair.why_no_kappa
    assert pair.agreement is not None
    assert pair.agreement.value == 1


def test_three_readers_have_one_kappa_on_what_all_of_them_marked(read):
    rows = [(f"p{i}", NAMES[i % 3], NAMES[i % 3], NAMES[i % 3] if i % 4 else "cyst") for i in range(40)]
    found = read([*rows, ("q", "cyst", None, "cyst")])
    assert len(found.pairs) == 3
    assert found.fleiss is not None
    counts = np.array([[labels.count(name) for name in NAMES] for _, *labels in rows])
    assert found.fleiss.value == pytest.approx(fleiss_kappa(counts))
    assert read(rows[:5]).no_fleiss.startswith("Too few")
    assert "three readers" in read([row[:3] for row in rows]).no_fleiss


def test_a_patient_with_many_lesions_weighs_as_five(read):
    rows = [(f"p{i}", NAMES[i % 3], NAMES[i % 3]) for i in range(20)] + [("q", "cyst", "metastasis")] * 100
    [pair] = read(rows).pairs
    assert pair.agreement is not None
    assert pair.agreement.value == pytest.approx(20 / 25)
    assert pair.kappa is not None
    assert pair.kappa.value == pytest.approx((0.8 - 0.3264) / (1 - 0.3264))


def test_outlines_and_diameters_weigh_a_patient_with_many_lesions_as_five_too(outlined):
    def one(patient, shift, more):
        return LesionRead(patient, {"a": outlined("cyst"), "b": outlined("cyst", (50 + shift, 50, 10), diameter_mm=20.0 + more)})

    def pair_of(lesions):
        return reader_agreement(lesions, DEFAULT_CLASSES, np.random.default_rng(0)).pairs[0]

    others, many = [one(f"p{i}", 0, 2) for i in range(20)], [one("q", 8, -8) for _ in range(100)]
    pair, usual = pair_of([*others, *many]), pair_of(others).dice
    assert pair.diameter_mm is not None
    assert pair.dice is not None
    assert usual is not None
    assert pair.diameter_mm[0] == pytest.approx((20 * 2 - 5 * 8) / 25)
    assert pair.dice[0] == usual[0]
    few = pair_of(many)
    assert (few.dice, few.diameter_mm) == (None, None)


def test_figures_can_be_written_as_json(read):
    import json

    found = json.loads(json.dumps(read(rows_of(TWO_RATERS)).to_json()))
    assert found["pairs"][0]["readers"] == ["a", "b"]
    assert found["pairs"][0]["kappa"]["value"] == pytest.approx(0.676, abs=0.001)
