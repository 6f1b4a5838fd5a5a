"""No patient is ever on both sides."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lesionlabel.lesions.errors import InputError, LeakError
from lesionlabel.lesions.splits import patient_folds, refuse_leak


@pytest.mark.parametrize("seed", range(5))
def test_the_papers_cohort_of_single_lesions_splits_61_61_60(seed: int) -> None:
    labels = np.repeat([0, 1, 2], [53, 64, 65])
    folds = patient_folds(labels, [f"patient-{n}" for n in range(182)], 3, np.random.default_rng(seed))
    assert sorted(np.bincount(folds)) == [60, 61, 61]
    for label in range(3):
        assert np.ptp(np.bincount(folds[labels == label], minlength=3)) <= 1


@given(
    lesions=st.lists(st.tuples(st.integers(0, 2), st.integers(0, 25)), min_size=30, max_size=120),
    n_folds=st.integers(2, 5),
    seed=st.integers(0, 1000),
)
@settings(deadline=None)
def test_a_patients_lesions_stay_together_and_no_fold_is_empty(lesions: list[tuple[int, int]], n_folds: int, seed: int) -> None:
    labels = np.array([label for label, _ in lesions])
    patients = [f"patient-{patient}" for _, patient in lesions]
    if len(set(patients)) < n_folds:
        return
    folds = patient_folds(labels, patients, n_folds, np.random.default_rng(seed))
    for patient in set(patients):
        assert len({int(fold) for fold, name in zip(folds, patients, strict=True) if name == patient}) == 1
    assert set(folds.tolist()) == set(range(n_folds))


def test_the_draw_belongs_to_the_seed_and_not_to_the_order_of_patients() -> None:
    labels, patients = np.repeat([0, 1], 30), [f"patient-{n % 45}" for n in range(60)]
    first = patient_folds(labels, patients, 3, np.random.default_rng(1))
    assert np.array_equal(first, patient_folds(labels, patients, 3, np.random.default_rng(1)))
    assert not np.array_equal(first, patient_folds(labels, patients, 3, np.random.default_rng(2)))
    turned = patient_folds(labels[::-1].copy(), patients[::-1], 3, np.random.default_rng(1))
    assert np.array_equal(turned[::-1], first)


@pytest.mark.parametrize(("patients", "n_folds"), [(["a", "a", "b"], 3), ([], 2), (["a", "b"], 1)])
def test_too_few_patients_are_refused(patients: list[str], n_folds: int) -> None:
    with pytest.raises(InputError, match="patients"):
        patient_folds(np.zeros(len(patients), dtype=np.int64), patients, n_folds, np.random.default_rng(0))


def test_a_patient_on_both_sides_is_refused_by_pseudonym() -> None:
    refuse_leak(["a", "b"], ["c", "c"])
    with pytest.raises(LeakError, match="b, d"):
        refuse_leak(["a", "b", "d"], ["d", "c", "b"])
