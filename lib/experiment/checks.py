"""What is wrong, or worth knowing, with a cohort before days of computing on it."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict

import numpy as np

from lesionlabel.evaluation.crossval import check_size, decided_blind, headline_lesions, is_simulated
from lesionlabel.evaluation.metrics import LESIONS_PER_PATIENT
from lesionlabel.experiment.plan import ARMS, GENERATORS, Plan
from lesionlabel.experiment.sets import partition
from lesionlabel.lesions.classes import ClassList
from lesionlabel.lesions.cohort import BIASED, Cohort
from lesionlabel.lesions.errors import InputError
from lesionlabel.registry.generator_training import check_fold

#: One patient's share of all lesions, or of a class, from which a reader is told, however few they are. Also the share of the
#: usual number of training lesions below which.
MOST = 0.5
NAMED = 5


def check_experiment(cohort: Cohort, plan: Plan, classes: ClassList) -> tuple[str, ...]:
    """What a reader should know of the cohort.

    Raises InputError when its classes are not the configured ones, when simulated and real lesions are mixed, when a class has
    fewer patients than folds, when a fold would train on no lesion of a class or have too few for the generators that were asked
    for, when one ROI lies under two patients, whose lesions would be on both sides of a test, or when no lesion may be tested.
    """
    if list(cohort.class_names) != classes.names:
        raise InputError(
            f"The cohort's classes are {', '.join(cohort.class_names)}; the configured ones are {', '.join(classes.names)}. "
            "Set LESIONLABEL_CLASS_FILE to the cohort's class list."
        )
    is_simulated(cohort)
    check_size(cohort, plan.profile.folds)
    if not decided_blind(cohort.as_tested()).any():
        raise InputError(
            "All lesions were decided after seeing the model's answer, or perhaps so: none may be tested. Curate lesions with "
            "the answer hidden."
        )
    return (*_duplicates(cohort), *_heavy_patients(cohort), *_folds(cohort, plan), *_not_tested(cohort.as_tested()))


def _duplicates(cohort: Cohort) -> list[str]:
    """Lesions with the same pixels, turned or mirrored too. Shifted crops, resampled and windowed ones are not found."""
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


def _folds(cohort: Cohort, plan: Plan) -> list[str]:
    """Which folds train on few lesions or test none of a class: patients with many lesions make partitions uneven."""
    generators = any(point.arm in GENERATORS for point in plan.points)
    usual = len(cohort) * (plan.profile.folds - 1) / plan.profile.folds
    as_tested = cohort.as_tested()
    tested, without, small = headline_lesions(as_tested), [], []
    for seed in plan.seeds:
        folds = partition(cohort, plan.profile.folds, seed)
        for fold in range(plan.profile.folds):
            where = f"fold {fold + 1} of seed {seed}"
            seen, held_out = cohort.subset(np.flatnonzero(folds != fold)), cohort.subset(np.flatnonzero(folds == fold))
            missing = [name for name, count in seen.counts().items() if not count]
            if missing:
                raise InputError(
                    f"The training set of {where} would have no lesion of class {missing[0]!r}: too few patients have most of "
                    "its lesions. Curate lesions of more patients."
                )
            if generators:
                _check_generators(seen, held_out, where)
            if len(seen) < MOST * usual:
                small.append(f"{len(seen)} in {where}")
            asked = as_tested.labels[(folds == fold) & tested]
            without += [f"{name} in {where}" for index, name in enumerate(cohort.class_names) if index not in asked]
    told = []
    if small:
        told.append(f"{len(small)} fold(s) train on far fewer lesions than {usual:.0f}: {'; '.join(small[:NAMED])}.")
    if without:
        told.append(f"{len(without)} fold(s) test no lesion of a class: {'; '.join(without[:NAMED])}.")
    return told


def _check_generators(seen: Cohort, held_out: Cohort, where: str) -> None:
    try:
        check_fold(seen, held_out, seen.class_names)
    except InputError as error:
        without = ",".join(arm for arm in ARMS if arm not in GENERATORS and arm != "oracle")
        raise InputError(f"No generator can be trained in {where}. {error} Arms that need none: --arms {without}.") from None


def _not_tested(cohort: Cohort) -> list[str]:
    blind, tested = decided_blind(cohort), headline_lesions(cohort)
    told = []
    if not blind.all():
        told.append(
            f"{int((~blind).sum())} lesion(s) were decided after seeing the model's answer, or perhaps so: they train and are "
            "not tested."
        )
    if cohort.dropped:
        told.append(f"{cohort.dropped} lesion(s) that were decided blind count no more since an answer was seen. {BIASED}")
    if (blind & ~tested).any():
        told.append(
            f"The type of {int((blind & ~tested).sum())} lesion(s) rests on readers' opinion: they train, and the figures leave "
            "them out."
        )
    return told
