"""The heat map of a class over an image: made only when asked for, and labelled as what it is not."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from lesionlabel.evaluation.heat_map import occlusion_map
from lesionlabel.infers.answer import Answer
from lesionlabel.infers.overlay import overlay
from lesionlabel.lesions.errors import UnknownClassError
from lesionlabel.lesions.roi import cut_context, cut_roi
from lesionlabel.registry.classifier import Classifier

NOT_EVIDENCE = "NOT EVIDENCE: shows what the model reacts to, not that its answer is right. Not for clinical use."
UNIT = "fall of the class's log-odds when the tissue there is replaced by the tissue around the lesion"


def class_to_map(given: Answer, classifier: Classifier, wanted: str | None) -> str:
    """The class that is asked for, else the most probable one. Raises UnknownClassError."""
    if wanted is None:
        return str(given.label)
    if wanted not in classifier.class_names:
        raise UnknownClassError(f"{wanted!r} is no class of {classifier.version}. Allowed: {', '.join(classifier.class_names)}.")
    return wanted


def draw_heat_map(given: Answer, classifier: Classifier, label: str) -> Path:
    """Write the map of a class for the answered lesion to a new temporary .nrrd file; the caller removes it.

    Float32 on the file's own grid, 0 outside the ROI. classifier: the one that answered.
    """
    context = cut_context(given.volume, given.contour)
    picture = occlusion_map(cut_roi(context), classifier.class_names.index(label), classifier.probabilities)
    image = overlay(given.volume, given.contour, context, np.asarray(picture))
    for key, value in {"notice": NOT_EVIDENCE, "class": label, "unit": UNIT, "model": classifier.version}.items():
        image.SetMetaData(f"lesionlabel_{key}", value)
    handle, name = tempfile.mkstemp(prefix="NOT-EVIDENCE-heat-map-", suffix=".nrrd")
    os.close(handle)
    try:
        sitk.WriteImage(image, name, useCompression=True)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    return Path(name)
