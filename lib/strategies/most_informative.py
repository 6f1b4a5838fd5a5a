"""The strategy `most_informative`: the unlabelled volume that the model is likely to learn most from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from monailabel.interfaces.datastore import Datastore
from monailabel.interfaces.tasks.strategy import Strategy

from lesionlabel.datastore.answers import AnswerLog
from lesionlabel.imaging.sidecar import read_sidecar
from lesionlabel.lesions.errors import IntegrityError, NoModelError
from lesionlabel.registry.versions import Versions

#: What an image counts that the serving model was never asked about: between sure (0) and clueless (1).
UNKNOWN = 0.5


class MostInformative(Strategy):
    """Orders the unlabelled volumes by the highest entropy among the serving model's answers about their lesions (0 to 1).

    A volume that was never asked about counts 0.5. Among equals, volumes of patients without any labelled image come first,
    then the order of ids: with nothing known it offers what `first` does, and the same state always gives the same volume.
    """

    def __init__(self, studies: Path, answers: AnswerLog, versions: Versions) -> None:
        super().__init__("The volume that the model is least sure about; patients without a labelled volume first")
        self.studies, self.answers, self.versions = studies, answers, versions

    def __call__(self, request: dict[str, Any], datastore: Datastore) -> dict[str, Any] | None:
        """{"id", "entropy"} of the image (entropy None where never asked), None when all are labelled."""
        images = sorted(datastore.get_unlabeled_images())
        if not images:
            return None
        version = self._version()
        entropies = {i: self.answers.entropy(i, version) if version else None for i in images}
        seen = {read_sidecar(self.studies, i).patient for i in datastore.get_labeled_images()}

        def order(image_id: str) -> tuple[float, bool, str]:
            entropy = entropies[image_id]
            patient = read_sidecar(self.studies, image_id).patient
            return -(UNKNOWN if entropy is None else entropy), patient in seen, image_id

        best = min(images, key=order)
        return {"id": best, "entropy": entropies[best]}

    def _version(self) -> str | None:
        try:
            return self.versions.champion().version
        except (NoModelError, IntegrityError):
            return None
