"""What is said beside the probabilities: the set that holds the type nine times in ten, and "unlike anything curated"."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from lesionlabel.evaluation.prediction_set import NOMINAL
from lesionlabel.evaluation.unlike import WARN_FROM
from lesionlabel.infers.notes import listed
from lesionlabel.registry.classifier import Classifier

FloatArray = NDArray[np.float64]

NO_TYPE = "No type is given, so there is no prediction set."
KEPT_NONE = "No prediction set: this version was trained before they were kept. Train a new one."
UNLIKE_NO_TYPE = "No type is given, so it was not compared with the curated lesions."
UNLIKE_UNKNOWN = "How unlike the curated lesions it is cannot be said: this version keeps too few of them, or none."
NO_WARNING = (
    "No warning that it is unlike the curated lesions. That does not mean that it is one of the classes: much else looks alike "
    "to the model."
)
#: Told where an image came without a patient: none of the lesions that it is compared with could be left out.
OWN_MAY_COUNT = (
    "Whose this image is, is not known, because it was not imported: lesions of this patient, even this one, may be among the "
    "curated ones that it is compared with, and make it look more usual than it is."
)


def prediction_set(classifier: Classifier | None, probabilities: FloatArray | None) -> dict[str, Any]:
    """classes: most probable first, None where there is no set. achieved: range of the coverage at that number of patients."""
    sets = None if classifier is None else classifier.manifest.prediction_sets
    said: dict[str, Any] = {
        "classes": None,
        "nominal": NOMINAL if sets is None else sets.nominal,
        "achieved": None if sets is None or sets.achieved is None else [round(limit, 2) for limit in sets.achieved],
        "lesions": 0 if sets is None else sets.lesions,
        "patients": 0 if sets is None else sets.patients,
        "per_class": sets is not None and sets.per_class,
    }
    if classifier is None or probabilities is None:
        return {**said, "sentence": NO_TYPE}
    if sets is None:
        return {**said, "sentence": KEPT_NONE}
    members = sets.members(probabilities)
    if members is None or sets.achieved is None:
        return {**said, "sentence": f"No prediction set: {sets.why_not}."}
    names = [classifier.class_names[i] for i in members]
    low, high = sets.achieved
    kind = "simulated lesions" if classifier.trained_on == "phantom" else "lesions"
    each = "of each class " if sets.per_class else ""
    sentence = (
        f"Prediction set: {listed(names, 'or')}. Made to hold the right class in {sets.nominal:.0%} of {kind} {each}like the "
        f"{sets.lesions} of {sets.patients} patients that it rests on; so few leave {low:.0%} to {high:.0%}. "
        "It knows no other class."
    )
    return {**said, "classes": names, "sentence": sentence}


def is_patient_known(patient: str | None) -> bool:
    """Whether a pseudonym is of a patient, and not that of an image that came without one."""
    return patient is not None and "image-" not in patient


def unlike(classifier: Classifier | None, features: FloatArray | None, patient: str | None) -> dict[str, Any]:
    """percentile: 0 to 100, None where it is not known. false_alarms: share, low, high, of; None where it was not measured.

    patient: pseudonym, whose own lesions do not count; None where it is not known. A model of the phantom knows no patient's.
    """
    percentile = None if classifier is None or features is None else classifier.percentile(features, patient)
    alarms = None if classifier is None else classifier.manifest.false_alarms
    warn = percentile is not None and percentile >= WARN_FROM
    said = {
        "percentile": None if percentile is None else round(percentile),
        "warn": warn,
        "warn_from": WARN_FROM,
        "false_alarms": None if alarms is None else alarms.to_json(),
    }
    if percentile is None:
        return {**said, "sentence": UNLIKE_NO_TYPE if features is None else UNLIKE_UNKNOWN}
    of_phantom = classifier is not None and classifier.trained_on == "phantom"
    unknown = "" if of_phantom or is_patient_known(patient) else f" {OWN_MAY_COUNT}"
    if not warn:
        return {**said, "sentence": NO_WARNING + unknown}
    usual = "usual simulated ones" if of_phantom else "usual ones"
    often = f"how often {usual} are was not measured" if alarms is None else f"so are {alarms.percent()} of {usual}"
    sentence = (
        f"Unlike anything curated: the model sees it farther from every curated lesion than {WARN_FROM:.0f} % of these are from "
        f"those of other patients ({often}). Do not rely on the type.{unknown}"
    )
    return {**said, "sentence": sentence}
