"""A synthetic set: ROIs of every class for training, with a manifest of whom their generators have seen.

Its only way into a training is `for_training`, which refuses unfit generators, and test patients that one of them or the filter
has seen.
"""

from __future__ import annotations

import hashlib
import io
import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from lesionlabel.evaluation.outcome import Outcome
from lesionlabel.imaging.synthetic import PREFIX, is_synthetic_name
from lesionlabel.lesions.errors import InputError, IntegrityError, LeakError, UnfitError
from lesionlabel.lesions.files import write_atomically
from lesionlabel.registry.generator import MOST, LesionGenerator, check_request
from lesionlabel.registry.synthetic_filter import SyntheticFilter

FORMAT = "lesionlabel-synthetic-set-1"
#: With a filter: ROIs made at most, as a multiple of those wanted.
MOST_TRIES = 10


@dataclass(frozen=True, eq=False)
class SyntheticSet:
    """images: (n, 64, 64) float32 in [0, 1]. labels: (n,) positions in class_names. manifest: what made them, how many."""

    images: NDArray[np.float32]
    labels: NDArray[np.int64]
    class_names: tuple[str, ...]
    manifest: dict[str, Any]

    @property
    def digest(self) -> str:
        """SHA-256 of images, labels and manifest."""
        text = json.dumps([self.class_names, self.manifest], sort_keys=True, separators=(",", ":"))
        digest = hashlib.sha256(text.encode())
        digest.update(np.ascontiguousarray(self.images, dtype="<f4").tobytes())
        digest.update(np.ascontiguousarray(self.labels, dtype="<i8").tobytes())
        return digest.hexdigest()

    @property
    def patients(self) -> tuple[str, ...]:
        """Pseudonyms of all patients that a generator or the filter has seen."""
        seen = {patient for generator in self.manifest["generators"].values() for patient in generator["patients"]}
        return tuple(sorted(seen | set((self.manifest["filter"] or {}).get("patients", ()))))

    def describe(self) -> dict[str, Any]:
        """The manifest with the set's hash and without pseudonyms, for a card."""
        generators = {
            label: {name: value for name, value in generator.items() if name != "patients"}
            for label, generator in self.manifest["generators"].items()
        }
        chosen_by = self.manifest["filter"] and {k: v for k, v in self.manifest["filter"].items() if k != "patients"}
        return {"sha256": self.digest, **self.manifest, "generators": generators, "filter": chosen_by}

    def for_training(self, class_names: Sequence[str], simulated: bool, test_patients: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Images (n, 1, 64, 64) and class indices (n,), for a training that is tested on test_patients.

        simulated: whether that training is on the phantom. What a phantom's generator makes never trains with patients' lesions.
        Raises UnfitError naming the generator that copies patients, LeakError naming the test patients that were seen,
        InputError for other classes.
        """
        unchecked = sorted(g["name"] for g in self.manifest["generators"].values() if not g["checked"])
        if unchecked:
            raise UnfitError(f"The images of {', '.join(unchecked)} may not train: nobody checked that version for copies.")
        unfit = sorted(
            g["name"] for g in self.manifest["generators"].values() if g["memorisation"] == Outcome.UNFIT or g["leaks"]
        )
        if unfit:
            raise UnfitError(
                f"The images of {', '.join(unfit)} may not train: that version copies training patients, or tells who they were. "
                "Make the set again with another version."
            )
        if tuple(class_names) != self.class_names:
            raise InputError(f"The synthetic set is of {', '.join(self.class_names)}, the training of {', '.join(class_names)}.")
        wanted = "phantom" if simulated else "patients"
        seen = {generator["name"]: generator["trained_on"] for generator in self.manifest["generators"].values()}
        if self.manifest["filter"] is not None:
            seen["the filter's classifier"] = self.manifest["filter"]["trained_on"]
        others = sorted(name for name, kind in seen.items() if kind != wanted)
        if others:
            raise InputError(
                f"This synthetic set does not train with lesions of the kind {wanted!r}: {', '.join(others)} learned from the "
                "other kind. Simulated and real never train together."
            )
        shared = sorted(set(test_patients) & set(self.patients))
        if shared:
            raise LeakError(
                f"The synthetic set's generators or its filter have seen {len(shared)} patient(s) of the test: "
                f"{', '.join(shared[:10])}. The run is refused."
            )
        return torch.from_numpy(self.images)[:, None], torch.from_numpy(self.labels)


def make_synthetic_set(
    generators: Mapping[str, LesionGenerator], n: int, seed: int, chosen_by: SyntheticFilter | None = None
) -> SyntheticSet:
    """n ROIs of each class by the generator named for it, in the classes' order; with a filter the first n that it keeps.

    Raises InputError for a wrong n or seed, or when the filter keeps fewer than n of 10 n.
    """
    check_request(n, seed, 1.0)
    images, labels, counts = [], [], {}
    for position, (label, generator) in enumerate(generators.items()):
        kept, made = _choose(generator, label, n, seed, chosen_by)
        images.append(kept)
        labels.append(np.full(len(kept), position, dtype=np.int64))
        counts[label] = {"made": made, "kept": len(kept)}
    manifest = {
        "synthetic": True,
        "generators": {
            label: {
                "name": generator.manifest.name,
                "version": generator.version,
                "sha256": generator.sha256,
                "trained_on": generator.manifest.trained_on,
                "memorisation": generator.manifest.outcome,
                "checked": bool(generator.manifest.memorisation),
                "leaks": bool((generator.manifest.membership or {}).get("leaks")),
                "patients": list(generator.manifest.patients),
            }
            for label, generator in generators.items()
        },
        "seed": seed,
        "filter": None if chosen_by is None else chosen_by.record(),
        "counts": counts,
    }
    return SyntheticSet(np.concatenate(images), np.concatenate(labels), tuple(generators), manifest)


def _choose(
    generator: LesionGenerator, label: str, n: int, seed: int, chosen_by: SyntheticFilter | None
) -> tuple[NDArray[np.float32], int]:
    """The ROIs, and how many were made for them."""
    if chosen_by is None:
        return generator.sample_all(n, seed, label), n
    kept: list[NDArray[np.float32]] = []
    found = made = 0
    for chunk in generator.sample(n * MOST_TRIES, seed, label, most=MOST * MOST_TRIES):
        chosen = chunk[chosen_by.keep(chunk, label)]
        kept.append(chosen[: n - found])
        found, made = found + len(kept[-1]), made + len(chunk)
        if found == n:
            return np.concatenate(kept), made
    raise InputError(
        f"The filter kept {found} of {made} ROIs of {label!r}; {n} were wanted. Lower the least confidence, raise the farthest "
        "percentile, or train a better generator."
    )


def require_set_name(path: Path) -> None:
    """Raise InputError unless path is named as a synthetic set must be."""
    if not is_synthetic_name(path) or path.suffix != ".npz":
        raise InputError(f"A synthetic set is named {PREFIX}….npz, so that its name says what it is; got {path.name!r}.")


def save_synthetic_set(made: SyntheticSet, path: Path) -> None:
    """Write the set to one .npz file. Nothing in it is pickled. Raises InputError as require_set_name."""
    require_set_name(path)
    header = {"format": FORMAT, "class_names": list(made.class_names), "manifest": made.manifest, "digest": made.digest}
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer, header=np.frombuffer(json.dumps(header).encode(), dtype=np.uint8), images=made.images, labels=made.labels
    )
    write_atomically(path, buffer.getvalue())


def load_synthetic_set(path: Path) -> SyntheticSet:
    """Read what save_synthetic_set wrote. Raises InputError for another file, IntegrityError when its content was changed."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            header = json.loads(archive["header"].tobytes())
            images, labels = archive["images"], archive["labels"]
        if header["format"] != FORMAT:
            raise KeyError(header["format"])
    except (OSError, ValueError, KeyError, EOFError, TypeError, BadZipFile, zlib.error) as error:
        raise InputError(f"{path} is no synthetic set, or is damaged ({error}). Make one: lesionlabel synthetic-set.") from error
    made = SyntheticSet(images, labels, tuple(header["class_names"]), header["manifest"])
    if made.digest != header["digest"]:
        raise IntegrityError(f"{path} does not match its own hash: it was changed or damaged, so it is not used.")
    return made
