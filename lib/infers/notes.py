"""What a reader is told beside a lesion type, in words."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from lesionlabel import NOT_FOR_CLINICAL_USE
from lesionlabel.lesions.densities import LesionDensity
from lesionlabel.lesions.percent import whole_percent
from lesionlabel.lesions.phase import Phase

#: Below this diameter no type is given.
TOO_SMALL_MM = 10.0
NOT_CLINICAL = NOT_FOR_CLINICAL_USE
PHANTOM_MODEL = "The serving model was trained on simulated images only: its answer says nothing about patients."
SIMULATED = "This image is simulated or synthetic: it is no patient's."
#: Classes whose probabilities are this close to the highest are named with it.
CLOSE = 0.05
#: An outline with a lower expected Dice is to be checked.
UNSURE = 0.7


@dataclass(frozen=True)
class Refusal:
    """Why no type is given. line: in a few words, to show beside the lesion. why: the sentences a reader is told."""

    line: str
    why: str


@dataclass(frozen=True)
class Facts:
    """All that the notes are made from.

    refusal: None where a type is given. class_mix, trained_on: the model's, {} and None where none was asked. confidence: the
    Dice that the segmenter expects of the outline, None where it cannot say. certainty: sentences on how sure the type is.
    """

    class_names: tuple[str, ...]
    class_mix: dict[str, float]
    trained_on: str | None
    simulated: bool
    refusal: Refusal | None
    phase: Phase
    phase_overridden: bool
    diameter_mm: float
    slice_index: int
    density: LesionDensity
    vein_hu: float | None
    changes_with_slice: bool | None
    padded: bool
    confidence: float | None = None
    certainty: tuple[str, ...] = ()


def closed_set(names: tuple[str, ...]) -> str:
    """The first line of every answer."""
    return f"Chooses only among {listed(names)}; HCC, abscess, FNH and others will be misnamed."


def rounded_percent(probability: float) -> str:
    """A probability no finer than 5 %, and never certain."""
    percent = whole_percent(probability)
    if percent >= 100:
        return "over 95 %"
    return "under 5 %" if percent <= 0 else f"about {percent} %"


def display(names: tuple[str, ...], probabilities: NDArray[np.float64]) -> str:
    """One line to show beside the lesion: the most probable class, with those that are within 5 points of it."""
    order = np.argsort(-probabilities, kind="stable")
    close = [int(i) for i in order if probabilities[order[0]] - probabilities[i] <= CLOSE]
    shown = [rounded_percent(float(probabilities[i])) for i in close]
    if len(close) == 1:
        return f"{names[close[0]]}, {shown[0]}"
    if len(set(shown)) == 1:
        return f"{listed([names[i] for i in close], 'or')}, {shown[0]} each"
    return listed([f"{names[i]} ({percent})" for i, percent in zip(close, shown, strict=True)], "or")


def short_label(names: tuple[str, ...], probabilities: NDArray[np.float64]) -> str:
    """As display, but as short as a point's label in an image has to be: "metastasis 85 %"."""
    text = display(names, probabilities).replace(", about ", " ").replace(", over ", " over ").replace(", under ", " under ")
    return text.replace("about ", "").replace(" each", "")


def reader_notes(facts: Facts) -> list[str]:
    """Every note that holds, the closed set first."""
    notes = [closed_set(facts.class_names), NOT_CLINICAL]
    if facts.refusal:
        notes.append(facts.refusal.why)
    if facts.phase_overridden:
        notes.append(f"The phase check was overridden. It said: {facts.phase.sentence}")
    elif not facts.phase.refused:
        notes.append(facts.phase.sentence)
    if facts.confidence is not None:
        check = " Check it." if facts.confidence < UNSURE else ""
        notes.append(f"The outline is the computer's; the Dice to expect of it is {facts.confidence:.2f} (1 is perfect).{check}")
    if facts.trained_on == "phantom":
        notes.append(PHANTOM_MODEL)
    if facts.simulated:
        notes.append(SIMULATED)
    vein = "no vein found nearby" if facts.vein_hu is None else f"nearby vein {facts.vein_hu:.0f} HU"
    notes.append(
        f"In the lesion {facts.density.mean_hu:.0f} ± {facts.density.sd_hu:.0f} HU, {vein}, "
        f"diameter {facts.diameter_mm:.1f} mm, slice {facts.slice_index} (counted from 0)."
    )
    if facts.changes_with_slice:
        notes.append("Changes with slice: the type is another in the next slices or with a diameter 10 % smaller or larger.")
    notes += facts.certainty
    if facts.padded:
        notes.append("The lesion lies at the edge of the image; the tissue beyond it is not known.")
    if facts.class_mix:
        mix = ", ".join(f"{name} {100 * share:.0f} %" for name, share in facts.class_mix.items())
        notes.append(f"Probabilities assume this mix of lesions: {mix}.")
    return notes


def listed(names: Sequence[str], word: str = "and") -> str:
    """One name, or several with commas and a word before the last."""
    if len(names) == 1:
        return names[0]
    return f"{', '.join(names[:-1])} {word} {names[-1]}"
