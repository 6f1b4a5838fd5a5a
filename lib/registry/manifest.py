"""The manifest of a version: what it is, what it was made from, and the hash of every file beside it."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
from dataclasses import asdict, dataclass, field
from functools import cache
from importlib import resources
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar, Literal, Self, TypeVar

from lesionlabel.evaluation.metrics import Interval
from lesionlabel.evaluation.prediction_set import PredictionSets
from lesionlabel.lesions.errors import IntegrityError, NoModelError

MANIFEST_NAME = "manifest.json"
TrainedOn = Literal["phantom", "patients"]

#: The packages whose code decides what weights come out of a training, and what an experiment finds.
HASHED_PACKAGES = ("lesions", "augment", "networks", "training", "evaluation", "registry", "phantom", "clicks", "experiment")


@dataclass(frozen=True, kw_only=True)
class VersionManifest:
    """What the manifests of all trained versions hold: enough to make the weights again and to know whom they have seen.

    class_counts: training lesions per class, in the order of the network's classes. patients: pseudonyms, never names.
    snapshot: SHA-256 of the cohort's snapshot. files: SHA-256 of each file of the bundle by its POSIX path, filled when the
    bundle is written.
    """

    #: What the file says it is, and what to do where there is none.
    FORMAT: ClassVar[str]
    ADVICE: ClassVar[str]

    version: str
    created: str
    class_counts: dict[str, int]
    trained_on: TrainedOn
    patients: tuple[str, ...]
    snapshot: str
    config: dict[str, Any]
    seed: int
    code_version: str
    parents: tuple[str, ...] = ()
    files: dict[str, str] = field(default_factory=dict)

    @property
    def class_names(self) -> tuple[str, ...]:
        return tuple(self.class_counts)

    @property
    def class_mix(self) -> dict[str, float]:
        """Share of each class among the training lesions."""
        total = max(sum(self.class_counts.values()), 1)
        return {name: count / total for name, count in self.class_counts.items()}

    def to_json(self) -> bytes:
        content = {"format": self.FORMAT, **asdict(self), "class_names": self.class_names, "class_mix": self.class_mix}
        return (json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode()

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> Self:
        """Read what to_json wrote. Raises KeyError, TypeError or ValueError when it is not complete."""
        if content["format"] != cls.FORMAT:
            raise ValueError(f"format {content['format']!r}, expected {cls.FORMAT!r}")
        manifest = cls(
            version=str(content["version"]),
            created=str(content["created"]),
            class_counts={str(name): int(content["class_counts"][name]) for name in content["class_names"]},
            trained_on=content["trained_on"],
            patients=tuple(content["patients"]),
            snapshot=str(content["snapshot"]),
            config=dict(content["config"]),
            seed=int(content["seed"]),
            code_version=str(content["code_version"]),
            parents=tuple(content["parents"]),
            files={str(name): str(digest) for name, digest in content["files"].items()},
            **cls._own(content),
        )
        if manifest.trained_on not in ("phantom", "patients"):
            raise ValueError(f"trained_on {manifest.trained_on!r}")
        return manifest

    @classmethod
    def _own(cls, content: dict[str, Any]) -> dict[str, Any]:
        """The fields that only this kind of manifest has."""
        return {}


@dataclass(frozen=True, kw_only=True)
class Manifest(VersionManifest):
    """The manifest of a classifier. Its class mix is the one that the probabilities assume.

    temperature: divides the logits. evaluation: the cross-validation report, None where there was none. prediction_sets: None in
    versions from before they were kept. false_alarms: how often a lesion that the network had not seen was warned about as
    unlike the others, None where that was not measured.
    """

    FORMAT: ClassVar[str] = "lesionlabel-classifier-1"
    ADVICE: ClassVar[str] = "Train one with 'lesionlabel train classifier' and promote it with 'lesionlabel models promote'."

    temperature: float
    evaluation: dict[str, Any] | None
    prediction_sets: PredictionSets | None = None
    false_alarms: Interval | None = None

    @classmethod
    def _own(cls, content: dict[str, Any]) -> dict[str, Any]:
        temperature = float(content["temperature"])
        if not temperature > 0:
            raise ValueError(f"temperature {temperature}")
        sets, alarms = content.get("prediction_sets"), content.get("false_alarms")
        return {
            "temperature": temperature,
            "evaluation": content["evaluation"],
            "prediction_sets": None if sets is None else PredictionSets.from_json(sets),
            "false_alarms": None if alarms is None else Interval(**alarms),
        }


M = TypeVar("M", bound=VersionManifest)


def read_manifest(folder: Path, kind: type[M], sha256: str | None = None) -> M:
    """The manifest of the bundle in folder. sha256: what its bytes must hash to, if that is known.

    Raises NoModelError if there is none, IntegrityError if it cannot be used.
    """
    path = folder / MANIFEST_NAME
    try:
        written = path.read_bytes()
        if sha256 is not None and hashlib.sha256(written).hexdigest() != sha256:
            raise IntegrityError(f"{path} was changed since it was promoted, so it is not used.")
        content = json.loads(written)
    except (FileNotFoundError, NotADirectoryError):
        raise NoModelError(f"No trained model in {folder}. {kind.ADVICE}") from None
    except ValueError as error:
        raise IntegrityError(f"{path} is no JSON ({error}), so the model is not used.") from error
    try:
        return kind.from_json(content)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise IntegrityError(f"{path} is not complete ({error!r}), so the model is not used.") from error


def manifest_digest(folder: Path) -> str:
    """SHA-256 of the manifest in folder, which stands for all that it lists."""
    return hashlib.sha256((folder / MANIFEST_NAME).read_bytes()).hexdigest()


def verify_files(folder: Path, manifest: VersionManifest, required: tuple[str, ...]) -> dict[str, bytes]:
    """The content of every file that the manifest lists, once each matches its hash.

    What is returned is what was hashed, so that nothing can change in between. Raises IntegrityError naming the file that
    differs, is missing, or should be listed and is not.
    """
    unlisted = [name for name in required if name not in manifest.files]
    if unlisted:
        raise IntegrityError(f"{folder / MANIFEST_NAME} does not list {', '.join(unlisted)}, so the model is not used.")
    content = {}
    for name, expected in manifest.files.items():
        if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts or "\\" in name:
            raise IntegrityError(f"{folder / MANIFEST_NAME} lists {name!r}, which is outside the bundle: it is not used.")
        try:
            content[name] = (folder / name).read_bytes()
        except OSError as error:
            raise IntegrityError(f"{folder / name} is in the manifest but cannot be read: {error.strerror}.") from error
        if hashlib.sha256(content[name]).hexdigest() != expected:
            raise IntegrityError(f"{folder / name} does not match the hash in its manifest: it was changed or damaged.")
    return content


@cache
def code_version() -> str:
    """The installed version and the first 12 digits of the SHA-256 of the code that decides about weights."""
    digest = hashlib.sha256()
    root = Path(str(resources.files("lesionlabel")))
    for package in HASHED_PACKAGES:
        for path in sorted((root / package).glob("*.py")):
            digest.update(f"{package}/{path.name}\n".encode() + path.read_bytes())
    return f"{importlib.metadata.version('lesionlabel')}+{digest.hexdigest()[:12]}"
