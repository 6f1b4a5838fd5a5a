"""Curated lesions that look alike to the serving model: of other patients, never synthetic, never simulated beside real."""

from __future__ import annotations

import base64
import io
import json
import threading
import time
from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from lesionlabel.datastore.cohort import counted_lesions
from lesionlabel.datastore.curated import CuratedDatastore
from lesionlabel.imaging.same_voxels import voxels_digest
from lesionlabel.imaging.sidecar import read_sidecar
from lesionlabel.imaging.store import VolumeStore
from lesionlabel.infers.certainty import is_patient_known
from lesionlabel.lesions.classes import ClassList
from lesionlabel.lesions.consensus import Settled
from lesionlabel.lesions.errors import InputError, IntegrityError, NotFoundError, PacsError
from lesionlabel.lesions.lesion import Lesion
from lesionlabel.lesions.roi import cut_context, cut_roi
from lesionlabel.lesions.volume import Volume
from lesionlabel.registry.classifier import Classifier

#: Lesions that are shown, and the most that may be asked for.
SHOWN, MOST_SHOWN = 3, 10
#: Seconds that one question spends on volumes that were not looked at yet; the next one goes on.
PATIENCE_S = 3.0
NONE_CURATED = "No lesion of another patient is curated yet, so there is nothing to compare with."
WHAT_IT_MEANS = (
    "Alike to the model, which does not mean of the same type: look at the pictures and at how each type was proven. Only "
    "curated lesions of other patients are shown, and none that a generator made."
)


#: Told where an image came without a patient, by copy or upload: it counts as a patient of its own.
PATIENT_UNKNOWN = (
    "Whose this image is, or one of those shown, is not known, because it was not imported: they may be one patient's."
)


@dataclass(frozen=True, eq=False)
class Look:
    """A curated lesion as the serving model sees it.

    roi: (64, 64) grey. features: (width,) float32. centre_lps: mm. voxels: digest of its volume's.
    """

    roi: NDArray[np.uint8]
    features: NDArray[np.float32]
    centre_lps: tuple[float, float, float]
    simulated: bool
    voxels: str


@dataclass(frozen=True)
class AskedAbout:
    """The lesion that others are compared with. patient: pseudonym. voxels: digest of the volume's. roi: (64, 64) in [0, 1]."""

    patient: str
    simulated: bool
    voxels: str
    roi: NDArray[np.float32]


class SimilarLesions:
    """Finds them among all that is curated now; what was computed of a lesion is kept in memory. Safe to use from threads."""

    def __init__(self, datastore: CuratedDatastore, store: VolumeStore, classes: ClassList) -> None:
        self._datastore, self._store, self._classes = datastore, store, classes
        self._looks: dict[tuple[str, ...], Look] = {}
        self._lock = threading.Lock()

    def find(self, asked: AskedAbout, classifier: Classifier, shown: int = SHOWN) -> dict[str, Any]:
        """The nearest ones first, as JSON, with how many there are and how many were compared. Raises InputError."""
        if not 1 <= shown <= MOST_SHOWN:
            raise InputError(f"count must be 1 to {MOST_SHOWN}, got {shown}.")
        others = self._others(asked)
        with self._lock:
            looked = self._look(others, classifier)
        compared = len(looked)
        # The same pixels are the same patient's, whatever the pseudonym. A series may say itself that it is simulated.
        looked = [one for one in looked if one[2].simulated == asked.simulated and one[2].voxels != asked.voxels]
        features = classifier.features(asked.roi[None])[0]
        distances = [float(np.linalg.norm(look.features - features)) for _, _, look in looked]
        nearest = [(distances[n], *looked[n]) for n in np.argsort(distances, kind="stable")[:shown]]
        sentence = WHAT_IT_MEANS if nearest else NONE_CURATED
        patients = [asked.patient, *(read_sidecar(self._datastore.studies, image).patient for _, image, _, _ in nearest)]
        if nearest and not all(map(is_patient_known, patients)):
            sentence += f" {PATIENT_UNKNOWN}"
        if compared < len(others):
            sentence += f" {compared} of {len(others)} could be compared so far; ask again for the rest."
        return {
            "similar": [_described(distance, image, settled, look) for distance, image, settled, look in nearest],
            "curated": len(others),
            "compared": compared,
            "simulated": asked.simulated,
            "sentence": sentence,
        }

    def _others(self, asked: AskedAbout) -> list[tuple[str, Settled]]:
        """Image and lesion of all that counts of other patients of the same kind, real or simulated."""
        found: list[tuple[str, Settled]] = []
        for image_id, lesions in sorted(counted_lesions(self._datastore, self._classes).items()):
            sidecar = read_sidecar(self._datastore.studies, image_id)
            if sidecar.patient != asked.patient and sidecar.simulated == asked.simulated:
                found += [(image_id, settled) for settled in lesions]
        return found

    def _look(self, others: list[tuple[str, Settled]], classifier: Classifier) -> list[tuple[str, Settled, Look]]:
        """Those whose features are known or can be had in time; what is no longer curated or of another model is forgotten."""
        end, known, looked = time.monotonic() + PATIENCE_S, self._looks, []
        kept: dict[tuple[str, ...], Look] = {}
        for image_id, settled in others:
            lesion = settled.lesion
            assert lesion is not None
            key = (classifier.sha256, image_id, json.dumps(lesion.to_json(), sort_keys=True))
            look = known.get(key)
            if look is None and time.monotonic() < end:
                look = self._see(image_id, lesion, classifier)
            if look is not None:
                kept[key] = look
                looked.append((image_id, settled, look))
        of_this_model = {key: look for key, look in known.items() if key[0] == classifier.sha256}
        current = {image_id for image_id, _ in others}
        self._looks = {**{key: look for key, look in of_this_model.items() if key[1] not in current}, **kept}
        return looked

    def _see(self, image_id: str, lesion: Lesion, classifier: Classifier) -> Look | None:
        """None where the image cannot be had now."""
        try:
            volume = self._store.open(self._datastore.labelled_image(image_id))
            roi = cut_roi(cut_context(volume, lesion.contour))
        except (InputError, IntegrityError, NotFoundError, PacsError, OSError):
            return None
        features = classifier.features(roi[None])[0].astype(np.float32)
        sidecar = read_sidecar(self._datastore.studies, image_id)
        simulated = sidecar.simulated or bool(volume.info.get("simulated"))
        return Look(_grey(roi), features, _centre(volume, lesion), simulated, sidecar.voxels or voxels_digest(volume))


def _centre(volume: Volume, lesion: Lesion) -> tuple[float, float, float]:
    x, y, z = volume.geometry.to_lps((*lesion.contour.centre, lesion.contour.slice_index)).tolist()
    return round(x, 2), round(y, 2), round(z, 2)


def _grey(roi: NDArray[np.float32]) -> NDArray[np.uint8]:
    return np.rint(roi * 255).astype(np.uint8)


def _described(distance: float, image_id: str, settled: Settled, look: Look) -> dict[str, Any]:
    lesion = settled.lesion
    assert lesion is not None
    picture = io.BytesIO()
    Image.fromarray(look.roi).save(picture, format="PNG")
    return {
        "image": image_id,
        "lesion_id": lesion.lesion_id,
        "class": lesion.label,
        "proof": str(lesion.proof),
        "saw_model": lesion.saw_model,
        "readers": settled.readers,
        "agreement": str(settled.agreement),
        "disputed": settled.read.disputed,
        "said": dict(Counter(stance.label or "not marked" for stance in settled.read.stances)),
        "diameter_mm": round(lesion.diameter_mm, 1),
        "centre_lps": list(look.centre_lps),
        "distance": round(distance, 4),
        "simulated": look.simulated,
        "picture": base64.b64encode(picture.getvalue()).decode(),
    }
