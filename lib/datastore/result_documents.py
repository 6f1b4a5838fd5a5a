"""The DICOM documents of one version of an image's results: what the reader decided, and what the model had said of it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from enum import Enum
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

from lesionlabel import __version__
from lesionlabel.datastore.given_answers import GivenAnswer
from lesionlabel.datastore.result_lesions import ResultLesion, pixels_in
from lesionlabel.imaging import codes
from lesionlabel.imaging.dicom_seg import Algorithm, Segment, make_segmentation
from lesionlabel.imaging.dicom_sr import ReportedLesion, Said, make_report
from lesionlabel.imaging.result_instance import FIRST_SERIES_NUMBER, SIMULATED, Reference, ResultInstance, reference_to
from lesionlabel.imaging.source_series import SourceSeries
from lesionlabel.lesions.classes import ClassList, LesionClass
from lesionlabel.lesions.errors import UnknownClassError
from lesionlabel.lesions.percent import never_certain
from lesionlabel.lesions.volume import Geometry

SEGMENTER = Algorithm("LesionLabel segmenter", __version__)
CLASSIFIER = "LesionLabel lesion classifier"
ROUNDED = "Probabilities are in steps of 5 %; 5 means 5 % or less, 95 means 95 % or more."
TAKEN_BACK = "Taken back: the reader's label holds no lesion of a type any more. Earlier versions no longer hold."
TAKEN_BACK_PREDICTION = "Taken back: there is no prediction on a lesion that the reader's label holds now."


class Kind(Enum):
    """The four kinds of documents; each has a series of its own. Values: what its series is called."""

    DECISION_SEG = "reader's outlines"
    DECISION_SR = "reader's decision"
    PREDICTION_SEG = "model's outlines"
    PREDICTION_SR = "model's prediction"

    @property
    def series_number(self) -> int:
        return FIRST_SERIES_NUMBER + 1 + list(Kind).index(self)


#: The two documents of what is said.
KINDS = {Said.DECISION: (Kind.DECISION_SEG, Kind.DECISION_SR), Said.PREDICTION: (Kind.PREDICTION_SEG, Kind.PREDICTION_SR)}


@dataclass(frozen=True, eq=False)
class Case:
    """What the documents are about and by. grid: of the volume. version: of the image's results. info: of the final label.

    said_at: when the reader decided, or the model answered, with a zone.
    """

    source: SourceSeries
    grid: Geometry
    classes: ClassList
    simulated: bool
    info: dict[str, Any]
    lesions: Sequence[ResultLesion]
    version: int
    said_at: datetime
    device_uid: str

    def told(self, said: Said) -> list[ResultLesion]:
        """The lesions of which something is said: all by the reader, by the model those that it answered on."""
        return [lesion for lesion in self.lesions if said is Said.DECISION or lesion.answer is not None]

    def digest(self, said: Said) -> str:
        """The same for the same statement, however often it is submitted."""
        statement: list[Any] = [said.name]
        for lesion in self.told(said):
            statement.append([lesion.tracking_uid, hashlib.sha256(lesion.voxels.tobytes()).hexdigest()])
            if said is Said.DECISION:
                found = lesion.lesion
                statement.append([found.label, str(found.proof), found.reader, found.saw_model, round(found.diameter_mm, 1)])
            elif lesion.answer is not None:
                statement.append(lesion.answer.json)
        return hashlib.sha256(json.dumps(statement, sort_keys=True).encode()).hexdigest()

    def instance(self, kind: Kind, series_uid: str, replaces: Reference | None) -> ResultInstance:
        return ResultInstance(
            series_uid=series_uid,
            sop_uid=str(generate_uid(prefix=None)),
            series_number=kind.series_number,
            version=self.version,
            what=kind.value,
            said_at=self.said_at,
            device_uid=self.device_uid,
            simulated=self.simulated,
            replaces=replaces,
        )


def compose(case: Case, said: Said, series: dict[Kind, str], before: dict[Kind, Reference]) -> dict[Kind, Dataset]:
    """The segmentation and the report of what is said; of no lesions the report alone, which takes back what was said before.

    series: the Series Instance UID of each kind. before: the newest document of each kind, which the new one replaces.
    """
    seg_kind, sr_kind = KINDS[said]
    lesions = case.told(said)
    made: dict[Kind, Dataset] = {}
    if lesions:
        segments = [_segment(case, said, lesion) for lesion in lesions]
        instance = case.instance(seg_kind, series[seg_kind], before.get(seg_kind))
        made[seg_kind] = make_segmentation(case.source, segments, instance)
    reported = [_reported(case, said, lesion, number) for number, lesion in enumerate(lesions, start=1)]
    made[sr_kind] = make_report(
        case.source,
        said,
        reported,
        case.instance(sr_kind, series[sr_kind], before.get(sr_kind)),
        reader=str(case.info.get("reader", "")),
        comments=_comments(case, said, lesions),
        segmentation=made.get(seg_kind),
    )
    return made


def report_of_answers(case: Case, answers: Sequence[dict[str, Any]]) -> Dataset:
    """The report of answers alone, for download: with outlines on the images, and no segmentation beside it."""
    at = case.said_at.isoformat(timespec="seconds")
    given = [GivenAnswer(at, answer) for answer in answers]
    lesions = [
        _predicted(case, answer, f"Lesion {n}", str(generate_uid(prefix=None)), None) for n, answer in enumerate(given, start=1)
    ]
    instance = case.instance(Kind.PREDICTION_SR, str(generate_uid(prefix=None)), None)
    return make_report(case.source, Said.PREDICTION, lesions, instance, comments=_told(case, answers))


def segmentation_of_voxels(case: Case, outlined: Sequence[tuple[str, NDArray[np.int64]]], by_model: bool) -> Dataset:
    """The segmentation of what a model returned, for download.

    outlined: (label, voxels (n, 3) of (i, j, k) on the case's grid). by_model: whether our segmenter drew it.
    """
    segments = [
        Segment(
            case.source.pixels_of(voxels, case.grid),
            label[:64],
            codes.LESION,
            f"Lesion {number}",
            str(generate_uid(prefix=None)),
            SEGMENTER if by_model else None,
        )
        for number, (label, voxels) in enumerate(outlined, start=1)
    ]
    return make_segmentation(case.source, segments, case.instance(Kind.PREDICTION_SEG, str(generate_uid(prefix=None)), None))


def references(made: dict[Kind, Dataset]) -> dict[str, dict[str, str]]:
    """The documents' identities, as records keep them."""
    return {kind.name: asdict(reference_to(ds)) for kind, ds in made.items()}


def _segment(case: Case, said: Said, lesion: ResultLesion) -> Segment:
    """The reader's outline is of the type that the reader gave; the model's is of a lesion, for its type is only likely."""
    outlined = None if lesion.answer is None else pixels_in(lesion.answer.contour(case.grid), case.grid)
    if said is Said.DECISION or outlined is None:
        # A reader who leaves the software's outline as it is has not drawn it.
        label, kind, voxels = f"{lesion.lesion.label} ({lesion.tracking_id})", _kind(case.classes, lesion), lesion.voxels
        algorithm = SEGMENTER if lesion.by_software else None
    else:
        label, kind, voxels = f"{lesion.tracking_id}, model's outline", codes.LESION, outlined
        algorithm = SEGMENTER if lesion.answer is not None and lesion.answer.segmented else None
    pixels = case.source.pixels_of(voxels, case.grid)
    return Segment(pixels, label[:64], kind, lesion.tracking_id, lesion.tracking_uid, algorithm)


def _reported(case: Case, said: Said, lesion: ResultLesion, number: int) -> ReportedLesion:
    if said is Said.PREDICTION and lesion.answer is not None:
        return _predicted(case, lesion.answer, lesion.tracking_id, lesion.tracking_uid, number)
    found = lesion.lesion
    slice_number, outline = case.source.outline(found.contour, case.grid)
    saw = {True: codes.YES, False: codes.NO, None: codes.UNKNOWN}[found.saw_model]
    known = _class_of(case.classes, found.label) is not None
    return ReportedLesion(
        finding=_kind(case.classes, lesion),
        tracking_id=lesion.tracking_id,
        tracking_uid=lesion.tracking_uid,
        slice_number=slice_number,
        outline=outline,
        diameter_mm=found.diameter_mm,
        segment=number,
        volume_mm3=lesion.volume_mm3 if lesion.slices > 1 else None,
        evaluations=((codes.PROVEN_BY, codes.proof_code(found.proof)), (codes.SAW_MODEL, saw)),
        comments=() if known else (f"The reader's type: {found.label}, none of {', '.join(case.classes.names)}.",),
    )


def _predicted(case: Case, answer: GivenAnswer, tracking_id: str, tracking_uid: str, number: int | None) -> ReportedLesion:
    said = answer.json
    slice_number, outline = case.source.outline(answer.contour(case.grid), case.grid)
    names = [(entry["label"], float(entry["score"])) for entry in said["prediction"]]
    scores = [(_class_of(case.classes, name) or _strange(name), score) for name, score in names]
    model = said["model"]
    used = (("weights-sha256", str(model["sha256"])[:12]), ("trained-on", str(model["trained_on"])))
    return ReportedLesion(
        finding=codes.class_code(max(scores, key=lambda pair: pair[1])[0]),
        tracking_id=tracking_id,
        tracking_uid=tracking_uid,
        slice_number=slice_number,
        outline=outline,
        diameter_mm=float(said["lesion"]["diameter_mm"]),
        segment=number,
        percents=tuple((codes.probability_of(name), never_certain(score)) for name, score in scores),
        algorithm=Algorithm(CLASSIFIER, str(model["version"]), used),
        comments=(str(said["display"]), *(note for note in said.get("reader_notes", ()) if note != said.get("closed_set"))),
    )


def _comments(case: Case, said: Said, lesions: Sequence[ResultLesion]) -> list[str]:
    comments = [f"{SIMULATED}."] if case.simulated else []
    if said is Said.PREDICTION:
        answers = [lesion.answer.json for lesion in lesions if lesion.answer is not None]
        return _told(case, answers) if lesions else [*comments, TAKEN_BACK_PREDICTION]
    if not lesions:
        return [*comments, TAKEN_BACK]
    left_out = len(case.info.get("questions", [])) + len(case.info.get("not_curated", []))
    if left_out:
        comments.append(f"{left_out} part(s) of the reader's label are not reported: they are not yet a lesion of a type.")
    return comments


def _told(case: Case, answers: Sequence[dict[str, Any]]) -> list[str]:
    """What holds of a model's answers: the classes it knows, and what is to be warned of."""
    told = [text for answer in answers for text in (answer.get("closed_set", ""), *answer.get("warnings", ())) if text]
    return list(dict.fromkeys([*([f"{SIMULATED}."] if case.simulated else []), *told, ROUNDED]))


def _kind(classes: ClassList, lesion: ResultLesion) -> Any:
    known = _class_of(classes, lesion.lesion.label)
    return codes.LESION if known is None else codes.class_code(known)


def _class_of(classes: ClassList, name: str) -> LesionClass | None:
    try:
        return classes.classes[classes.index(name)]
    except UnknownClassError:
        return None


def _strange(name: str) -> LesionClass:
    """A class of a model that served before the class list was changed."""
    return LesionClass(name, "", name, False, (128, 128, 128))
