"""What a DICOM header says of its series that can be kept: numbers, and words from fixed lists. Free text can hold names."""

from __future__ import annotations

import contextlib
import math
import re

from pydicom.dataset import Dataset

Info = dict[str, str | float | int | bool | None]

MAKERS = {
    "siemens": "Siemens",
    "ge medical": "GE",
    "ge healthcare": "GE",
    "philips": "Philips",
    "toshiba": "Toshiba",
    "canon": "Canon",
    "hitachi": "Hitachi",
    "fujifilm": "Fujifilm",
    "united imaging": "United Imaging",
    "uih": "United Imaging",
    "neusoft": "Neusoft",
    "lesionlabel": "LesionLabel",
}
#: Words of scanner model names; a word with a digit in it (64, 256) is kept as well.
MODEL_WORDS = frozenset(
    (
        "somatom", "sensation", "emotion", "biograph", "naeotom", "definition", "alpha", "peak", "pro", "flash",
        "edge", "as", "as+", "force", "drive", "go", "go.top", "go.up", "go.all", "lightspeed",
        "brightspeed", "optima", "discovery", "revolution", "hispeed", "vct", "ultra", "plus", "rt", "hd",
        "apex", "evo", "evolution", "frontier", "ct", "pet/ct", "brilliance", "ingenuity", "iqon", "ict",
        "gemini", "incisive", "spectral", "elite", "core", "big", "bore", "tf", "precedence", "access",
        "aquilion", "asteion", "activion", "alexion", "one", "prime", "genesis", "precision", "lb", "cx",
        "rxl", "lightning", "exceed", "serve", "scenaria", "supria", "uct", "umi", "neuviz", "phantom",
        "simulated",
    )
)  # fmt: skip
KERNEL_WORDS = frozenset(
    ("standard", "soft", "detail", "bone", "boneplus", "lung", "edge", "chest", "body", "brain", "smooth", "sharp")
)
KERNEL_CODE = re.compile(r"[A-Za-z]{1,3}\d{1,3}[A-Za-z]{0,2}")
PHASES = {
    "portal-venous": r"portal|port|pv|pvp|venous|ven|veineux|veineuse|venös|venoes|venos[ao]|portalven\w*|portovenous",
    "arterial": r"arterial|art|arteriell\w*|artériel\w*",
    "unenhanced": r"unenhanced|native|nativ|non-?contrast|noncon|plain|without|ohne|w/?o|nc|sans",
    "delayed": r"delay|delayed|late|spät\w*|tardif|equilibrium",
}
NO_AGENT = frozenset({"", "no", "none", "n", "0", "without", "ohne", "nein", "sans"})


def series_info(header: Dataset) -> Info:
    """Modality, thickness (mm), tube voltage (kV), kernel, scanner, contrast and phase, where the header says so."""
    agent = _text(header, "ContrastBolusAgent").casefold()
    info: Info = {
        "modality": "CT",
        "slice_thickness_mm": _number(header, "SliceThickness"),
        "kvp": _number(header, "KVP"),
        "kernel": _kernel(_text(header, "ConvolutionKernel")),
        "manufacturer": _maker(_text(header, "Manufacturer")),
        "model": _model(_text(header, "ManufacturerModelName")),
        "contrast": None if "ContrastBolusAgent" not in header else agent not in NO_AGENT,
        "phase": phase_named(_text(header, "SeriesDescription")),
    }
    return {key: value for key, value in info.items() if value is not None}


def phase_named(text: str) -> str | None:
    """The one contrast phase that text names; None when it names none or several."""
    words = re.sub(r"[_.,;:()+]+", " ", text.casefold())
    named = [phase for phase, pattern in PHASES.items() if re.search(rf"(?<!\w)(?:{pattern})(?!\w)", words)]
    return named[0] if len(named) == 1 else None


def _text(header: Dataset, keyword: str) -> str:
    value = header.get(keyword)
    if value is None:
        return ""
    if not isinstance(value, str):
        with contextlib.suppress(TypeError):
            value = next(iter(value), "")
    return str(value).strip()


def _number(header: Dataset, keyword: str) -> float | None:
    try:
        number = float(_text(header, keyword))
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _kernel(text: str) -> str | None:
    known = text.casefold() in KERNEL_WORDS or KERNEL_CODE.fullmatch(text)
    return text if known else None


def _maker(text: str) -> str | None:
    return next((maker for start, maker in MAKERS.items() if text.casefold().startswith(start)), None)


def _model(text: str) -> str | None:
    kept = [word for word in text.split() if word.casefold() in MODEL_WORDS or re.fullmatch(r"\d{1,4}", word)]
    return " ".join(kept) if kept else None
