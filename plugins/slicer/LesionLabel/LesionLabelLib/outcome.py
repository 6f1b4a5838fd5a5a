"""What the server made of a saved decision, in sentences."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .case import Outcome

BLIND = {
    False: "The server counts it as decided before the model's answer was seen.",
    True: "The server counts it as decided after the model's answer was seen.",
    None: "The server cannot tell whether the model's answer was seen before: somebody was shown one for this image.",
}


def outcome_of(answer: Mapping[str, Any]) -> Outcome:
    """answer: to PUT /datastore/label."""
    lesions = answer.get("lesions") or []
    saw = answer.get("saw_model")
    saw_model = saw if isinstance(saw, bool) else None
    types = ", ".join(f"{lesion.get('label')} {lesion.get('diameter_mm')} mm" for lesion in lesions)
    sentences = [f"Saved: {len(lesions)} lesion(s){': ' + types if types else ''}.", BLIND[saw_model]]
    if answer.get("curation_problem"):
        sentences.append(str(answer["curation_problem"]))
    for question in answer.get("questions") or []:
        sentences.append(
            f"To be decided, {question.get('label')} in slice {question.get('slice')} (counted from 0): {question.get('reason')}"
        )
    sentences += [str(entry.get("reason")) for entry in answer.get("not_curated") or []]
    return Outcome(True, saw_model, sentences)
