"""Test-then-train: what two versions say of lesions that were curated after both were made, as they came, decided blind.

The strongest evidence that use itself brings: nobody has chosen the cases, and neither version could have learned from them. It
is for those who promote, and decides nothing by itself, because most of these lesions are not proven.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np

from lesionlabel.augment.classic import originals
from lesionlabel.evaluation.crossval import is_simulated
from lesionlabel.evaluation.drift import drift_warnings
from lesionlabel.evaluation.metrics import Interval, lesion_weights, wilson
from lesionlabel.evaluation.noninferiority import MarginTest, against_margin, pair
from lesionlabel.evaluation.report import PHANTOM_SENTENCE
from lesionlabel.lesions.classes import ClassList
from lesionlabel.lesions.cohort import Cohort
from lesionlabel.registry.classifier import Classifier

ALPHA = 0.05


@dataclass(frozen=True, eq=False)
class InUse:
    """left_out: lesions of patients whom one of the versions has seen. right: of the candidate and of the champion, if any came.

    classes: sensitivity of the candidate less the champion's, for classes that have come. malignant_called_benign: by the
    candidate only, and by the champion only. drift: warnings, as of drift_warnings, against the candidate's snapshot.
    """

    candidate: str
    champion: str
    lesions: int
    patients: int
    proven: int
    left_out: int
    right: tuple[Interval, Interval] | None
    classes: dict[str, MarginTest]
    malignant_called_benign: tuple[int, int]
    simulated: bool
    drift: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        return {
            **{name: value for name, value in vars(self).items() if name not in ("right", "classes")},
            "right": self.right and {"candidate": self.right[0].to_json(), "champion": self.right[1].to_json()},
            "classes": {name: test.to_json() for name, test in self.classes.items()},
            "statement": self.to_text(),
        }

    def to_text(self) -> str:
        """In a few sentences."""
        left_out = f"{self.left_out} lesion(s) of patients that one of them has seen are left out."
        if self.right is None:
            text = (
                f"Since both {self.candidate} and {self.champion} are there, no lesion was decided blind in an image that no "
                f"model chose. {left_out}"
            )
            return " ".join([text, *self.drift])
        mine, theirs = (interval.percent() for interval in self.right)
        worse = [name for name, test in self.classes.items() if test.p_worse < ALPHA / len(self.classes)]
        shown = f"It is shown to be worse on {', '.join(worse)}." if worse else "It is not shown to be worse on any class."
        parts = [
            f"In use, on {self.lesions} lesions of {self.patients} patients decided blind since both versions are there "
            f"({self.proven} of them proven): {self.candidate} right on {mine}, {self.champion} on {theirs}. {shown}",
            f"Malignant called benign: {self.malignant_called_benign[0]} by the candidate only, "
            f"{self.malignant_called_benign[1]} by what serves only. {left_out}",
        ]
        return " ".join([*([PHANTOM_SENTENCE] if self.simulated else []), *parts, *self.drift])


def both_since(candidate: Classifier, champion: Classifier) -> datetime:
    """The moment from which on both versions have been there."""
    return max(datetime.fromisoformat(one.manifest.created) for one in (candidate, champion))


def compare_in_use(
    candidate: Classifier, champion: Classifier, came: Cohort, classes: ClassList, trained: Cohort | None
) -> InUse:
    """Both versions on the lesions that came since both_since. What a version has seen is no test of it.

    trained: the candidate's snapshot, None where it is gone.
    """
    seen = {*candidate.manifest.patients, *champion.manifest.patients}
    cohort = came.subset([i for i, patient in enumerate(came.patients) if patient not in seen])
    labels, patients = cohort.labels, np.asarray(cohort.patients)
    answers = [np.zeros(0, dtype=np.int64)] * 2
    if len(cohort):
        rois = originals(cohort)[:, 0].numpy()
        answers = [one.logits(rois).argmax(axis=1) for one in (candidate, champion)]
    right = [one == labels for one in answers]
    weights = lesion_weights(cohort.patients) if len(cohort) else np.zeros(0)
    tests = {}
    for index, name in enumerate(cohort.class_names):
        here = labels == index
        if here.any():
            tests[name] = against_margin([pair(right[0][here], right[1][here], patients[here].tolist())], ALPHA)
    malignant = np.isin(labels, classes.malignant_indices())
    benign = [np.isin(one, classes.benign_indices()) & malignant for one in answers]
    return InUse(
        candidate=candidate.version,
        champion=champion.version,
        lesions=len(cohort),
        patients=len(set(cohort.patients)),
        proven=sum(lesion.proof.is_strong for lesion in cohort),
        left_out=len(came) - len(cohort),
        right=(wilson(right[0], weights), wilson(right[1], weights)) if len(cohort) else None,
        classes=tests,
        malignant_called_benign=(int((benign[0] & ~benign[1]).sum()), int((benign[1] & ~benign[0]).sum())),
        simulated=bool(len(cohort)) and is_simulated(cohort),
        drift=() if trained is None or not len(came) else drift_warnings(trained, came),
    )
