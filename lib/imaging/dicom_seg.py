"""Lesions' outlines as a DICOM Segmentation (PS3.3 A.51) on the pixels of their own series."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from highdicom.content import AlgorithmIdentificationSequence
from highdicom.seg import SegmentAlgorithmTypeValues, SegmentationTypeValues, SegmentDescription
from highdicom.seg import Segmentation as HighdicomSegmentation
from highdicom.sr.coding import CodedConcept
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.valuerep import DSfloat

from lesionlabel.imaging.codes import ARTIFICIAL_INTELLIGENCE, LIVER, MORPHOLOGICALLY_ABNORMAL, REPLACES
from lesionlabel.imaging.result_instance import RESEARCH, SIMULATED, ResultInstance, finish, for_construction
from lesionlabel.imaging.source_series import SourceSeries
from lesionlabel.lesions.errors import InputError


@dataclass(frozen=True)
class Algorithm:
    """A piece of software that outlines or classifies. parameters: what else makes its answers come about again."""

    name: str
    version: str
    parameters: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, eq=False)
class Segment:
    """One lesion's outline.

    pixels: (n, 3) as SourceSeries.pixels_of gives them; segments may overlap. label: as viewers list it. kind: what it is,
    coded. tracking_id, tracking_uid: the same in every version and document. algorithm: what drew it from a reader's click, None
    for a reader.
    """

    pixels: NDArray[np.int64]
    label: str
    kind: CodedConcept
    tracking_id: str
    tracking_uid: str
    algorithm: Algorithm | None = None

    @property
    def algorithm_type(self) -> SegmentAlgorithmTypeValues:
        return SegmentAlgorithmTypeValues.MANUAL if self.algorithm is None else SegmentAlgorithmTypeValues.SEMIAUTOMATIC


def make_segmentation(source: SourceSeries, segments: Sequence[Segment], instance: ResultInstance) -> Dataset:
    """A binary segmentation, one frame for each segment and slice in which it has pixels.

    Raises InputError without a segment or where one has no pixel.
    """
    if not segments or any(not len(segment.pixels) for segment in segments):
        raise InputError("A segmentation needs lesions, and each of them at least one pixel.")
    numbers = np.unique(np.concatenate([segment.pixels[:, 0] for segment in segments]))
    headers = source.headers(numbers)
    images = [for_construction(header) for header in headers]
    framed = bool(headers[0].get("FrameOfReferenceUID"))
    if not framed:
        for image in images:
            image.FrameOfReferenceUID = instance.series_uid
    ds = HighdicomSegmentation(
        source_images=images,
        pixel_array=_planes(segments, numbers, source.geometry.shape[1:]),
        segmentation_type=SegmentationTypeValues.BINARY,
        segment_descriptions=[_description(number, segment) for number, segment in enumerate(segments, start=1)],
        content_label="RESEARCH",
        content_description=instance.description,
        **instance.equipment(),
    )
    if instance.replaces is not None:
        # PS3.3 C.12.4: a segmentation has no list of predecessors as a report has.
        earlier = Dataset()
        earlier.ReferencedSOPClassUID = instance.replaces.sop_class_uid
        earlier.ReferencedSOPInstanceUID = instance.replaces.sop_uid
        earlier.PurposeOfReferenceCodeSequence = [REPLACES]
        ds.ReferencedInstanceSequence = [earlier]
    finish(ds, headers[0], instance)
    if not framed:
        # highdicom wants one; the standard (A.51.3) does not where frames name their images, and the source has none.
        del ds.FrameOfReferenceUID, ds.PositionReferenceIndicator
    _shorten(ds.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0])
    for item, segment in zip(ds.SegmentSequence, segments, strict=True):
        # PS3.3 C.8.20.2: required of what software drew, beside the identification.
        if segment.algorithm is not None:
            item.SegmentAlgorithmName = segment.algorithm.name
    ds.ContentDescription = f"{SIMULATED if instance.simulated else RESEARCH}; version {instance.version}"
    return ds


def frames_of(ds: Dataset, number: int) -> list[int]:
    """The numbers, from 1, of the frames of a segment, from 1."""
    return [
        at
        for at, frame in enumerate(ds.PerFrameFunctionalGroupsSequence, start=1)
        if frame.SegmentIdentificationSequence[0].ReferencedSegmentNumber == number
    ]


def _planes(segments: Sequence[Segment], numbers: NDArray[np.int64], size: tuple[int, int]) -> NDArray[np.uint8 | np.uint16]:
    """The segments' numbers, (slices, rows, columns); where some overlap a mask of each, (slices, rows, columns, segments)."""
    labels = np.zeros((len(numbers), *size), dtype=np.uint16)
    for value, segment in enumerate(segments, start=1):
        k, row, column = np.searchsorted(numbers, segment.pixels[:, 0]), segment.pixels[:, 1], segment.pixels[:, 2]
        if labels[k, row, column].any():
            break
        labels[k, row, column] = value
    else:
        return labels
    masks = np.zeros((*labels.shape, len(segments)), dtype=np.uint8)
    for at, segment in enumerate(segments):
        masks[np.searchsorted(numbers, segment.pixels[:, 0]), segment.pixels[:, 1], segment.pixels[:, 2], at] = 1
    return masks


def _shorten(measures: Dataset) -> None:
    """Decimal strings of at most 16 characters (PS3.5 6.2): sources have longer ones."""
    for element in measures:
        if element.VR == "DS":
            values = np.atleast_1d(np.asarray(element.value, dtype=np.float64)).tolist()
            element.value = [DSfloat(value, auto_format=True) for value in values]


def _description(number: int, segment: Segment) -> SegmentDescription:
    algorithm = segment.algorithm
    return SegmentDescription(
        segment_number=number,
        segment_label=segment.label,
        segmented_property_category=MORPHOLOGICALLY_ABNORMAL,
        segmented_property_type=segment.kind,
        algorithm_type=segment.algorithm_type,
        algorithm_identification=algorithm
        and AlgorithmIdentificationSequence(
            name=algorithm.name,
            family=ARTIFICIAL_INTELLIGENCE,
            version=algorithm.version,
            source="LesionLabel",
            parameters=dict(algorithm.parameters) or None,
        ),
        tracking_id=segment.tracking_id,
        tracking_uid=segment.tracking_uid,
        anatomic_regions=[LIVER],
    )
