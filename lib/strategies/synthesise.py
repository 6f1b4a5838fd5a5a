"""The strategies `synthesise_<class>`: the only way to have 3D Slicer's stock module open a synthetic volume."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from monailabel.interfaces.datastore import Datastore
from monailabel.interfaces.tasks.strategy import Strategy

from lesionlabel.datastore.synthetic_shelf import SyntheticShelf
from lesionlabel.registry.synthesis import Synthesis, describe
from lesionlabel.registry.synthetic_request import read_synthetic

#: The seed that stands for one that was not used yet with this generator.
NEXT = "next"


class Synthesise(Strategy):
    """Puts a stack of synthetic ROIs on the shelf, where nothing that is counted, offered or trained on lies."""

    def __init__(self, synthesis: Synthesis, name: str, shelf: SyntheticShelf) -> None:
        label = synthesis.versions[name].makes[0]
        super().__init__(f"Synthetic ROIs of {label} as a volume: no patient's, never labelled, counted or trained on")
        self.synthesis, self.name, self.shelf = synthesis, name, shelf

    def config(self) -> dict[str, Any]:
        """What a client may set; in 3D Slicer's options table."""
        return {"n": 16, "seed": NEXT, "truncation": 1.0}

    def __call__(self, request: dict[str, Any], datastore: Datastore) -> dict[str, Any]:
        """{"id"} of the new volume on the shelf. Raises what Synthesis.make raises."""
        seed = request.get("seed")
        automatic = seed in (None, "", NEXT)
        asked = read_synthetic({**request, "seed": 0 if automatic else seed, "format": "nifti", "label": None})
        if automatic:
            asked = replace(asked, seed=self.shelf.next_seed(self.name))
        images, mark, generator = self.synthesis.make(self.name, asked)
        return {"id": self.shelf.put(images, mark, describe(mark, generator, asked.n))}
