"""What is wrong, or worth knowing, with a cohort before days of computing on it."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict

import numpy as np

from lesionlabel.evaluation.crossval import check_size, decided_blind
from lesionlabel.evaluation.metrics import LESIONS_PER_PATIENT
from lesionlabel.lesions.cohort import Cohort
from lesionlabel.lesions.errors import InputError

#: One patient's share of all lesions, or of a class, from which a reader is told, however few they are.
MOST = 0.5
NAMED = 5


def check_experiment(cohort: Cohort, n_folds: int) -> tuple[str, ...]:
    """What a reader should know of the cohort.

    Raises InputError when a class has fewer patients than folds, when one ROI lies under two patients, whose lesions would be on
    both sides of a test, or when no lesion may be tested.
    """
    check_size(cohort, n_folds)
    if not decided_blind(cohort).any():
        raise InputError(
            "All lesions were decided after seeing the model's answer, or perhaps so: none may be tested. Curate lesions with "
            "the answer hidden."
        )
    return (*_duplicates(cohort), *_heavy_patients(cohort), *_not_tested(cohort))


def _duplicates(cohort: Cohort) -> list[str]:
    """Lesions with the same pixels, turned or mirrored too. Resampled or windowed ones are not found."""
    alike: defaultdict[bytes, list[int]] = defaultdict(list)
    for index, lesion in enumerate(cohort):
        turned = [np.rot90(side, n) for side in (lesion.context.hu, lesion.context.hu.T) for n in range(4)]
        forms = (repr(one.shape).encode() + np.ascontiguousarray(one, dtype="<f4").tobytes() for one in turned)
        alike[hashlib.sha256(min(forms)).digest()].append(index)
    twice = [indices for indices in alike.values() if len(indices) > 1]
    across = [indices for indices in twice if len({cohort.lesions[i].patient for i in indices}) > 1]

    def names(groups: list[list[int]]) -> str:
        return "; ".join(" = ".join(cohort.lesions[i].lesion_id for i in group) for group in groups[:NAMED])

    if across:
        raise InputError(
            f"{len(across)} image(s) lie under more than one patient: {names(across)}. They would be on both sides of a test. "
            "Remove one of each, or give both the same patient."
        )
    return [f"{len(twice)} image(s) are there more than once in one patient: {names(twice)}."] if twice else []


def _heavy_patients(cohort: Cohort) -> list[str]:
    found = []
    groups = {"all lesions": list(cohort)} | {
        f"the lesions of class {name!r}": [lesion for lesion in cohort if lesion.label == name] for name in cohort.class_names
    }
    for what, lesions in groups.items():
        [(patient, count)] = Counter(lesion.patient for lesion in lesions).most_common(1)
        if count > LESIONS_PER_PATIENT or (count > 1 and count >= MOST * len(lesions)):
            found.append(
                f"One patient ({patient}) has {count} of {what} ({len(lesions)}). In figures a patient with more than "
                f"{LESIONS_PER_PATIENT} lesions weighs as {LESIONS_PER_PATIENT}; all of them train."
            )
    return found


def _not_tested(cohort: Cohort) -> list[str]:
    left_out = int((~decided_blind(cohort)).sum())
    if not left_out:
        return []
    return [f"{left_out} lesion(s) were decided after seeing the model's answer, or perhaps so: they train and are not tested."]
