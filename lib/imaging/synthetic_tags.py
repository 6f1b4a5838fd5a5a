"""The DICOM elements by which an image says that it is synthetic: how they are written, and how they are recognised.

Source: PS3.3 C.7.6.1 (Synthetic Data, Image Type), C.12.1 (Contributing Equipment), PS3.16 CID 7005.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from pydicom.dataset import Dataset
from pydicom.tag import Tag

from lesionlabel.imaging.synthetic import says_synthetic

#: Synthetic Data (PS3.3 C.7.6.1): newer than pydicom 2.4's dictionary, so it is written and read by its tag.
SYNTHETIC_DATA = 0x0008001C
MANUFACTURER = "LesionLabel"
#: Manufacturer's Model Name of what a generator made. The phantom has another.
GENERATOR_MODEL = "Generator (synthetic)"
#: Where a generator's mark can stand. Free text, of which nothing is kept.
TEXTS = ("PatientID", "StudyDescription", "SeriesDescription", "ImageComments", "DerivationDescription")
#: What a reader of headers has to load for is_generated to see every mark.
MARK_TAGS: tuple[int | str, ...] = (SYNTHETIC_DATA, "ManufacturerModelName", "ContributingEquipmentSequence", *TEXTS)


def mark_synthetic(ds: Dataset, model: str, text: str) -> None:
    """Mark an image as made by the equipment called model; text says what it is, and that it is no patient's."""
    ds.ImageType = ["DERIVED", "SECONDARY", "AXIAL"]
    ds.add_new(SYNTHETIC_DATA, "CS", "YES")
    ds.Manufacturer, ds.ManufacturerModelName = MANUFACTURER, model
    ds.ImageComments = ds.DerivationDescription = text
    purpose = Dataset()
    purpose.CodeValue, purpose.CodingSchemeDesignator = "109100", "DCM"
    purpose.CodeMeaning = "Synthesizing Equipment"
    equipment = Dataset()
    equipment.Manufacturer, equipment.ManufacturerModelName = MANUFACTURER, model
    equipment.ContributionDescription = text
    equipment.PurposeOfReferenceCodeSequence = [purpose]
    ds.ContributingEquipmentSequence = [equipment]


def is_synthetic(header: Dataset) -> bool:
    """Whether Synthetic Data (0008,001C) is YES, or a generator's mark is there."""
    element = header.get(Tag(SYNTHETIC_DATA))
    value = "" if element is None else element.value
    told = (value.decode("ascii", "replace") if isinstance(value, bytes) else str(value)).strip().upper() == "YES"
    return told or is_generated(header)


def is_generated(header: Dataset) -> bool:
    """Whether any of a generator's marks is there: archives drop elements, so each counts alone. The phantom has none."""
    return any(text.strip().casefold() == GENERATOR_MODEL.casefold() or says_synthetic(text) for text in _texts(header))


def _texts(header: Dataset) -> Iterator[str]:
    for keyword in ("ManufacturerModelName", *TEXTS):
        yield _text(header, keyword)
    equipment: Any = ()
    with suppress(Exception):
        equipment = list(header.get("ContributingEquipmentSequence") or ())
    for item in equipment:
        if isinstance(item, Dataset):
            yield _text(item, "ManufacturerModelName")
            yield _text(item, "ContributionDescription")


def _text(header: Dataset, keyword: str) -> str:
    """The element as text, "" where it is missing or damaged: a broken comment makes no slice of a patient unusable."""
    with suppress(Exception):
        return str(header.get(keyword) or "")
    return ""
