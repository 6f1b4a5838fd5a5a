"""From a volume and a question to the answer: contour, ROI, probabilities, and what a reader has to be told with them.

The server and the command line both answer through `answer`; there is no other path.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lesionlabel.infers.asked import Asked
from lesionlabel.infers.certainty import prediction_set, unlike
from lesionlabel.infers.notes import (
    PHANTOM_MODEL,
    SIMULATED,
    TOO_SMALL_MM,
    Facts,
    Refusal,
    closed_set,
    display,
    reader_notes,
    short_label,
)
from lesionlabel.infers.outline import Outlined, outline
from lesionlabel.lesions.contour import Contour
from lesionlabel.lesions.densities import LesionDensity, lesion_densities, nearby_vein
from lesionlabel.lesions.no_lesion import why_no_lesion
from lesionlabel.lesions.phase import Phase
from lesionlabel.lesions.roi import Context, Placement, cut_context, cut_roi
from lesionlabel.lesions.segmenter import Segmenter
from lesionlabel.lesions.volume import Volume
from lesionlabel.registry.classifier import Classifier

#: The answer must not change when the diameter is this much smaller or larger.
DIAMETER_FACTORS = (0.9, 1.1)


@dataclass(frozen=True)
class Untyped:
    """Why no model is asked for a type, and the classes that one would choose among."""

    class_names: tuple[str, ...]
    refusal: Refusal


@dataclass(frozen=True, eq=False)
class Answer:
    """An answer, and what is needed to draw it.

    json: what the client gets. contour: in volume's voxels. volume: that was asked about. label: the most probable class,
    None where no type was given. text: a few words to show beside the lesion. entropy: of the probabilities, as a share of
    the largest possible; None where no type was given.
    """

    json: dict[str, Any]
    contour: Contour
    volume: Volume
    label: str | None
    text: str
    entropy: float | None


def answer(
    volume: Volume,
    asked: Asked,
    classifier: Classifier,
    segmenter: Segmenter,
    phase: Phase,
    simulated: bool = False,
    patient: str | None = None,
) -> Answer:
    """Answer one question about one lesion.

    phase: of the volume. simulated: whether the volume is the phantom's. patient: whose it is, as a pseudonym, where that is
    known. Raises OutsideVolumeError and InputError as outline.
    """
    return describe(volume, outline(volume, asked, segmenter), classifier, phase, asked.override_phase, simulated, patient)


def describe(
    volume: Volume,
    outlined: Outlined,
    classifier: Classifier | Untyped,
    phase: Phase,
    override_phase: bool = False,
    simulated: bool = False,
    patient: str | None = None,
) -> Answer:
    """All that is said of a lesion that is outlined already, with its type unless there is a reason against one."""
    contour = outlined.contour
    context = cut_context(volume, contour)
    diameter_mm = contour.diameter_px * volume.geometry.pixel_mm
    density = lesion_densities(volume, contour)
    vein = nearby_vein(volume, contour, phase.aorta_hu)
    refusal = _refusal(phase, override_phase, diameter_mm, why_no_lesion(volume, contour, density.mean_hu))
    probabilities, features, changes = None, None, None
    if isinstance(classifier, Untyped):
        refusal, model = refusal or classifier.refusal, None
    else:
        model = classifier
        if refusal is None:
            probabilities, features, changes = _look(volume, contour, context, classifier)
    names = classifier.class_names
    text = refusal.line if refusal else ""
    short = text
    if probabilities is not None:
        text, short = display(names, probabilities), short_label(names, probabilities)
    lesion = _lesion(volume, contour, diameter_mm, outlined)
    in_set, compared = prediction_set(model, probabilities), unlike(model, features, patient)
    said_of_certainty = () if probabilities is None else (in_set["sentence"], compared["sentence"])
    facts = Facts(
        class_names=names,
        class_mix=model.class_mix if model else {},
        trained_on=model.trained_on if model else None,
        simulated=simulated,
        refusal=refusal,
        phase=phase,
        phase_overridden=override_phase and phase.refused,
        diameter_mm=diameter_mm,
        slice_index=lesion["slice"],
        density=density,
        vein_hu=vein,
        changes_with_slice=changes,
        padded=_reaches_outside(volume, contour, context),
        confidence=outlined.confidence,
        certainty=said_of_certainty,
    )
    label = None if probabilities is None else names[int(np.argmax(probabilities))]
    json = {
        "prediction": _prediction(names, probabilities),
        "prediction_set": in_set,
        "unlike": compared,
        "display": text,
        "answered": probabilities is not None,
        "why_not": refusal.why if refusal else None,
        "lesion": lesion,
        "densities": _densities(density, vein),
        "changes_with_slice": changes,
        "phase": {
            "name": phase.name,
            "sentence": phase.sentence,
            "refused": phase.refused,
            "overridden": facts.phase_overridden,
            "aorta_hu": phase.aorta_hu,
            "liver_hu": phase.liver_hu,
        },
        "model": None if model is None else _model(model),
        "simulated": simulated,
        "closed_set": closed_set(names),
        "warnings": [w for w, holds in ((PHANTOM_MODEL, facts.trained_on == "phantom"), (SIMULATED, simulated)) if holds],
        "reader_notes": reader_notes(facts),
    }
    return Answer(json, contour, volume, label, short, None if probabilities is None else _entropy(probabilities))


def _model(classifier: Classifier) -> dict[str, Any]:
    return {
        "version": classifier.version,
        "sha256": classifier.sha256,
        "trained_on": classifier.trained_on,
        "temperature": classifier.temperature,
        "class_mix": classifier.class_mix,
    }


def _refusal(phase: Phase, override: bool, diameter_mm: float, no_lesion: str | None) -> Refusal | None:
    if phase.refused and not override:
        why = f"{phase.sentence} No type is given. Set override_phase to true if it is portal-venous after all."
        return Refusal("no type: not portal-venous", why)
    if diameter_mm < TOO_SMALL_MM:
        why = f"The lesion is {diameter_mm:.1f} mm across: below {TOO_SMALL_MM:.0f} mm it is too small to characterise."
        return Refusal("too small to characterise", why)
    if no_lesion is not None:
        return Refusal("no type: lung, air or bone in the outline", f"{no_lesion} No type is given.")
    return None


def _look(
    volume: Volume, contour: Contour, context: Context, classifier: Classifier
) -> tuple[NDArray[np.float64], NDArray[np.float64], bool]:
    """Probabilities, features, and whether the class changes in the slices beside or with ±10 % of the diameter."""
    rois = [cut_roi(context)]
    for factor in DIAMETER_FACTORS:
        margin = ((1 + 2 * context.unscaled_margin) * factor - 1) / 2
        rois.append(cut_roi(context, Placement(margin=margin)))
    for beside in (contour.slice_index - 1, contour.slice_index + 1):
        if 0 <= beside < volume.geometry.shape[0]:
            rois.append(cut_roi(cut_context(volume, Contour(beside, contour.points))))
    features, rows = classifier.look(np.stack(rois))
    return rows[0], features[0], bool(np.any(rows.argmax(axis=1) != rows[0].argmax()))


def _reaches_outside(volume: Volume, contour: Contour, context: Context) -> bool:
    """Whether the unscaled ROI, not only the wider context, takes in what lies outside the slice."""
    half = contour.diameter_px * (0.5 + context.unscaled_margin)
    _, rows, columns = volume.geometry.shape
    x, y = contour.centre
    return bool(min(x, y) - half < -0.5 or x + half > columns - 0.5 or y + half > rows - 0.5)


def _prediction(names: tuple[str, ...], probabilities: NDArray[np.float64] | None) -> list[dict[str, Any]]:
    if probabilities is None:
        return []
    return [{"idx": i, "label": name, "score": float(probabilities[i])} for i, name in enumerate(names)]


def _lesion(volume: Volume, contour: Contour, diameter_mm: float, outlined: Outlined) -> dict[str, Any]:
    x, y = contour.centre
    points = np.column_stack([contour.points, np.full(len(contour.points), float(contour.slice_index))])
    points = np.vstack([points, [x, y, contour.slice_index]])
    native, lps = volume.to_native(points), volume.geometry.to_lps(points)
    slice_axis = int(np.argmin(np.ptp(native[:-1], axis=0)))
    return {
        "outlined_by": outlined.how,
        "confidence": None if outlined.confidence is None else round(outlined.confidence, 2),
        "diameter_mm": round(diameter_mm, 1),
        "slice": round(float(native[-1, slice_axis])),
        "centre_voxel": np.round(native[-1], 2).tolist(),
        "centre_lps": np.round(lps[-1], 2).tolist(),
        "contour_voxel": np.round(native[:-1], 2).tolist(),
        "contour_lps": np.round(lps[:-1], 2).tolist(),
    }


def _densities(density: LesionDensity, vein: float | None) -> dict[str, Any]:
    return {
        "mean_hu": round(density.mean_hu, 1),
        "sd_hu": round(density.sd_hu, 1),
        "pixels": density.pixels,
        "nearby_vein_hu": None if vein is None else round(vein, 1),
    }


def _entropy(probabilities: NDArray[np.float64]) -> float:
    positive = probabilities[probabilities > 0]
    return float(-(positive * np.log(positive)).sum() / math.log(len(probabilities)))
