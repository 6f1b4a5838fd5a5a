"""The versions of the classifier, and which of them serves."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Any, ClassVar

from lesionlabel.evaluation.unlike import Familiar
from lesionlabel.lesions.errors import InputError
from lesionlabel.networks.paper_cnn import PaperCNN
from lesionlabel.registry.bundle import load_classifier, save_bundle
from lesionlabel.registry.classifier import Classifier
from lesionlabel.registry.gate import GateOutcome
from lesionlabel.registry.gate_records import GateRecords
from lesionlabel.registry.manifest import Manifest
from lesionlabel.registry.version_store import Consent, VersionInfo, VersionStore
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

    def add(
        self, network: PaperCNN, manifest: Manifest, evaluation_text: str = "", familiar: Familiar | None = None
    ) -> VersionInfo[Manifest]:
        """Store a trained network as a version that does not serve."""
        folder = self.folder / manifest.version
        return VersionInfo(save_bundle(folder, network, manifest, evaluation_text, familiar), folder, False, False)

    def refuse_promotion(self, info: VersionInfo[Manifest], serving: str | None, consent: Consent) -> dict[str, Any]:
        """As in VersionStore: without a promoted version there is nothing to compare with, and going back needs no test."""
        self.refuse_unevaluated(info.manifest)
        if serving is None or info.was_promoted:
            return {}
        decision = GateRecords(self.settings).find(info.version, serving)
        said = {"gate": "not compared" if decision is None else str(decision.outcome)}
        if consent.override:
            return {**said, "override": True}
        against_it = "An administrator may promote it all the same with --override and the reason in writing."
        if decision is None:
            raise InputError(
                f"{info.version} was not compared with {serving}, which serves. Run 'lesionlabel models compare {info.version}' "
                f"first. {against_it}"
            )
        outcome, harmed = decision.outcome, {swap.lesion_id for swap in decision.harmed}
        two_people = consent.reader.casefold() not in ("", consent.by.casefold())
        if outcome is GateOutcome.FAIL and two_people and harmed <= set(consent.accepts):
            outcome = decision.without_harm
        if outcome is GateOutcome.FAIL:
            raise InputError(f"{info.version} failed against {serving}. {' '.join(decision.reasons)} {against_it}")
        if outcome is GateOutcome.NOT_ENOUGH and not two_people:
            raise InputError(
                f"There is not enough evidence that {info.version} is no worse than {serving}. {' '.join(decision.reasons)} "
                "Give --reader, another person than --by, who has seen every lesion that was won or lost."
            )
        return {**said, "reader": consent.reader, "accepts": sorted(harmed & set(consent.accepts))}

    def refuse_unevaluated(self, manifest: Manifest) -> None:
        """Raise InputError for a version whose recipe was never tested."""
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
