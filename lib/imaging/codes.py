"""The coded concepts of DICOM results: SNOMED CT, DICOM and UCUM codes, and our own for what those do not have.

Source: PS3.16 CID 7021, 7150, 7470, 7472, 100; PS3.3 C.12.1.1.2 (coding schemes of a site).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from highdicom.coding_schemes import CodingSchemeIdentificationItem
from highdicom.sr.coding import CodedConcept
from pydicom.dataset import Dataset

from lesionlabel.lesions.classes import LesionClass
from lesionlabel.lesions.lesion import Proof

#: Designator of our own codes: PS3.16 8.2 gives private schemes names that begin with 99.
PRIVATE = "99LESIONLABEL"
CODE_LENGTH, MEANING_LENGTH = 16, 64

LIVER = CodedConcept("10200004", "SCT", "Liver")
LESION = CodedConcept("52988006", "SCT", "Lesion")
MORPHOLOGICALLY_ABNORMAL = CodedConcept("49755003", "SCT", "Morphologically Abnormal Structure")
LONG_AXIS = CodedConcept("103339001", "SCT", "Long axis")
VOLUME = CodedConcept("118565006", "SCT", "Volume")
CT_EXAMINATION = CodedConcept("25045-6", "LN", "CT unspecified body region")
IMAGING_REPORT = CodedConcept("126000", "DCM", "Imaging Measurement Report")
PERSON, DEVICE = CodedConcept("121006", "DCM", "Person"), CodedConcept("121007", "DCM", "Device")
COMMENT = CodedConcept("121106", "DCM", "Comment")
ARTIFICIAL_INTELLIGENCE = CodedConcept("123110", "DCM", "Artificial Intelligence")
SYNTHESIZING_EQUIPMENT = CodedConcept("109100", "DCM", "Synthesizing Equipment")
MILLIMETRE = CodedConcept("mm", "UCUM", "millimeter")
CUBIC_MILLIMETRE = CodedConcept("mm3", "UCUM", "cubic millimeter")
PERCENT = CodedConcept("%", "UCUM", "percent")
YES, NO = CodedConcept("373066001", "SCT", "Yes"), CodedConcept("373067005", "SCT", "No")
UNKNOWN = CodedConcept("261665006", "SCT", "Unknown")
PROVEN_BY = CodedConcept("PROVEN-BY", PRIVATE, "How the lesion type was proven")
SAW_MODEL = CodedConcept("SAW-MODEL", PRIVATE, "Model's answer was seen before the decision")
REPLACES = CodedConcept("REPLACES", PRIVATE, "Earlier version that this one replaces")


def class_code(lesion_class: LesionClass) -> CodedConcept:
    """The lesion type: its SNOMED CT concept, or our own code made of its name where the class list gives none."""
    if lesion_class.snomed:
        return CodedConcept(lesion_class.snomed, "SCT", _meaning(lesion_class.meaning))
    return CodedConcept(_private("C", lesion_class.name), PRIVATE, _meaning(lesion_class.meaning))


def probability_of(lesion_class: LesionClass) -> CodedConcept:
    """The concept "probability of this lesion type", which no public scheme has."""
    return CodedConcept(_private("P", lesion_class.name), PRIVATE, _meaning(f"Probability of {lesion_class.name}"))


def proof_code(proof: Proof) -> CodedConcept:
    """How a lesion's type was proven."""
    return CodedConcept(proof.name.replace("_", "-"), PRIVATE, str(proof).capitalize())


def schemes_in(dataset: Dataset) -> list[CodingSchemeIdentificationItem]:
    """What a data set has to say of our own scheme: nothing where it uses none of its codes."""
    if PRIVATE not in _designators(dataset):
        return []
    return [CodingSchemeIdentificationItem(PRIVATE, name="LesionLabel's own codes", responsible_organization="LesionLabel")]


def _designators(dataset: Dataset) -> Iterator[str]:
    for element in dataset:
        if element.VR == "SQ":
            for item in element.value:
                yield from _designators(item)
        elif element.keyword == "CodingSchemeDesignator":
            yield str(element.value)


def _private(prefix: str, name: str) -> str:
    """A code of at most 16 characters that says the name if it can."""
    plain = "".join(c if c.isascii() and c.isalnum() else "-" for c in name).upper()
    code = f"{prefix}-{plain}"
    if len(code) <= CODE_LENGTH and plain == name.upper():
        return code
    return f"{prefix}-{hashlib.sha256(name.encode()).hexdigest()[: CODE_LENGTH - 2].upper()}"


def _meaning(text: str) -> str:
    """LO: at most 64 characters, no backslash."""
    return text.replace("\\", "/")[:MEANING_LENGTH]
