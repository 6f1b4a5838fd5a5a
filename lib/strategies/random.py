"""The strategy `random`: any unlabelled image, those not shown for long more often."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from monailabel.interfaces.datastore import Datastore
from monailabel.interfaces.tasks.strategy import Strategy

from lesionlabel.strategies.offers import last_offered


class Random(Strategy):
    """rng: draws the image. Weights are the seconds since an image was last offered by any strategy, plus one."""

    def __init__(self, rng: np.random.Generator) -> None:
        super().__init__("A random volume that has no final label")
        self.rng = rng

    def __call__(self, request: dict[str, Any], datastore: Datastore) -> dict[str, Any] | None:
        """{"id", "weight"} of the image, None when all are labelled."""
        images = sorted(datastore.get_unlabeled_images())
        if not images:
            return None
        shown = [last_offered(datastore.get_image_info(i)) for i in images]
        weights = np.maximum(time.time() - np.asarray(shown, dtype=float), 0) + 1
        chosen = int(self.rng.choice(len(images), p=weights / weights.sum()))
        return {"id": images[chosen], "weight": int(weights[chosen])}
