"""The generators of a home folder: one model per class and one for all, each with its versions and the one that serves."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, ClassVar

from lesionlabel.evaluation.outcome import Outcome
from lesionlabel.lesions.errors import InputError, NotFoundError
from lesionlabel.networks.gans import Generator
from lesionlabel.registry.generator import LesionGenerator
from lesionlabel.registry.generator_bundle import load_generator, save_generator
from lesionlabel.registry.generator_manifest import GeneratorManifest
from lesionlabel.registry.version_store import Consent, VersionInfo, VersionStore
from lesionlabel.registry.versions import starter_folder
from lesionlabel.settings import Settings

ALL_CLASSES = "acgan"


def generator_of(label: str) -> str:
    """The name of the generator of a class: gan_<class>, with _ for what is no letter or digit, as files and URLs need it."""
    return f"gan_{re.sub(r'[^A-Za-z0-9]+', '_', label)}"


def generator_names(settings: Settings) -> dict[str, tuple[str, ...]]:
    """Each generator's name with the classes that it makes: one for every configured class, and acgan for all.

    Raises InputError when two classes would have generators of the same name.
    """
    names = settings.classes.names
    of_class = {generator_of(name): (name,) for name in names}
    if len({name.casefold() for name in of_class}) < len(names):
        raise InputError(f"Class names must differ in their letters A-Z and digits, which name their generators; got {names}.")
    return {**of_class, ALL_CLASSES: tuple(names)}


def generator_for(settings: Settings, name: str) -> str:
    """The generator called name, or of the class called name. Raises NotFoundError for neither."""
    known = generator_names(settings)
    wanted = name.strip().casefold()
    for candidate, makes in known.items():
        if wanted == candidate.casefold() or (candidate != ALL_CLASSES and wanted == makes[0].casefold()):
            return candidate
    raise NotFoundError(f"No generator {name!r}. Generators: {', '.join(known)}.")


class GeneratorVersions(VersionStore[GeneratorManifest, LesionGenerator]):
    """The versions of one generator. Raises NotFoundError for a name that the class list does not give."""

    KIND: ClassVar[type] = GeneratorManifest
    ADVICE: ClassVar[str] = "Run 'lesionlabel train gan' on curated lesions, then 'lesionlabel generators promote'."

    def __init__(self, settings: Settings, name: str) -> None:
        self.name = generator_for(settings, name)
        self.makes = generator_names(settings)[self.name]
        super().__init__(settings, settings.generators_folder / self.name)

    def starter_folder(self) -> Path:
        return starter_folder(self.name)

    def load(self, folder: Path, manifest_sha256: str | None = None) -> LesionGenerator:
        return load_generator(folder, self.settings.device, manifest_sha256)

    def of(self, version: str | None) -> LesionGenerator:
        """The generator of that version, the one that serves if None. Raises NotFoundError, NoModelError, IntegrityError."""
        return self.champion() if not version else self.load(self.get(version).folder)

    def add(
        self, network: Generator, manifest: GeneratorManifest, report: str, pictures: bytes
    ) -> VersionInfo[GeneratorManifest]:
        """Store a trained generator as a version that does not serve."""
        folder = self.folder / manifest.version
        return VersionInfo(save_generator(folder, network, manifest, report, pictures), folder, False, False)

    def refuse_promotion(self, info: VersionInfo[GeneratorManifest], serving: str | None, consent: Consent) -> dict[str, Any]:
        """As in VersionStore: a generator is held to its own measurements, against which nobody may decide."""
        manifest = info.manifest
        if not manifest.memorisation or not manifest.quality:
            raise InputError(
                f"{manifest.version} was never checked for copies of patients, so it is not promoted. Train it again."
            )
        if (manifest.membership or {}).get("leaks"):
            raise InputError(
                f"{manifest.version} tells who was in its training: the lower bound of its membership AUC is above .5. It is not "
                "promoted. Use more lesions or fewer steps."
            )
        if manifest.outcome == Outcome.UNFIT:
            raise InputError(
                f"{manifest.version} is unfit: it copies training patients. It is not promoted. Use more lesions or fewer steps."
            )
        return {"copies": str(manifest.outcome)}

    def _class_mismatch(self, manifest: GeneratorManifest) -> str | None:
        if manifest.class_names == self.makes and manifest.name == self.name:
            return None
        return f"{manifest.version} ({manifest.name}) makes {', '.join(manifest.class_names)}, not {', '.join(self.makes)}."
