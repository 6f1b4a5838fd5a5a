"""When an image was last offered to a reader, by whichever strategy: what the stock endpoint notes in the image's info."""

from __future__ import annotations

import time
from typing import Any

from lesionlabel.datastore.curated import CuratedDatastore

#: A volume that was offered within these seconds is offered again only when no other is left: somebody is reading it.
AGAIN_AFTER_S = 1800.0


def last_offered(info: dict[str, Any]) -> float:
    """Seconds since the epoch, 0 where the image was never offered. info: of the image."""
    offers = info.get("strategy")
    if not isinstance(offers, dict):
        return 0.0
    stamps = [offer.get("ts") for offer in offers.values() if isinstance(offer, dict)]
    return max((float(ts) for ts in stamps if isinstance(ts, int | float)), default=0.0)


def note_offer(datastore: CuratedDatastore, image_id: str, strategy: str, client_id: Any) -> None:
    """Note that a strategy chose the image for a reader, before anybody else can be offered it."""
    datastore.update_image_info(image_id, {"strategy": {strategy: {"ts": int(time.time()), "client_id": client_id}}})
