"""What became of a saved label, in words: 3D Slicer shows the server's answer under "Show details" of its message."""

from __future__ import annotations

from collections import Counter
from typing import Any


def in_words(info: dict[str, Any]) -> str:
    """From a final label's info: lesions taken by class, what was left out and why, what has to be decided."""
    if info.get("curation_problem"):
        return str(info["curation_problem"])
    counts = Counter(str(lesion["label"]) for lesion in info.get("lesions", []))
    taken = ", ".join(f"{number} {name}" for name, number in counts.items())
    said = [f"Lesions taken: {taken}." if counts else "The label is stored, but no lesion was taken from it."]
    for left in info.get("not_curated", []):
        name = f"The segment {left['name']!r}" if left.get("name") else f"The segment with the voxel value {left['value']}"
        said.append(f"{name}: {left['reason']}")
    for question in info.get("questions", []):
        said.append(f"To decide: {question['label']} in slice {question['slice']}: {question['reason']}")
    return " ".join(said)
