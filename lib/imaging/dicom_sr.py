"""Lesions with their types and sizes as a DICOM Comprehensive SR (PS3.3 A.35.3), template TID 1500 (PS3.16).

A model's prediction and a reader's decision are two documents, never two groups of one: a document has one observer, one
completion and one history, and a viewer can show, hide or file each alone.

Outlines are 2-D, on their images, so nothing needs the 3-D SR: OHIF draws only points of that one, and an outline in it breaks
its viewport.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

import numpy as np
from highdicom.sr import (
    AlgorithmIdentification,
    ComprehensiveSR,
    ContentSequence,
    DeviceObserverIdentifyingAttributes,
    FindingSite,
    GraphicTypeValues,
    ImageRegion,
    Measurement,
    MeasurementReport,
    ObservationContext,
    ObserverContext,
    PersonObserverIdentifyingAttributes,
    PlanarROIMeasurementsAndQualitativeEvaluations,
    QualitativeEvaluation,
    ReferencedSegment,
    ReferencedSegmentationFrame,
    RelationshipTypeValues,
    SourceImageForRegion,
    SourceImageForSegmentation,
    TextContentItem,
    TrackingIdentifier,
    VolumetricROIMeasurementsAndQualitativeEvaluations,
)
from highdicom.sr.coding import CodedConcept
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileDataset
from pydicom.uid import ExplicitVRLittleEndian

from lesionlabel import NOT_FOR_CLINICAL_USE, __version__
from lesionlabel.imaging import codes as ours
from lesionlabel.imaging.dicom_seg import Algorithm, frames_of
from lesionlabel.imaging.result_instance import MANUFACTURER, MODEL_NAME, ResultInstance, finish, for_construction
from lesionlabel.imaging.source_series import SourceSeries

SLICE_THICKNESS = "112225"
#: Stands for a slice thickness that is not known, until the report is made.
NOT_KNOWN = -1.0

Group = PlanarROIMeasurementsAndQualitativeEvaluations | VolumetricROIMeasurementsAndQualitativeEvaluations


class Said(Enum):
    """Who says what a document says."""

    PREDICTION = "model's prediction"
    DECISION = "reader's decision"


@dataclass(frozen=True, eq=False)
class ReportedLesion:
    """One lesion in a report.

    finding: its type, coded. tracking_id, tracking_uid: as in the segmentation. slice_number, outline: as SourceSeries.outline
    gives them. diameter_mm: the long axis in that slice. segment: its number in the segmentation, None without one.
    volume_mm3: where the whole lesion was outlined. percents: (concept, whole number of percent) of each class, as a reader is
    shown them. evaluations: further coded statements. algorithm: what classified it, None for a reader. comments: in words.
    """

    finding: CodedConcept
    tracking_id: str
    tracking_uid: str
    slice_number: int
    outline: NDArray[np.float64]
    diameter_mm: float
    segment: int | None = None
    volume_mm3: float | None = None
    percents: tuple[tuple[CodedConcept, int], ...] = ()
    evaluations: tuple[tuple[CodedConcept, CodedConcept], ...] = ()
    algorithm: Algorithm | None = None
    comments: tuple[str, ...] = field(default=())


def make_report(
    source: SourceSeries,
    said: Said,
    lesions: Sequence[ReportedLesion],
    instance: ResultInstance,
    *,
    reader: str = "",
    comments: Sequence[str] = (),
    segmentation: Dataset | None = None,
) -> Dataset:
    """The report: unverified, preliminary and partial, since nobody says that it tells of every lesion of the study.

    Each lesion has a group that draws its outline on the image with the long axis, and, where there is a segmentation, one that
    refers to its segment with the volume; both bear the same tracking UID. reader: who decided, for a decision. comments: what
    holds of all of it, in words, after the sentence that it is not for clinical use. No lesions: what was said before is
    taken back, and the comments say so.
    """
    numbers = sorted({lesion.slice_number for lesion in lesions} | ({0} if not lesions else set()))
    headers = dict(zip(numbers, source.headers(numbers), strict=True))
    evidence = [_listed(header, source) for header in headers.values()]
    if segmentation is not None:
        evidence += _segmented(source, segmentation, {str(header.SOPInstanceUID) for header in headers.values()})
    groups = [group for lesion in lesions for group in _groups(lesion, headers[lesion.slice_number], segmentation)]
    report = MeasurementReport(
        observation_context=ObservationContext(
            observer_person_context=_person(reader) if said is Said.DECISION else None,
            observer_device_context=_device(instance) if said is Said.PREDICTION else None,
        ),
        procedure_reported=ours.CT_EXAMINATION,
        imaging_measurements=groups,
        title=ours.IMAGING_REPORT,
        referenced_images=[image for image in evidence if image.get("Modality") == "CT"],
    )
    _forget_unknown(report[0])
    _comment(report[0], (f"{said.value.capitalize()}. {NOT_FOR_CLINICAL_USE}", *comments))
    ds = ComprehensiveSR(
        evidence=[*evidence, *([] if segmentation is None else [segmentation])],
        content=report,
        transfer_syntax_uid=ExplicitVRLittleEndian,
        previous_versions=None if instance.replaces is None else [instance.replaces.to_dataset()],
        **instance.equipment(),
    )
    finish(ds, headers[numbers[0]], instance)
    if not groups:
        # A container may have no content, but no empty list of it (PS3.3 C.17.3).
        del next(item for item in ds.ContentSequence if item.get("ValueType") == "CONTAINER" and not item.ContentSequence)[
            "ContentSequence"
        ]
    return ds


def _segmented(source: SourceSeries, segmentation: Dataset, known: set[str]) -> list[Dataset]:
    """The headers of the slices that the segmentation was made on, but the known ones."""
    referenced = {
        str(item.ReferencedSOPInstanceUID)
        for series in segmentation.ReferencedSeriesSequence
        for item in series.ReferencedInstanceSequence
    }
    wanted = [n for n, uid in enumerate(source.sop_uids) if uid in referenced - known]
    return [_listed(header, source) for header in source.headers(wanted)]


def _listed(header: FileDataset, source: SourceSeries) -> Dataset:
    """A slice for the image library, which tells distance and thickness of slices (TID 1604); CT headers may lack both."""
    bare = for_construction(header)
    bare.SpacingBetweenSlices = round(source.geometry.spacing[2], 6)
    if not bare.get("SliceThickness"):
        bare.SliceThickness = NOT_KNOWN
    return bare


def _groups(lesion: ReportedLesion, header: FileDataset, segmentation: Dataset | None) -> list[Group]:
    region = ImageRegion(
        graphic_type=GraphicTypeValues.POLYLINE,
        graphic_data=lesion.outline,
        source_image=SourceImageForRegion(header.SOPClassUID, header.SOPInstanceUID),
    )
    axis = Measurement(ours.LONG_AXIS, round(lesion.diameter_mm, 1), ours.MILLIMETRE)
    drawn = PlanarROIMeasurementsAndQualitativeEvaluations(
        referenced_region=region, measurements=[axis, *_probabilities(lesion)], **_common(lesion)
    )
    _comment(drawn[0], lesion.comments)
    if segmentation is None or lesion.segment is None:
        return [drawn]
    return [drawn, _segment_group(lesion, segmentation, lesion.segment)]


def _segment_group(lesion: ReportedLesion, segmentation: Dataset, number: int) -> Group:
    """The group of the lesion's segment: of its only frame, or of the whole of it with its volume."""
    frames = frames_of(segmentation, number)
    images = [_source_of(segmentation, frame) for frame in frames]
    if lesion.volume_mm3 is None and len(frames) == 1:
        frame = ReferencedSegmentationFrame(segmentation.SOPClassUID, segmentation.SOPInstanceUID, frames[0], number, images[0])
        # Either a frame or a segment is named, not both (PS3.3 table 10-3).
        del frame[0].ReferencedSOPSequence[0].ReferencedSegmentNumber
        return PlanarROIMeasurementsAndQualitativeEvaluations(referenced_segment=frame, **_common(lesion))
    segment = ReferencedSegment(segmentation.SOPClassUID, segmentation.SOPInstanceUID, number, source_images=images)
    volume = [] if lesion.volume_mm3 is None else [Measurement(ours.VOLUME, round(lesion.volume_mm3), ours.CUBIC_MILLIMETRE)]
    return VolumetricROIMeasurementsAndQualitativeEvaluations(referenced_segment=segment, measurements=volume, **_common(lesion))


def _source_of(segmentation: Dataset, frame: int) -> SourceImageForSegmentation:
    """The image under a frame, by its number from 1."""
    derivation = segmentation.PerFrameFunctionalGroupsSequence[frame - 1].DerivationImageSequence[0]
    image = derivation.SourceImageSequence[0]
    return SourceImageForSegmentation(image.ReferencedSOPClassUID, image.ReferencedSOPInstanceUID)


def _common(lesion: ReportedLesion) -> dict[str, Any]:
    algorithm = lesion.algorithm
    return {
        "tracking_identifier": TrackingIdentifier(lesion.tracking_uid, lesion.tracking_id),
        "finding_type": lesion.finding,
        "finding_sites": [FindingSite(ours.LIVER)],
        "algorithm_id": algorithm
        and AlgorithmIdentification(
            algorithm.name, algorithm.version, [f"{name}={value}" for name, value in algorithm.parameters] or None
        ),
        "qualitative_evaluations": [QualitativeEvaluation(name, value) for name, value in lesion.evaluations] or None,
    }


def _probabilities(lesion: ReportedLesion) -> list[Measurement]:
    return [Measurement(name, percent, ours.PERCENT) for name, percent in lesion.percents]


def _person(reader: str) -> ObserverContext:
    # The caret says that all of it is one component of a person's name (PS3.5 6.2).
    name = "".join(c for c in reader if c not in "\\^=" and c.isprintable())[:60].strip() or "unknown"
    return ObserverContext(ours.PERSON, PersonObserverIdentifyingAttributes(name=f"{name}^"))


def _device(instance: ResultInstance) -> ObserverContext:
    attributes = DeviceObserverIdentifyingAttributes(
        uid=instance.device_uid, name=MODEL_NAME, manufacturer_name=MANUFACTURER, model_name=f"{MODEL_NAME} {__version__}"
    )
    return ObserverContext(ours.DEVICE, attributes)


def _forget_unknown(container: Dataset) -> None:
    """Take out what stands for a slice thickness that the source does not tell."""
    for item in container.get("ContentSequence", ()):
        _forget_unknown(item)
    kept = [item for item in container.get("ContentSequence", ()) if not _is_unknown(item)]
    if len(kept) < len(container.get("ContentSequence", ())):
        container.ContentSequence = ContentSequence(kept)


def _is_unknown(item: Dataset) -> bool:
    values = item.get("MeasuredValueSequence")
    return item.ConceptNameCodeSequence[0].CodeValue == SLICE_THICKNESS and bool(values) and float(values[0].NumericValue) < 0


def _comment(container: Dataset, texts: Sequence[str]) -> None:
    """TID 1500 and the templates of groups may be extended: each text is an item "Comment"."""
    items = [TextContentItem(ours.COMMENT, text, RelationshipTypeValues.CONTAINS) for text in texts]
    container.ContentSequence = ContentSequence([*container.ContentSequence, *items])
