"""The training lesions in a version's own features, as a file of its bundle: numbers only, patients as places in its manifest."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import safetensors
import safetensors.numpy

from lesionlabel.evaluation.unlike import Familiar
from lesionlabel.lesions.errors import InputError, IntegrityError

FAMILIAR_NAME = "models/training_features.safetensors"


def familiar_bytes(familiar: Familiar) -> bytes:
    return safetensors.numpy.save(
        {
            "features": np.ascontiguousarray(familiar.features, dtype=np.float32),
            "patients": np.ascontiguousarray(familiar.patients, dtype=np.int64),
        }
    )


def read_familiar(content: bytes, path: Path) -> Familiar:
    """What familiar_bytes wrote. Raises IntegrityError, naming path, when it is not that."""
    try:
        tensors = safetensors.numpy.load(content)
        return Familiar(tensors["features"], tensors["patients"])
    except (KeyError, InputError, safetensors.SafetensorError) as error:
        raise IntegrityError(f"{path} does not hold the features of training lesions: {error!r}.") from error
