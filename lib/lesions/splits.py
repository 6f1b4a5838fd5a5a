"""Folds by patient, stratified by class: no patient is ever on both sides."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from lesionlabel.lesions.errors import InputError, LeakError


def patient_folds(
    labels: NDArray[np.int64], patients: Sequence[str], n_folds: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    """The fold of each lesion, (n,), all lesions of a patient together, classes and sizes as even as that allows.

    labels: class index of each lesion. Raises InputError when there are fewer patients than folds.
    """
    names = sorted(set(patients))
    if n_folds < 2 or len(names) < n_folds:
        raise InputError(f"{len(names)} patients cannot make {n_folds} folds; at least {max(n_folds, 2)} patients are needed.")
    n_classes = int(labels.max()) + 1
    of_patient = {name: np.zeros(n_classes) for name in names}
    for label, patient in zip(labels, patients, strict=True):
        of_patient[patient][label] += 1
    # Patients with many lesions first, while every fold still has room; drawn order among equals.
    order = [names[i] for i in rng.permutation(len(names))]
    order.sort(key=lambda name: -of_patient[name].sum())
    wanted = np.sum(list(of_patient.values()), axis=0) / n_folds
    scale = np.maximum(wanted, 1)
    filled = np.zeros((n_folds, n_classes))
    fold_of: dict[str, int] = {}
    for name in order:
        with_it = filled + of_patient[name]
        # How far each fold would be from its share, per class and in all, less how far it is without the patient.
        cost = (((with_it - wanted) / scale) ** 2 - ((filled - wanted) / scale) ** 2).sum(axis=1)
        share = wanted.sum()
        cost += ((with_it.sum(axis=1) - share) / share) ** 2 - ((filled.sum(axis=1) - share) / share) ** 2
        best = np.flatnonzero(cost <= cost.min() + 1e-12)
        chosen = int(rng.choice(best))
        filled[chosen] += of_patient[name]
        fold_of[name] = chosen
    return np.array([fold_of[patient] for patient in patients], dtype=np.int64)


def refuse_leak(training: Sequence[str], test: Sequence[str]) -> None:
    """Raise LeakError, naming the pseudonyms, when a patient is on both sides."""
    shared = sorted(set(training) & set(test))
    if shared:
        raise LeakError(f"{len(shared)} patient(s) are in training and test: {', '.join(shared[:10])}. The run is refused.")
