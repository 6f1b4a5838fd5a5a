"""The ROIs in an experiment's report: synthetic samples, marked as such in their pixels, and the lesions most often misnamed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from io import BytesIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from lesionlabel.augment.classic import originals
from lesionlabel.experiment.findings import Findings
from lesionlabel.experiment.outcomes import Outcomes
from lesionlabel.experiment.page import Gallery, Picture
from lesionlabel.experiment.plan import Point, Schedule
from lesionlabel.imaging.synthetic import WORD, WORDS
from lesionlabel.imaging.synthetic_pixels import burn_in

#: How much larger than its pixels a ROI is shown, the pixels between two, and the most of a class or of errors.
SCALE, GAP, MOST_SAMPLES, MOST_ERRORS = 2, 4, 8, 12


def synthetic_samples(outcomes: Outcomes) -> Gallery | None:
    """A strip of samples of each network and class, from its first seed and fold. None where there is no generator."""
    strips: list[Picture] = []
    for network in dict.fromkeys(made.network for made in outcomes.generators):
        made = min((g for g in outcomes.generators if g.network == network), key=lambda g: (g.seed, g.fold))
        for name in outcomes.cohort.class_names:
            rois = made.samples.get(name)
            if rois is None or not len(rois):
                continue
            what = f"{WORD}, no patient: {network}, {name}; seed {made.seed}, fold {made.fold + 1}"
            strips.append(Picture(png(burn_in(rois[:MOST_SAMPLES]), f"{WORDS}: samples of a generator."), "png", what, what))
    return Gallery(strips) if strips else None


def most_often_wrong(outcomes: Outcomes, findings: Findings, keys: Sequence[tuple[Schedule, Point]]) -> Gallery | None:
    """The tested lesions that the points named most often get wrong, with what they were called. None where all are right."""
    at, names = np.flatnonzero(outcomes.tested), outcomes.cohort.class_names
    figures = {(f.schedule, f.point): f for f in findings.figures}
    wrong = np.array([(~figures[key].right).sum(axis=0) for key in keys]).reshape(len(keys), len(at)).sum(axis=0)
    answers = sum(figures[key].right.shape[0] for key in keys)
    order = [i for i in np.argsort(-wrong, kind="stable")[:MOST_ERRORS] if wrong[i]]
    if not order:
        return None
    cohort = outcomes.cohort.subset(at[order])
    whose = "A simulated lesion." if outcomes.plan.simulated else "HOLDS AN IMAGE OF A PATIENT."
    cards: list[Picture] = []
    for place, lesion, roi in zip(order, cohort, originals(cohort)[:, 0].numpy(), strict=True):
        called = [f"{point.title}: {_calls(outcomes.logits[key][:, at[place]], names)}" for key in keys for point in key[1:]]
        lines = [
            f"{lesion.label}, wrong in {wrong[place]} of {answers}",
            *called,
            f"lesion {lesion.lesion_id}",
            f"patient {lesion.patient}",
        ]
        cards.append(
            Picture(png(roi[None], whose), "png", f"ROI of lesion {lesion.lesion_id}, {lesion.label}.", "\n".join(lines))
        )
    return Gallery(cards, cards=True)


def _calls(logits: NDArray[np.float64], names: Sequence[str]) -> str:
    """What seeds (seeds, classes) named a lesion, most often first, as "metastasis 4, cyst 1"."""
    counts = Counter(names[int(index)] for index in logits.argmax(axis=1))
    return ", ".join(f"{name} {count}" for name, count in counts.most_common())


def png(rois: NDArray[np.float32], comment: str) -> bytes:
    """ROIs (n, 64, 64) in [0, 1] side by side on white."""
    tiles = np.kron(np.rint(255 * np.clip(rois, 0, 1)).astype(np.uint8), np.ones((1, SCALE, SCALE), dtype=np.uint8))
    tiles = np.pad(tiles, ((0, 0), (0, 0), (0, GAP)), constant_values=255)
    text = PngInfo()
    text.add_text("Comment", comment)
    data = BytesIO()
    Image.fromarray(np.hstack(list(tiles))[:, :-GAP]).save(data, "PNG", pnginfo=text)
    return data.getvalue()
