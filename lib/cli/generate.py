"""`lesionlabel generate`: synthetic ROIs as files."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer


def generate(
    name: Annotated[str, typer.Argument(help="a class, or gan_<class>, or acgan with --label")],
    out: Annotated[Path, typer.Option(help="the folder to write to")],
    n: Annotated[int, typer.Option("--n", help="how many ROIs")] = 64,
    seed: Annotated[int, typer.Option(help="the same seed and version give the same ROIs")] = 0,
    format: Annotated[str, typer.Option(help="png (a grid), npy, nifti or dicom")] = "png",
    truncation: Annotated[float, typer.Option(help="above 0, at most 1; below 1 more typical and more alike")] = 1.0,
    label: Annotated[str | None, typer.Option(help="the class, for acgan")] = None,
    version: Annotated[str | None, typer.Option(help="a version that does not serve")] = None,
    burn: Annotated[bool, typer.Option("--burn", help="with the word SYNTHETIC in the picture")] = False,
) -> None:
    """Make synthetic ROIs of a class, marked as synthetic in every file and file name. They are no patient's."""
    from lesionlabel.registry.generators import generator_for
    from lesionlabel.registry.synthesis import Synthesis, describe, write_images
    from lesionlabel.registry.synthetic_request import SyntheticRequest, require_format
    from lesionlabel.settings import Settings

    settings = Settings()
    asked = SyntheticRequest(n, seed, truncation, require_format(format), label, version, burn)
    images, mark, generator = Synthesis(settings).make(generator_for(settings, name), asked)
    out.mkdir(parents=True, exist_ok=True)
    written = write_images(out, images, mark, asked.format, asked.burn)
    print(f"{len(images)} synthetic ROIs of {mark.label} in {written}")
    for note in describe(mark, generator, len(images))["reader_notes"]:
        print(note)
