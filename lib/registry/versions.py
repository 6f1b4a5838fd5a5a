"""The versions of the classifier, and which of them serves."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import ClassVar

from lesionlabel.lesions.errors import InputError
from lesionlabel.networks.paper_cnn import PaperCNN
from lesionlabel.registry.bundle import load_classifier, save_bundle
from lesionlabel.registry.classifier import Classifier
from lesionlabel.registry.manifest import Manifest
from lesionlabel.registry.version_store import VersionInfo, VersionStore
from lesionlabel.settings import Settings


def starter_folder(name: str = "lesion_classifier") -> Path:
    """The bundle of that name that comes with the package, trained on the phantom."""
    return Path(str(resources.files("lesionlabel.models"))) / name


class Versions(VersionStore[Manifest, Classifier]):
    """The classifiers of one home folder."""

    KIND: ClassVar[type] = Manifest
    ADVICE: ClassVar[str] = "Run 'lesionlabel train classifier' on curated lesions, then 'lesionlabel models promote'."

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings, settings.versions_folder)

    def starter_folder(self) -> Path:
        return starter_folder()

    def load(self, folder: Path, manifest_sha256: str | None = None) -> Classifier:
        return load_classifier(folder, self.settings.device, manifest_sha256)

    def add(self, network: PaperCNN, manifest: Manifest, evaluation_text: str = "") -> VersionInfo[Manifest]:
        """Store a trained network as a version that does not serve."""
        folder = self.folder / manifest.version
        return VersionInfo(save_bundle(folder, network, manifest, evaluation_text), folder, False, False)

    def refuse_promotion(self, manifest: Manifest) -> None:
        if manifest.evaluation is None:
            raise InputError(
                f"{manifest.version} has no out-of-fold evaluation, so nobody knows how it does. It is not promoted: "
                "train again with lesions that were saved before the model was asked about their image."
            )

    def _class_mismatch(self, manifest: Manifest) -> str | None:
        """What differs between the version's classes and the configured ones, order included."""
        configured = tuple(self.settings.classes.names)
        if manifest.class_names == configured:
            return None
        return (
            f"{manifest.version} chooses among {', '.join(manifest.class_names)}; the configured classes are "
            f"{', '.join(configured)}."
        )
