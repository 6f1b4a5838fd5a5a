"""The strategies that ask the serving classifier: which volume that nobody has read would it learn most from?"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from monailabel.interfaces.tasks.strategy import Strategy

from lesionlabel.datastore.curated import CuratedDatastore
from lesionlabel.imaging.sidecar import read_sidecar
from lesionlabel.strategies.offers import AGAIN_AFTER_S, last_offered, note_offer
from lesionlabel.strategies.ranking import RANKINGS
from lesionlabel.strategies.scoreboard import Scoreboard
from lesionlabel.strategies.views import View

DESCRIPTIONS = {
    "uncertainty": "The volume whose lesions the model is least sure of",
    "diversity": "The volume whose lesions are least like those curated or offered lately",
    "uncertainty_and_diversity": "The volume whose lesions the model is unsure of, unlike those curated or offered lately",
}
#: One volume after the other, whichever strategy is asked: two readers never get the same one at once.
_OFFERING = threading.Lock()


class ByModel(Strategy):
    """Offers the volume that a ranking values highest, with what is known so far.

    In this order: volumes that nobody was offered in the last half hour; of patients without a labelled or offered volume; scored
    ones before those not scored yet, and those in which no candidate lesion was found last; the highest value; the id. The same
    state gives the same volume. now: seconds since the epoch.
    """

    def __init__(self, name: str, scoreboard: Scoreboard, now: Callable[[], float] = time.time) -> None:
        super().__init__(f"{DESCRIPTIONS[name]}; other patients' first")
        self.name = name
        self._ranking, self._scoreboard, self._now = RANKINGS[name], scoreboard, now

    def __call__(self, request: dict[str, Any], datastore: CuratedDatastore) -> dict[str, Any] | None:
        """{"id", "value", "candidates", "found_by", "scored", "unscored", "model", "said"}, None when all are labelled."""
        with _OFFERING:
            images = sorted(datastore.get_unlabeled_images())
            if not images:
                return None
            board = self._scoreboard.look(datastore)
            labelled = datastore.get_labeled_images()
            self._scoreboard.complete(board, {*images, *labelled})
            since = self._now() - AGAIN_AFTER_S
            offered = {image: last_offered(datastore.get_image_info(image)) for image in images}
            lately = {image for image, at in offered.items() if at > since}
            busy = {_patient(datastore, image) for image in (*labelled, *lately)}
            known = [view.seen for image in sorted({*labelled, *lately}) if (view := board.views.get(image)) and view.seen]
            ranked = [image for image in images if image in board.views and board.views[image].seen is not None]
            pool = [seen for image in ranked if (seen := board.views[image].seen) is not None]
            values = dict(zip(ranked, map(float, self._ranking(pool, known)), strict=True))

            def order(image: str) -> tuple[float, bool, int, float, str]:
                at = offered[image] if image in lately else 0.0
                tier = 0 if image in values else 1 if image not in board.views else 2
                return at, _patient(datastore, image) in busy, tier, -values.get(image, 0.0), image

            best = min(images, key=order)
            note_offer(datastore, best, self.name, request.get("client_id"))
        scored = sum(image in board.views for image in images)
        view = board.views.get(best)
        return {
            "id": best,
            "value": values.get(best),
            "candidates": len(view.seen.weights) if view is not None and view.seen is not None else None,
            "found_by": view.found_by if view is not None and view.seen is not None else None,
            "scored": scored,
            "unscored": len(images) - scored,
            "model": board.version,
            "said": _said(board.version, view, scored, len(images)),
        }


def _patient(datastore: CuratedDatastore, image_id: str) -> str:
    return read_sidecar(datastore.studies, image_id).patient


def _said(version: str | None, view: View | None, scored: int, total: int) -> str:
    """Why this volume, in words."""
    if version is None:
        return "No model serves, so volumes are offered by patient and id."
    so_far = f"{scored} of {total} volumes without a final label are scored so far."
    if view is None:
        return f"{so_far} This one is not yet."
    if view.problem is not None:
        return f"{so_far} This one could not be scored: {view.problem}"
    if view.seen is None:
        return f"{so_far} In this one no candidate lesion was found, which does not mean that there is none."
    return f"{so_far} This one by {len(view.seen.weights)} candidate lesion(s) from {view.found_by}."
