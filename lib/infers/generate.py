"""The inference tasks `generate_<class>` and `generate`: synthetic ROIs, marked, as a file."""

from __future__ import annotations

from typing import Any

from monailabel.interfaces.tasks.infer_v2 import InferTask, InferType

from lesionlabel.registry.generators import ALL_CLASSES
from lesionlabel.registry.synthesis import Synthesis, describe, write_one_file
from lesionlabel.registry.synthetic_request import DEFAULT_N, FORMATS, read_synthetic

DESCRIPTION = "Synthetic ROIs of {}: no patient's, marked, for training and teaching. Needs no image."


class Generate(InferTask):
    """Answers without an image. A file is made unless result_write_to_file is false: stock clients need one."""

    def __init__(self, synthesis: Synthesis, name: str) -> None:
        classes = list(synthesis.versions[name].makes)
        config: dict[str, Any] = {"n": DEFAULT_N, "seed": 0, "truncation": 1.0, "format": list(FORMATS), "burn": False}
        if name == ALL_CLASSES:
            config["label"] = classes
        super().__init__(
            type=InferType.OTHERS,
            labels=classes,
            dimension=2,
            description=DESCRIPTION.format(", ".join(classes)),
            config=config,
        )
        self.synthesis, self.name = synthesis, name

    def is_valid(self) -> bool:
        """True also without a generator, so that clients see the task and get the reason when they ask."""
        return True

    def __call__(self, request: dict[str, Any]) -> tuple[str | None, dict[str, Any]]:
        """Make what is asked. Returns the path of a new file, or None, and what the images are as JSON."""
        asked = read_synthetic(request)
        images, mark, generator = self.synthesis.make(self.name, asked)
        file = None
        if request.get("result_write_to_file", True) is not False:
            file = str(write_one_file(images, mark, asked))
        return file, describe(mark, generator, asked.n)
