from __future__ import annotations

import pytest
from pydicom.dataset import Dataset

from lesionlabel.imaging.series_info import phase_named, series_info


@pytest.mark.parametrize(
    ("text", "phase"),
    [
        ("Abdomen portalvenös 5.0 B30f", "portal-venous"),
        ("ABD/PEL PORTAL VENOUS", "portal-venous"),
        ("Liver_PV_1.5", "portal-venous"),
        ("CT abd arterial", "arterial"),
        ("nativ 3mm", "unenhanced"),
        ("Abd. w/o contrast", "unenhanced"),
        ("delayed 10 min", "delayed"),
        ("arterial + venous", None),
        ("Thorax", None),
        ("Mr. Artman", None),
        ("", None),
    ],
)
def test_phase_words(text: str, phase: str | None) -> None:
    assert phase_named(text) == phase


def test_only_numbers_and_known_words_are_kept() -> None:
    header = Dataset()
    header.SeriesDescription = "Erika Muster portal venous"
    header.Manufacturer = "SIEMENS"
    header.ManufacturerModelName = "SOMATOM Definition AS+ Muster 64"
    header.ConvolutionKernel = ["I30f", "3"]
    header.ContrastBolusAgent = "Ultravist, Erika Muster"
    header.SliceThickness, header.KVP = 5, 120
    assert series_info(header) == {
        "modality": "CT",
        "slice_thickness_mm": 5.0,
        "kvp": 120.0,
        "kernel": "I30f",
        "manufacturer": "Siemens",
        "model": "SOMATOM Definition AS+ 64",
        "contrast": True,
        "phase": "portal-venous",
    }


def test_free_text_in_coded_elements_is_dropped() -> None:
    header = Dataset()
    header.Manufacturer = "Muster GmbH"
    header.ManufacturerModelName = "Erika Muster"
    header.ConvolutionKernel = "MUSTER^ERIKA"
    header.KVP = ""
    assert series_info(header) == {"modality": "CT"}
