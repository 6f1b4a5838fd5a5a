"""phantom.lock: what the phantom was when it was calibrated, so that nobody changes it by accident.

Committed before any generator sees the phantom. After a wanted change: python benchmarks/calibrate_phantom.py --lock
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from lesionlabel.phantom.parameters import VARIANTS

FOLDER = Path(__file__).parent
LOCK = FOLDER / "phantom.lock"
#: The classifier's settings that the calibration stands on; fixed before, and no knobs.
NETWORK = {
    "name": "PaperCNN",
    "parameters": 1_273_347,
    "optimizer": "SGD, Nesterov",
    "momentum": 0.9,
    "learning_rate": 1e-3,
    "batch": 64,
    "epochs": 150,
    "dropout": 0.5,
    "initial_weights": "Glorot uniform",
    "initial_bias": 0.0,
}
PRIMARY_HYPOTHESIS = (
    "classic + DCGAN against classic + duplicates, equal count of images and equal optimiser steps (verdict under 'steps'), "
    "two-sided, alpha = .05; per lesion and arm mean correctness over seeds, difference summed by patient, sign-flip permutation "
    "over patients (10,000); on the phantom the cohort is the unit of replication (at least 10, paired, seeds of 100 and above). "
    "All else is secondary, Holm-corrected."
)
#: Modules that write files, measure or check the lock, but draw nothing.
NOT_HASHED = frozenset({"lock.py", "dicom.py", "statistics.py", "shortcuts.py", "__init__.py"})


def code_hash() -> str:
    """SHA-256 over name and text of every module that shapes the simulated images."""
    digest = hashlib.sha256()
    for path in sorted(FOLDER.glob("*.py")):
        if path.name not in NOT_HASHED:
            digest.update(path.name.encode() + b"\0" + path.read_bytes().replace(b"\r\n", b"\n") + b"\0")
    return digest.hexdigest()


def read_lock() -> dict[str, Any]:
    """What the lock says."""
    return json.loads(LOCK.read_text(encoding="utf-8"))


def write_lock(parameter_trials: int, calibration: dict[str, Any]) -> Path:
    """Lock the phantom as it is now. calibration: what was run, what it gave, and what was reduced."""
    record = {
        "code_sha256": code_hash(),
        "parameters": {name: asdict(parameters) for name, parameters in VARIANTS.items()},
        "network": NETWORK,
        "primary_hypothesis": PRIMARY_HYPOTHESIS,
        "parameter_trials": parameter_trials,
        "calibration": calibration,
    }
    LOCK.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")
    return LOCK
