"""The strategy `first`: the first unlabelled image by id."""

from __future__ import annotations

from typing import Any

from monailabel.interfaces.datastore import Datastore
from monailabel.interfaces.tasks.strategy import Strategy


class First(Strategy):
    def __init__(self) -> None:
        super().__init__("The first volume, by id, that has no final label")

    def __call__(self, request: dict[str, Any], datastore: Datastore) -> dict[str, Any] | None:
        """{"id"} of the image, None when all are labelled."""
        images = sorted(datastore.get_unlabeled_images())
        return {"id": images[0]} if images else None
