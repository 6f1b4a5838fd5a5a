"""One DICOM file's header, checked: a slice of a CT series, or the reason why it is none."""

from __future__ import annotations

import struct
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom
from pydicom.dataset import FileDataset
from pydicom.errors import BytesLengthException, InvalidDicomError
from pydicom.tag import Tag
from pydicom.uid import UID

from lesionlabel.imaging.nifti import MAX_SIDE
from lesionlabel.imaging.series_info import Info, series_info
from lesionlabel.imaging.synthetic import is_synthetic_name
from lesionlabel.imaging.synthetic_tags import MARK_TAGS, is_generated, is_synthetic
from lesionlabel.lesions.errors import InputError, NotCTError, OtherKindError

# Real archives break the standard in small ways, and warnings about that quote values, names and UIDs among them. They are
# dropped once for the whole process: a context that drops them changes what all threads share, and fails where two overlap.
for library in ("pydicom", "highdicom", "openjpeg", "libjpeg"):
    warnings.filterwarnings("ignore", module=rf"{library}(\.|$)")

CT_IMAGE = "1.2.840.10008.5.1.4.1.1.2"
#: What pydicom raises on files that are damaged, cut short, or something else altogether.
UNREADABLE = (
    InvalidDicomError,
    BytesLengthException,
    OSError,
    EOFError,
    ValueError,
    LookupError,
    AttributeError,
    TypeError,
    NotImplementedError,
    ArithmeticError,
    RecursionError,
    RuntimeError,
    struct.error,
)
#: Words of Image Type (0008,0008) of pictures that are no plain axial CT slice.
LOCALIZER_WORDS = frozenset({"LOCALIZER", "SCOUT", "TOPOGRAM"})
PICTURE_WORDS = frozenset({"SCREEN SAVE", "PROT", "DOSE", "DOSE_INFO", "CSA REPORT", "REPORT"})
PROJECTION_WORDS = frozenset({"MIP", "MINIP", "MAXIMUM", "MINIMUM", "PROJECTION IMAGE", "VOLUME RENDERING", "VRT", "SSD"})
#: Rescale Type (0028,1054) of densities; PS3.3 C.11.1.1.2 has others for material maps.
HU_TYPES = frozenset({"", "HU", "HU_MOD", "US"})

TAGS: list[int | str] = [
    *MARK_TAGS, "SpecificCharacterSet", "ImageType", "SOPClassUID", "SOPInstanceUID", "Modality", "Manufacturer",
    "IssuerOfPatientID", "ContrastBolusAgent", "SliceThickness", "KVP", "ConvolutionKernel", "StudyInstanceUID",
    "SeriesInstanceUID", "FrameOfReferenceUID", "ImagePositionPatient", "ImageOrientationPatient", "SamplesPerPixel",
    "NumberOfFrames", "Rows", "Columns", "PixelSpacing", "BitsAllocated", "BitsStored", "PixelRepresentation", "RescaleType",
    "PhotometricInterpretation",
]  # fmt: skip


@dataclass(frozen=True)
class Refusal:
    """Something that was not imported, and why. what: a path below the source, or a series by its number of files.

    may_be_slice: False where the file says that it is something else than a slice of its series (a scout, a picture).
    """

    what: str
    reason: str
    may_be_slice: bool = True


@dataclass(frozen=True)
class Owner:
    """Whose a DICOM file is, "" for what it does not say; marked: as no patient's, but synthetic."""

    patient_id: str
    issuer: str
    study_uid: str
    marked: bool


@dataclass(frozen=True, eq=False)
class SliceHeader:
    """One slice of a CT series. Lengths in mm; position and orientation (row direction, column direction) in LPS.

    synthetic: marked as no patient's. generated: marked so by a generator, not by the phantom, or in its file name.
    """

    path: Path
    sop_uid: str
    series_uid: str
    study_uid: str
    frame_uid: str
    patient_id: str
    issuer: str
    synthetic: bool
    generated: bool
    rows: int
    columns: int
    row_mm: float
    column_mm: float
    orientation: tuple[float, ...]
    position: tuple[float, ...]
    info: Info


def read_dataset(path: Path, tags: list[int | str] | None = None, *, pixels: bool = True) -> FileDataset:
    """The DICOM data set in a file, with or without the 128-byte preamble; without pixels where tags are given.

    Raises InputError when the file is no DICOM file or is damaged.
    """
    numbers = None if tags is None else [int(Tag(tag)) for tag in tags]
    try:
        headers_only = tags is not None or not pixels
        return pydicom.dcmread(path, stop_before_pixels=headers_only, specific_tags=numbers, force=_lacks_preamble(path))
    except InvalidDicomError:
        raise InputError("It is no DICOM, NIfTI or NRRD file.") from None
    except UNREADABLE as error:
        raise InputError(f"The DICOM header is damaged or cut short ({type(error).__name__}).") from error


def _lacks_preamble(path: Path) -> bool:
    """Whether the file starts with a group 0002 or 0008 element, as files without the DICOM preamble do."""
    try:
        with path.open("rb") as file:
            start = file.read(8)
    except OSError as error:
        raise InputError(f"It cannot be opened: {error.strerror}.") from error
    return len(start) == 8 and start[:2] in (b"\x02\x00", b"\x08\x00") and start[3] == 0


def read_owner(path: Path) -> Owner:
    """Whose any DICOM file is. Raises InputError where it cannot be read."""
    header = read_dataset(path, ["PatientID", "IssuerOfPatientID", "StudyInstanceUID", *MARK_TAGS])
    try:
        patient, issuer, study = (
            str(header.get(keyword) or "").strip() for keyword in ("PatientID", "IssuerOfPatientID", "StudyInstanceUID")
        )
        return Owner(patient, issuer, study, is_synthetic(header) or is_generated(header))
    except UNREADABLE as error:
        raise InputError(f"The DICOM header is damaged or cut short ({type(error).__name__}).") from error


def read_header(path: Path, *, eight_bit: bool = False) -> SliceHeader:
    """The header of a CT slice. eight_bit: for masks, which are stored as pictures of one byte.

    Raises InputError or NotCTError with the reason when the file is no slice of an axial CT series, OtherKindError where it says
    that it is something else.
    """
    header = read_dataset(path, TAGS)
    try:
        _check_kind(header, eight_bit)
        return _slice_header(path, header)
    except InputError:
        raise
    except UNREADABLE as error:
        raise InputError(f"The DICOM header is damaged or cut short ({type(error).__name__}).") from error


def _check_kind(header: FileDataset, eight_bit: bool) -> None:
    sop_class = str(header.get("SOPClassUID") or header.file_meta.get("MediaStorageSOPClassUID") or "")
    modality = str(header.get("Modality") or "")
    values = header.get("ImageType") or ()
    image_type = {str(value).strip().upper() for value in ([values] if isinstance(values, str) else values)}
    image_type |= {word for value in image_type for word in value.split()}
    if not sop_class or (sop_class == CT_IMAGE and not modality):
        raise InputError(f"Its header lacks {'Modality' if sop_class else 'SOPClassUID'}.")
    if sop_class != CT_IMAGE:
        name = UID(sop_class).name
        if modality in ("", "CT"):
            raise OtherKindError(f"Its SOP class is {name}, not CT Image Storage.")
        raise OtherKindError(f"Its modality is {modality} ({name}); only CT is imported.")
    if modality != "CT":
        raise NotCTError(f"Its modality is {modality}; only CT is imported.")
    if image_type & LOCALIZER_WORDS:
        raise OtherKindError("It is a scout (localizer) image.")
    if image_type & PICTURE_WORDS:
        raise OtherKindError("It is a secondary capture (screen save, protocol or dose report).")
    if image_type & PROJECTION_WORDS:
        raise OtherKindError("It is a projection (MIP or rendering); its densities are not those of a slice.")
    if int(header.get("NumberOfFrames") or 1) != 1:
        raise NotCTError(f"It holds {header.NumberOfFrames} frames; only CT series of one file a slice are imported.")
    if not header.get("PhotometricInterpretation"):
        raise InputError("Its header lacks PhotometricInterpretation.")
    if int(header.SamplesPerPixel) != 1:
        raise OtherKindError(f"It is a picture in colours ({header.PhotometricInterpretation}).")
    if str(header.PhotometricInterpretation) != "MONOCHROME2":
        raise NotCTError(f"Its pixels are {header.PhotometricInterpretation}, a CT's are MONOCHROME2.")
    if int(header.BitsStored) <= 8 and not eight_bit:
        raise NotCTError("It is an 8-bit picture; CT needs 12 bits or more for HU.")
    rescale_type = str(header.get("RescaleType") or "").strip().upper()
    if rescale_type not in HU_TYPES:
        raise InputError(f"Its values are {rescale_type}, not HU.")


def _slice_header(path: Path, header: FileDataset) -> SliceHeader:
    for keyword in ("SeriesInstanceUID", "SOPInstanceUID", "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"):
        if not header.get(keyword):
            raise InputError(f"Its header lacks {keyword}: without it the slice has no place.")
    orientation = tuple(float(v) for v in header.ImageOrientationPatient)
    position = tuple(float(v) for v in header.ImagePositionPatient)
    row_mm, column_mm = (float(v) for v in header.PixelSpacing)
    if len(orientation) != 6 or len(position) != 3 or not np.all(np.isfinite([*orientation, *position, row_mm, column_mm])):
        raise InputError("Its position or orientation in the patient is not made of finite numbers.")
    rows, columns = int(header.Rows), int(header.Columns)
    if not (4 <= rows <= MAX_SIDE and 4 <= columns <= MAX_SIDE):
        raise InputError(f"It has {columns} × {rows} pixels; allowed are 4 to {MAX_SIDE} along each side.")
    return SliceHeader(
        path=path,
        sop_uid=str(header.SOPInstanceUID),
        series_uid=str(header.SeriesInstanceUID),
        study_uid=str(header.get("StudyInstanceUID") or "").strip(),
        frame_uid=str(header.get("FrameOfReferenceUID") or ""),
        patient_id=str(header.get("PatientID") or "").strip(),
        issuer=str(header.get("IssuerOfPatientID") or "").strip(),
        synthetic=is_synthetic(header),
        generated=is_generated(header) or is_synthetic_name(path),
        rows=rows,
        columns=columns,
        row_mm=row_mm,
        column_mm=column_mm,
        orientation=orientation,
        position=position,
        info=series_info(header),
    )
