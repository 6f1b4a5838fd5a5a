"""`lesionlabel generate` and `lesionlabel synthetic-set`: synthetic ROIs as files, and for training."""

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
    from lesionlabel.imaging.synthetic_register import SyntheticRegister
    from lesionlabel.registry.generators import generator_for
    from lesionlabel.registry.synthesis import Synthesis, describe, write_images
    from lesionlabel.registry.synthetic_request import SyntheticRequest, require_format
    from lesionlabel.settings import Settings

    settings = Settings()
    asked = SyntheticRequest(n, seed, truncation, require_format(format), label, version, burn)
    register = SyntheticRegister(settings.synthetic_folder)
    images, mark, generator = Synthesis(settings, register).make(generator_for(settings, name), asked)
    out.mkdir(parents=True, exist_ok=True)
    written = write_images(out, images, mark, asked.format, asked.burn)
    print(f"{len(images)} synthetic ROIs of {mark.label} in {written}")
    for note in describe(mark, generator, len(images))["reader_notes"]:
        print(note)


def synthetic_set(
    out: Annotated[Path, typer.Option(help="the set to write, named SYNTHETIC-….npz")],
    n: Annotated[int, typer.Option("--n", help="how many ROIs of each class")] = 1000,
    seed: Annotated[int, typer.Option(help="the same seed and versions give the same set")] = 0,
    together: Annotated[bool, typer.Option("--acgan", help="by the one generator of all classes")] = False,
    choose: Annotated[
        bool, typer.Option("--filter", help="keep what the serving classifier is sure of, near real lesions")
    ] = False,
    cohort: Annotated[Path | None, typer.Option(help="with --filter: a cohort file of the real lesions (.npz)")] = None,
    studies: Annotated[Path | None, typer.Option(help="with --filter: the studies folder of the real lesions")] = None,
    kind: Annotated[str | None, typer.Option(help="with --studies: patients or phantom")] = None,
    least_confidence: Annotated[float, typer.Option(help="with --filter: probability of the ROI's own class")] = 0.5,
    farthest: Annotated[float, typer.Option(help="with --filter: percentile of the distances between real lesions")] = 95.0,
) -> None:
    """Make a synthetic set of every class by the generators that serve, for `train classifier --synthetic`.

    An unfit generator's images are refused there, and so is a test on patients that a generator or the filter has seen.
    """
    from lesionlabel.cli.lesions import read_cohort
    from lesionlabel.imaging.synthetic_register import SyntheticRegister
    from lesionlabel.registry.generators import ALL_CLASSES, GeneratorVersions, generator_of
    from lesionlabel.registry.synthetic_filter import FilterSettings, SyntheticFilter
    from lesionlabel.registry.synthetic_set import make_synthetic_set, require_set_name, save_synthetic_set
    from lesionlabel.registry.versions import Versions
    from lesionlabel.settings import Settings

    require_set_name(out)
    settings = Settings()
    names = {label: ALL_CLASSES if together else generator_of(label) for label in settings.classes.names}
    generators = {label: GeneratorVersions(settings, name).champion() for label, name in names.items()}
    chosen_by = None
    if choose:
        lesions = read_cohort(cohort, studies, kind, settings)
        chosen_by = SyntheticFilter(Versions(settings).champion(), lesions, FilterSettings(least_confidence, farthest))
    made = make_synthetic_set(generators, n, seed, chosen_by)
    SyntheticRegister(settings.synthetic_folder).add(made.images)
    save_synthetic_set(made, out)
    for label, counts in made.manifest["counts"].items():
        generator = made.manifest["generators"][label]
        print(
            f"{counts['kept']} of {counts['made']} {label} by {generator['name']} {generator['version']}; "
            f"copies: {generator['memorisation']}"
        )
    print(f"{out}, SHA-256 {made.digest[:12]}. Synthetic: no patient's. Not for clinical use.")
