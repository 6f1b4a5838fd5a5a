"""What a server offers a reader, from its description of itself."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .errors import ReaderError

SYNTHESISE = "synthesise_"
CLASSIFIER, SEGMENTER = "lesion_classifier", "lesion"


@dataclass(frozen=True)
class Offers:
    """classes: the lesion types. strategies, synthetic: name -> what it does. outlines: whether a click is outlined."""

    classes: list[str]
    strategies: dict[str, str]
    synthetic: dict[str, str]
    outlines: bool
    version: str

    @classmethod
    def of(cls, info: Mapping[str, Any]) -> Offers:
        """Raises ReaderError where it is no LesionLabel server."""
        labels, models = info.get("labels"), info.get("models")
        if not isinstance(models, dict) or CLASSIFIER not in models:
            raise ReaderError("This is no LesionLabel server: it has no model lesion_classifier. Give another address.")
        classes = [str(label) for label in labels] if isinstance(labels, (list, dict)) else []
        known = info.get("strategies")
        told = {str(name): str(one.get("description", "")) for name, one in known.items()} if isinstance(known, dict) else {}
        return cls(
            classes=classes,
            strategies={name: text for name, text in told.items() if not name.startswith(SYNTHESISE)},
            synthetic={name: text for name, text in told.items() if name.startswith(SYNTHESISE)},
            outlines=SEGMENTER in models,
            version=str(info.get("version", "")),
        )
