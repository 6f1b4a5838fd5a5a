"""The info that clients send with images and labels, as the index and the history can hold it."""

from __future__ import annotations

import json
from typing import Any


def storable(info: dict[str, Any] | None) -> dict[str, Any]:
    """A copy that JSON and UTF-8 can hold: NaN and infinite numbers become None, halves of characters become "?".

    One value that cannot be written would keep the whole index from being written.
    """
    text = json.dumps(info or {}, ensure_ascii=False, default=str).encode("utf-8", "replace")
    return json.loads(text, parse_constant=lambda constant: None)
