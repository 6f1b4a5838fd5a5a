"""All curated lesions of a studies folder, with the context that each ROI is cut from."""

from __future__ import annotations

import logging
from collections import Counter
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Literal

from lesionlabel.datastore.curated import CuratedDatastore
from lesionlabel.datastore.index import FINAL
from lesionlabel.datastore.pacs import PacsDatastore
from lesionlabel.datastore.pacs_address import address_of, studies_folder
from lesionlabel.imaging.sidecar import read_sidecar
from lesionlabel.imaging.store import VolumeStore
from lesionlabel.imaging.synthetic_register import SyntheticRegister
from lesionlabel.imaging.synthetic_seen import synthetic_volume
from lesionlabel.lesions.classes import ClassList
from lesionlabel.lesions.cohort import BIASED, BlindDecision, Cohort, CohortLesion
from lesionlabel.lesions.consensus import Agreement, Settled
from lesionlabel.lesions.errors import InputError, NotFoundError, PacsDamagedError
from lesionlabel.lesions.lesion import Lesion
from lesionlabel.lesions.matching import same_lesions
from lesionlabel.lesions.readings import spacing_of, usable
from lesionlabel.lesions.roi import cut_context
from lesionlabel.lesions.volume import Volume
from lesionlabel.settings import Settings

logger = logging.getLogger(__name__)

Kind = Literal["patients", "phantom"]
#: Strategies that offer images by what a model says of them; the last is an earlier release's.
ACTIVE_LEARNING = frozenset({"uncertainty", "diversity", "uncertainty_and_diversity", "most_informative"})


def curated_lesions(datastore: CuratedDatastore, classes: ClassList) -> dict[str, list[Lesion]]:
    """The lesions that count by image id, as counted_lesions finds them."""
    found = counted_lesions(datastore, classes)
    return {image_id: [one.lesion for one in settled if one.lesion is not None] for image_id, settled in found.items()}


def counted_lesions(datastore: CuratedDatastore, classes: ClassList, blind: bool = False) -> dict[str, list[Settled]]:
    """The lesions of the final labels whose class counts, by image id, with what each reader said.

    blind: as decided before anybody may have seen a model's answer, whatever was decided later.
    Left out, and counted in the log: those on which readers differ and nobody decided, those of a class that is not configured,
    and those in images that a generator made.
    """
    found: dict[str, list[Settled]] = {}
    others: Counter[str] = Counter()
    synthetic = disputed = 0
    for image_id in datastore.get_labeled_images():
        if datastore.is_generated(image_id):
            synthetic += len(datastore.get_label_info(image_id, FINAL).get("lesions", []))
            continue
        readings = datastore.readings
        for settled in readings.settled_blind(image_id) if blind else readings.settled(image_id):
            lesion = settled.lesion
            if lesion is None:
                disputed += settled.agreement is Agreement.OPEN
            elif lesion.label in classes.names:
                found.setdefault(image_id, []).append(settled)
            else:
                others[lesion.label] += 1
    if synthetic:
        logger.warning("%d lesion(s) in synthetic images are left out: they are no patients'.", synthetic)
    if disputed:
        logger.warning(
            "%d lesion(s) on which readers differ are left out until somebody decides: "
            "'lesionlabel readers disagreements' lists them.",
            disputed,
        )
    for label, count in sorted(others.items()):
        logger.warning("%d curated lesion(s) of the class %r are left out: it is not in the class list.", count, label)
    return found


def cohort_of_studies(studies: Path, settings: Settings, kind: str | None = None) -> Cohort:
    """The cohort of a studies folder; kind as in cohort_of. Raises InputError also when the folder is not there."""
    if kind not in (None, "patients", "phantom"):
        raise InputError(f"Unknown kind {kind!r}. Allowed: patients, phantom.")
    return cohort_of(*open_studies(studies, settings), settings.classes, kind)


def open_studies(studies: Path, settings: Settings) -> tuple[CuratedDatastore, VolumeStore]:
    """A studies folder, or the PACS that studies names or holds the labels of, to read from, with volumes.

    What a generator made is recognised by its pixels too. Series that are not here any more are fetched again. Raises InputError
    when the folder is not there.
    """
    studies = studies_folder(studies, settings)
    address = address_of(studies)
    if not studies.is_dir():
        raise InputError(f"The studies folder {studies} is not there.")
    store = VolumeStore(settings.volumes_folder, int(settings.volume_cache_gib * 2**30))
    if address is not None:
        return PacsDatastore(address, settings), store
    register = SyntheticRegister(settings.synthetic_folder)
    return CuratedDatastore(studies, recognise=lambda path: synthetic_volume(path, register)), store


def cohort_of(datastore: CuratedDatastore, store: VolumeStore, classes: ClassList, kind: Kind | None = None) -> Cohort:
    """The cohort that training starts from.

    kind: take only lesions of patients, or only of the phantom. Raises InputError when both are there and none is chosen,
    or when there is no curated lesion.
    """
    lesions = counted_lesions(datastore, classes)
    sidecars = {image_id: read_sidecar(datastore.studies, image_id) for image_id in lesions}
    simulated = {image_id for image_id, sidecar in sidecars.items() if sidecar.simulated}
    counts = {
        "phantom": sum(len(found) for image_id, found in lesions.items() if image_id in simulated),
        "patients": sum(len(found) for image_id, found in lesions.items() if image_id not in simulated),
    }
    if kind is None and all(counts.values()):
        raise InputError(
            f"The studies folder holds {counts['patients']} curated lesion(s) of patients and {counts['phantom']} of the "
            "phantom. They never train together: choose one kind, 'patients' or 'phantom'."
        )
    chosen = {
        image_id: found for image_id, found in lesions.items() if kind is None or (image_id in simulated) == (kind == "phantom")
    }
    if not chosen:
        wanted = "" if kind is None else f" of the kind {kind!r} (there are {counts})"
        raise InputError(
            f"There is no curated lesion{wanted} in the studies folder. "
            "Save labels whose segments are named by class with the tag 'final' first, and decide where readers differ."
        )
    return _with_blind(datastore, classes, chosen, _cut(datastore, store, classes, chosen))


def consecutive_cohort(
    datastore: CuratedDatastore, store: VolumeStore, classes: ClassList, kind: Kind, since: datetime
) -> Cohort:
    """The lesions of one kind that were curated after a moment, in use: decided blind, in images that no model has chosen.

    What active learning offers is what a model is unsure of, and says nothing about usual cases. A label that was saved again is
    taken as it was saved last before the model's answer could have been seen.
    """
    chosen: dict[str, list[Settled]] = {}
    for image_id, found in counted_lesions(datastore, classes, blind=True).items():
        offered_by = set(datastore.get_image_info(image_id).get("strategy", {}))
        if offered_by & ACTIVE_LEARNING or read_sidecar(datastore.studies, image_id).simulated != (kind == "phantom"):
            continue
        blind = [x for x in found if x.lesion is not None and _blind_since(x.lesion, since)]
        if blind:
            chosen[image_id] = blind
    return _cut(datastore, store, classes, chosen)


def _with_blind(datastore: CuratedDatastore, classes: ClassList, found: dict[str, list[Settled]], cohort: Cohort) -> Cohort:
    """The cohort with what was decided blind of lesions decided again since, and how many such decisions count no more."""
    decided: dict[str, BlindDecision] = {}
    dropped = 0
    simulated = {read_sidecar(datastore.studies, image_id).simulated for image_id in found}
    for image_id in datastore.get_labeled_images():
        if datastore.is_generated(image_id) or read_sidecar(datastore.studies, image_id).simulated not in simulated:
            continue
        now = [one.lesion for one in found.get(image_id, []) if one.lesion is not None]
        decisions = datastore.readings.decisions(image_id)
        if all(one.blind for one in decisions) and all(one.saw_model is False for one in now):
            continue
        blind = [one.lesion for one in datastore.readings.settled_blind(image_id) if one.lesion is not None]
        blind = [lesion for lesion in blind if lesion.label in classes.names]
        same = same_lesions(now, blind, spacing_of(usable(decisions)))
        dropped += len(blind) - len(same)
        for ours, before in same:
            if now[ours].saw_model is not False:
                decided[now[ours].lesion_id] = BlindDecision(blind[before].label, blind[before].proof)
    if dropped:
        logger.warning("%d lesion(s) that were decided blind count no more since an answer was seen. %s", dropped, BIASED)
    lesions = tuple(replace(lesion, blind=decided.get(lesion.lesion_id)) for lesion in cohort)
    return Cohort(lesions, cohort.class_names, dropped)


def _blind_since(lesion: Lesion, since: datetime) -> bool:
    return lesion.saw_model is False and datetime.fromisoformat(lesion.curated_at) > since


def _opened(datastore: CuratedDatastore, store: VolumeStore, image_id: str) -> Volume | None:
    """The volume that an image's labels were drawn on; None where it cannot be had any more."""
    try:
        path = datastore.labelled_image(image_id)
    except (NotFoundError, InputError, PacsDamagedError):
        return None
    try:
        return store.open(path)
    except NotFoundError:  # it went in this moment
        return None


def _cut(datastore: CuratedDatastore, store: VolumeStore, classes: ClassList, chosen: dict[str, list[Settled]]) -> Cohort:
    """The lesions, by image, with the context that each ROI is cut from, without images that cannot be had from the PACS."""
    members, lost = [], 0
    for image_id, found in sorted(chosen.items()):
        volume = _opened(datastore, store, image_id)
        if volume is None:
            lost += len(found)
            continue
        # After it was opened, as fetching it again may find it to be another patient's.
        patient = read_sidecar(datastore.studies, image_id).patient
        for settled in found:
            lesion = settled.lesion
            assert lesion is not None
            members.append(
                CohortLesion(
                    lesion_id=lesion.lesion_id,
                    patient=patient,
                    label=lesion.label,
                    context=cut_context(volume, lesion.contour),
                    proof=lesion.proof,
                    saw_model=lesion.saw_model,
                    readers=settled.readers,
                    agreement=settled.agreement,
                )
            )
    if lost:
        logger.warning("%d lesion(s) are left out: their series are gone from the PACS and from here, or cannot be used.", lost)
    return Cohort(tuple(members), tuple(classes.names))
