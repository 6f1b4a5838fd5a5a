"""One seed for everything, and a stream of its own for each thing, so that thing n is the same however many there are."""

from __future__ import annotations

import numpy as np

#: First number of a stream's key: what the stream is for.
PATIENT, LESION, STUDY, NOISE, UIDS = range(5)


def stream(seed: int, *key: int) -> np.random.Generator:
    """The generator for the thing that key names, from one seed (numpy SeedSequence, spawn_key)."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key))
