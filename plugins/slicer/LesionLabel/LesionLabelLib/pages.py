"""What the window shows as text with pictures: an answer, and the lesions that look alike."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

from .answer import NOT_CLINICAL, Answer

WARNING = "color: #b00020; font-weight: bold"


def answer_page(number: int, own_type: str, answer: Answer) -> str:
    """One answer as HTML: what it chooses among first, then the type, and all that goes with it."""
    first, *notes = answer.notes
    rows = "".join(f"<tr><td>{escape(label)}</td><td>&nbsp;{escape(share)}</td></tr>" for label, share in answer.probabilities)
    parts = [
        f"<p>{escape(first)}</p>",
        f"<p><b>Lesion {number}: {escape(answer.headline)}</b><br>Your own type: {escape(own_type or 'none given')}</p>",
        f"<table>{rows}</table>" if rows else "",
    ]
    if answer.is_typed:
        style = f' style="{WARNING}"' if answer.warns_unlike else ""
        parts += [f"<p>{escape(answer.prediction_set)}</p>", f"<p{style}>{escape(answer.unlike)}</p>"]
    parts.append("<ul>" + "".join(f"<li>{escape(note)}</li>" for note in notes) + "</ul>")
    return "".join(parts)


def similar_page(found: Mapping[str, Any]) -> str:
    """Similar curated lesions as HTML, with their pictures, how each was proven, and where its readers differed."""
    parts = [f"<p>{escape(str(found[name]))}</p>" for name in ("closed_set", "sentence") if found.get(name)]
    for one in found.get("similar") or []:
        picture = f'<img src="data:image/png;base64,{escape(str(one.get("picture") or ""))}" width="128" height="128">'
        said = [
            f"<b>{escape(str(one.get('class')))}</b>, {escape(str(one.get('diameter_mm')))} mm",
            f"proof: {escape(str(one.get('proof')))}",
            f"{escape(str(one.get('readers')))} reader(s)",
        ]
        if one.get("disputed"):
            words = ", ".join(f"{label}: {count}" for label, count in (one.get("said") or {}).items())
            said.append(f"they differ: {escape(words)}")
        parts.append(f"<table><tr><td>{picture}</td><td>{'<br>'.join(said)}</td></tr></table>")
    return "".join([*parts, f"<p>{NOT_CLINICAL}</p>"])
