"""What every DICOM result has in common: whose it is, what made it, and the words by which nobody takes it for a diagnosis."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

from highdicom.base import SOPClass
from pydicom.dataset import Dataset, FileDataset
from pydicom.uid import UID
from pydicom.valuerep import DA, TM

from lesionlabel import __version__
from lesionlabel.imaging.codes import SYNTHESIZING_EQUIPMENT, schemes_in
from lesionlabel.imaging.source_series import TYPE_2
from lesionlabel.imaging.synthetic_tags import MANUFACTURER, SYNTHETIC_DATA

#: Every content description begins with this.
RESEARCH = "RESEARCH, not for clinical use"
SIMULATED = "SIMULATED, no patient"
MODEL_NAME = "LesionLabel"
DESCRIPTION_LENGTH = 64
#: Of series that the scanner makes there are fewer.
FIRST_SERIES_NUMBER = 9000


@dataclass(frozen=True)
class Reference:
    """A stored result: its place and identity."""

    study_uid: str
    series_uid: str
    sop_class_uid: str
    sop_uid: str

    def to_dataset(self) -> Dataset:
        """As the libraries that write references want it."""
        ds = Dataset()
        ds.StudyInstanceUID, ds.SeriesInstanceUID = self.study_uid, self.series_uid
        ds.SOPClassUID, ds.SOPInstanceUID = self.sop_class_uid, self.sop_uid
        return ds


@dataclass(frozen=True)
class ResultInstance:
    """The identity of a result to be written.

    what: a few words for its series and content description. version: 1, 2, …, its number in the series. said_at: when what it
    holds was said, with a zone. replaces: the version before. device_uid: of this installation. simulated: whether its series
    is no patient's.
    """

    series_uid: str
    sop_uid: str
    series_number: int
    version: int
    what: str
    said_at: datetime
    device_uid: str
    simulated: bool = False
    replaces: Reference | None = None

    @property
    def description(self) -> str:
        """Of the series. Viewers cut it off after some 24 letters: by then it says that it is research, and what it is."""
        told = f"SIMULATED {self.what} (no patient)" if self.simulated else f"RESEARCH {self.what} (not for clinical use)"
        return told[:DESCRIPTION_LENGTH]

    def equipment(self) -> dict[str, Any]:
        """The arguments of highdicom's constructors for what made it and where it is put."""
        return {
            "series_instance_uid": self.series_uid,
            "series_number": self.series_number,
            "sop_instance_uid": self.sop_uid,
            "instance_number": self.version,
            "manufacturer": MANUFACTURER,
            "manufacturer_model_name": MODEL_NAME,
            "software_versions": __version__,
            "device_serial_number": self.device_uid,
            "series_description": self.description,
        }


def for_construction(header: FileDataset) -> Dataset:
    """The header with an empty patient and study: highdicom checks and quotes them. `finish` puts in what the source has."""
    bare = Dataset()
    bare.update({element.tag: element for element in header if element.keyword not in TYPE_2})
    bare.file_meta = header.file_meta
    for keyword in TYPE_2:
        setattr(bare, keyword, "")
    return bare


def finish(ds: SOPClass, header: FileDataset, instance: ResultInstance) -> None:
    """Patient and study just as in the source's header, the time, our coding scheme, and the mark of a simulated source."""
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.copy_patient_and_study_information(header)
    # The offset is that of every time in the object (PS3.3 C.12.1.1.8), those copied from the source too.
    offset = str(header.get("TimezoneOffsetFromUTC") or "").strip()
    zone = _zone(offset)
    said_at, now = instance.said_at.astimezone(zone), datetime.now(UTC).astimezone(zone)
    ds.ContentDate, ds.ContentTime = DA(said_at.date()), TM(said_at.time())
    ds.SeriesDate, ds.SeriesTime = ds.ContentDate, ds.ContentTime
    ds.InstanceCreationDate, ds.InstanceCreationTime = DA(now.date()), TM(now.time())
    if zone is not None:
        ds.TimezoneOffsetFromUTC = offset
    elif "TimezoneOffsetFromUTC" in ds:
        del ds.TimezoneOffsetFromUTC
    schemes = schemes_in(ds)
    if schemes:
        ds.add_new("CodingSchemeIdentificationSequence", "SQ", schemes)
    if instance.simulated:
        _mark_simulated(ds)


def _zone(offset: str) -> timezone | None:
    """±HHMM as a zone; None, which is local time, for anything else."""
    found = re.fullmatch(r"([+-])(\d\d)([0-5]\d)", offset)
    if found is None or int(found[2]) > 14:
        return None
    away = timedelta(hours=int(found[2]), minutes=int(found[3]))
    return timezone(-away if found[1] == "-" else away)


def _mark_simulated(ds: Dataset) -> None:
    """PS3.3 C.12.1: Synthetic Data, and the equipment that made up what the result is about."""
    ds.add_new(SYNTHETIC_DATA, "CS", "YES")
    equipment = Dataset()
    equipment.Manufacturer = MANUFACTURER
    equipment.ContributionDescription = f"{SIMULATED}: the result is about a simulated CT"
    equipment.PurposeOfReferenceCodeSequence = [SYNTHESIZING_EQUIPMENT]
    ds.ContributingEquipmentSequence = [equipment]


def reference_to(ds: Dataset) -> Reference:
    """Where and what a data set is."""
    return Reference(str(ds.StudyInstanceUID), str(ds.SeriesInstanceUID), str(UID(ds.SOPClassUID)), str(ds.SOPInstanceUID))
