"""The cohort: all curated lesions with the context each ROI is cut from, and its immutable, hashed snapshot on disk."""

from __future__ import annotations

import hashlib
import io
import json
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from lesionlabel.lesions.consensus import Agreement
from lesionlabel.lesions.errors import InputError, IntegrityError
from lesionlabel.lesions.files import write_atomically
from lesionlabel.lesions.lesion import Proof, parse_proof
from lesionlabel.lesions.roi import Context

FORMAT = "lesionlabel-cohort-1"
#: Pseudonyms of simulated patients and ids of simulated images begin with this, and nothing else does.
PHANTOM_PREFIX = "phantom-"


#: What follows where a cohort has dropped lesions.
BIASED = "They are in no test, so figures favour what the model gets right."


class BlindDecision(NamedTuple):
    """Class and proof of a lesion as decided before any of those who decided may have seen a model's answer."""

    label: str
    proof: Proof


@dataclass(frozen=True, eq=False)
class CohortLesion:
    """A curated lesion ready for training. patient: pseudonym, never a name or an identifier. saw_model: as in Lesion.

    readers: how many have read its volume. agreement: how it was settled which class counts; both as in Settled. blind: what a
    test takes instead of label and proof where these were decided after the model's answer; None where nothing was before.
    """

    lesion_id: str
    patient: str
    label: str
    context: Context
    proof: Proof = Proof.SINGLE_READER
    saw_model: bool | None = None
    readers: int = 1
    agreement: Agreement = Agreement.ONE_READER
    blind: BlindDecision | None = None

    def record(self) -> dict[str, Any]:
        """Everything but the pixels, as JSON, with the pixels' hash."""
        context = self.context
        # Only where there were several: the hashes of cohorts from before there could be stay the same.
        several = {} if self.readers == 1 else {"readers": self.readers, "agreement": str(self.agreement)}
        blind = {} if self.blind is None else {"blind": {"label": self.blind.label, "proof": str(self.blind.proof)}}
        return {
            "lesion_id": self.lesion_id,
            "patient": self.patient,
            "label": self.label,
            "proof": str(self.proof),
            "saw_model": self.saw_model,
            "shape": list(context.hu.shape),
            "centre": [float(v) for v in context.centre],
            "diameter_px": float(context.diameter_px),
            "spacing_mm": float(context.spacing_mm),
            "padded": context.padded,
            "margin_px": context.margin_px,
            "pixels": hashlib.sha256(np.ascontiguousarray(context.hu, dtype="<f4").tobytes()).hexdigest(),
            **several,
            **blind,
        }


@dataclass(frozen=True, eq=False)
class Cohort:
    """Curated lesions and the class names their labels are from, in the order of every probability vector.

    dropped: how many lesions of the folder that this was taken from had a class before the model's answer was seen, and have none
    that counts since. They can be in no test, which is then one of what the model gets right.
    """

    lesions: tuple[CohortLesion, ...]
    class_names: tuple[str, ...]
    dropped: int = 0

    def __post_init__(self) -> None:
        ids = Counter(lesion.lesion_id for lesion in self.lesions)
        twice = [i for i, n in ids.items() if n > 1]
        if twice:
            raise InputError(f"Lesion ids must be unique in a cohort; used more than once: {', '.join(twice[:5])}.")
        named = {lesion.label for lesion in self.lesions} | {x.blind.label for x in self.lesions if x.blind is not None}
        strange = sorted(named - set(self.class_names))
        if strange:
            raise InputError(f"Labels outside the class list: {', '.join(strange)}. Allowed: {', '.join(self.class_names)}.")

    def __len__(self) -> int:
        return len(self.lesions)

    def __iter__(self) -> Iterator[CohortLesion]:
        return iter(self.lesions)

    @cached_property
    def labels(self) -> NDArray[np.int64]:
        """Class index of each lesion, (n,)."""
        return np.array([self.class_names.index(lesion.label) for lesion in self.lesions], dtype=np.int64)

    @property
    def patients(self) -> list[str]:
        """Pseudonym of each lesion's patient, in the lesions' order."""
        return [lesion.patient for lesion in self.lesions]

    def counts(self) -> dict[str, int]:
        """Lesions per class."""
        found = Counter(lesion.label for lesion in self.lesions)
        return {name: found[name] for name in self.class_names}

    def subset(self, indices: Sequence[int] | NDArray[np.integer]) -> Cohort:
        return Cohort(tuple(self.lesions[int(i)] for i in indices), self.class_names, self.dropped)

    def as_tested(self) -> Cohort:
        """The same lesions as a model is tested on them: with what was decided blind, where something was.

        Otherwise what readers changed after the answer would leave the tests, and what they left as the model says would stay.
        """
        tested = [
            x if x.blind is None else replace(x, label=x.blind.label, proof=x.blind.proof, saw_model=False, blind=None)
            for x in self.lesions
        ]
        return Cohort(tuple(tested), self.class_names, self.dropped)

    @cached_property
    def digest(self) -> str:
        """SHA-256 over classes and records in order of lesion id: the snapshot's name."""
        records = sorted((lesion.record() for lesion in self.lesions), key=lambda record: record["lesion_id"])
        content = {"classes": self.class_names, "lesions": records, **self._dropped()}
        text = json.dumps(content, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    def _dropped(self) -> dict[str, int]:
        """For hash and file: only where there are some, so that the hashes of cohorts from before stay the same."""
        return {"dropped": self.dropped} if self.dropped else {}


def save_cohort(cohort: Cohort, path: Path) -> None:
    """Write the cohort to one .npz file: records as JSON, pixels as one float32 vector. Nothing in it is pickled."""
    records = [lesion.record() for lesion in cohort]
    header = {"format": FORMAT, "classes": list(cohort.class_names), "lesions": records, "digest": cohort.digest}
    header |= cohort._dropped()
    pixels = [np.ascontiguousarray(x.context.hu, dtype=np.float32).ravel() for x in cohort]
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer,
        header=np.frombuffer(json.dumps(header).encode(), dtype=np.uint8),
        pixels=np.concatenate(pixels) if pixels else np.zeros(0, dtype=np.float32),
    )
    write_atomically(path, buffer.getvalue())


def load_cohort(path: Path) -> Cohort:
    """Read what save_cohort wrote. Raises InputError for another file, IntegrityError when its content was changed."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            header = json.loads(archive["header"].tobytes())
            pixels = archive["pixels"]
        if header["format"] != FORMAT:
            raise KeyError(header["format"])
    except (OSError, ValueError, KeyError, EOFError, TypeError, BadZipFile, zlib.error) as error:
        raise InputError(
            f"{path} is no cohort file, or is damaged ({error}). "
            "Make one with 'lesionlabel phantom --rois' or 'lesionlabel import-rois'."
        ) from error
    try:
        cohort = _rebuild(header, pixels)
        intact = cohort.digest == header["digest"]
    except (KeyError, TypeError, ValueError) as error:
        raise IntegrityError(f"{path} was changed or damaged, so it is not used ({error}).") from error
    if not intact:
        raise IntegrityError(f"{path} does not match its own hash: it was changed or damaged, so it is not used.")
    return cohort


def _rebuild(header: dict[str, Any], pixels: NDArray[np.float32]) -> Cohort:
    lesions, start = [], 0
    for record in header["lesions"]:
        rows, columns = record["shape"]
        hu = pixels[start : start + rows * columns].reshape(rows, columns)
        start += rows * columns
        context = Context(
            hu, tuple(record["centre"]), record["diameter_px"], record["spacing_mm"], record["padded"], record["margin_px"]
        )
        lesions.append(
            CohortLesion(
                lesion_id=record["lesion_id"],
                patient=record["patient"],
                label=record["label"],
                context=context,
                proof=parse_proof(record["proof"]),
                saw_model=record["saw_model"],
                readers=int(record.get("readers", 1)),
                agreement=Agreement(record.get("agreement", Agreement.ONE_READER)),
                blind=_blind(record.get("blind")),
            )
        )
    if start != len(pixels):
        raise ValueError(f"{len(pixels) - start} pixels belong to no lesion")
    return Cohort(tuple(lesions), tuple(header["classes"]), int(header.get("dropped", 0)))


def _blind(record: dict[str, str] | None) -> BlindDecision | None:
    return None if record is None else BlindDecision(record["label"], parse_proof(record["proof"]))


def take_snapshot(cohort: Cohort, folder: Path) -> Path:
    """Keep the cohort for ever under its hash in folder: what training starts from. The same cohort gives the same file."""
    path = folder / f"{cohort.digest}.npz"
    if not path.exists():
        save_cohort(cohort, path)
        path.chmod(0o444)
    return path
