"""What the readers of a studies folder agree and differ on, over all its images."""

from __future__ import annotations

from typing import Any

import numpy as np

from lesionlabel.datastore.curated import CuratedDatastore
from lesionlabel.datastore.readings import NOBODY
from lesionlabel.evaluation.agreement import LesionRead, ReaderAgreement, reader_agreement
from lesionlabel.evaluation.report import PHANTOM_SENTENCE
from lesionlabel.imaging.sidecar import read_sidecar
from lesionlabel.lesions.classes import ClassList
from lesionlabel.lesions.consensus import Agreement, Settled
from lesionlabel.lesions.readings import read_lesions, reader_key, usable

#: What has to be known with the figures.
ALL_NOTE = (
    "Each reader's last decision counts, also one made after the model's answer was seen: readers whom the same model has told "
    "the same agree more than they would by themselves. The figures on blind decisions do not have this."
)
BLIND_NOTE = (
    "Each reader's last decision counts that was made before the reader could have seen a model's answer, also where the reader "
    "changed it later. Blind means the model, not the other readers: a reader who opened the other's label was not independent."
)


def image_readings(datastore: CuratedDatastore, image_id: str) -> dict[str, Any]:
    """Each reader's decision on an image, what counts of each lesion, and every adjudication. Raises NotFoundError."""
    readings = datastore.readings
    return {
        "image": image_id,
        "decisions": [decision.to_json() for decision in readings.latest(image_id)],
        "earlier": [_brief(one.to_json()) for one in readings.superseded(image_id)],
        "lesions": [settled.to_json() for settled in readings.settled(image_id)],
        "adjudications": [one.to_json() for one in readings.adjudications(image_id)],
    }


def disagreements(datastore: CuratedDatastore, settled_too: bool = False) -> list[tuple[str, Settled]]:
    """(image id, lesion) of lesions that nobody decided; with settled_too also of those settled by proof or an adjudicator."""
    found = []
    for image_id in datastore.get_labeled_images():
        for settled in datastore.readings.settled(image_id):
            is_settled = settled.agreement in (Agreement.BY_PROOF, Agreement.ADJUDICATED)
            if settled.agreement is Agreement.OPEN or (settled_too and is_settled):
                found.append((image_id, settled))
    return found


def agreement_of_readers(
    datastore: CuratedDatastore, classes: ClassList, blind: bool, seed: int = 0
) -> tuple[ReaderAgreement, str]:
    """How far readers agree, with what has to be known of the figures. blind: of decisions made without the model's answer.

    Simulated images count only where no patient's image was read by two readers. Lesions of a class that is not configured count
    as "other". Readings of nobody in particular are left out: one id may be several people. A reader is called as written last.
    """
    lesions: dict[bool, list[LesionRead]] = {False: [], True: []}
    called: dict[str, tuple[str, str]] = {}
    nameless = 0
    for image_id in datastore.get_labeled_images():
        found = usable(datastore.readings.latest(image_id, blind))
        decisions = [one for one in found if reader_key(one.reader) not in NOBODY]
        nameless += len(found) - len(decisions)
        for one in decisions:
            key = reader_key(one.reader)
            if one.saved_at >= called.get(key, ("", ""))[0]:
                called[key] = one.saved_at, one.reader
        if len(decisions) < 2:
            continue
        sidecar = read_sidecar(datastore.studies, image_id)
        for read in read_lesions(decisions):
            said = {reader_key(stance.reader): stance.lesion for stance in read.stances}
            lesions[sidecar.simulated].append(LesionRead(sidecar.patient, said))
    simulated = not lesions[False] and bool(lesions[True])
    note = BLIND_NOTE if blind else ALL_NOTE
    if nameless:
        note += f" {nameless} reading(s) without a reader's own name or id are left out."
    named = [LesionRead(one.patient, {called[key][1]: x for key, x in one.by.items()}) for one in lesions[simulated]]
    figures = reader_agreement(named, classes, np.random.default_rng(seed))
    return figures, f"{PHANTOM_SENTENCE} {note}" if simulated else note


def _brief(decision: dict[str, Any]) -> dict[str, Any]:
    labels = [lesion["label"] for lesion in decision["lesions"]]
    return {**{key: decision[key] for key in ("reader", "saved_at", "proof", "saw_model", "blind", "problem")}, "labels": labels}
