"""`lesionlabel train classifier`, `lesionlabel train gan` and `lesionlabel train segmenter`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from lesionlabel.cli.lesions import describe_cohort, read_cohort, teller
from lesionlabel.lesions.errors import InputError
from lesionlabel.training.hooks import stopping_on_signals

train_app = typer.Typer(help="Train on curated lesions. Training never changes what serves.", no_args_is_help=True)


@train_app.command("classifier")
def train_classifier(
    cohort: Annotated[Path | None, typer.Option(help="a cohort file (.npz)")] = None,
    studies: Annotated[Path | None, typer.Option(help="the studies folder whose curated lesions train")] = None,
    kind: Annotated[str | None, typer.Option(help="with --studies: patients or phantom, where both are there")] = None,
    profile: Annotated[str, typer.Option(help="quick (minutes) or paper (Frid-Adar's schedule, about an hour)")] = "quick",
    seed: Annotated[int, typer.Option(min=0, help="draws folds, augmentations and weights")] = 0,
    synthetic: Annotated[Path | None, typer.Option(help="a synthetic set whose images join every training set")] = None,
    out: Annotated[Path | None, typer.Option(help="also write report.md and report.json into this folder")] = None,
    starter: Annotated[Path | None, typer.Option(help="write the package's starter bundle here instead of a version")] = None,
) -> None:
    """Cross-validate by patient, calibrate, train on all lesions, and keep the result as a candidate version."""
    from lesionlabel.lesions.files import write_atomically
    from lesionlabel.registry.profiles import find_profile
    from lesionlabel.registry.retrain import PROFILES, train_starter, train_version
    from lesionlabel.registry.synthetic_set import load_synthetic_set
    from lesionlabel.settings import Settings

    if starter is not None and synthetic is not None:
        raise InputError("A starter is trained on a phantom cohort alone: give --starter or --synthetic, not both.")
    settings = Settings()
    recipe = find_profile(PROFILES, profile)
    lesions = read_cohort(cohort, studies, kind, settings)
    print(describe_cohort(lesions))
    if recipe.reduced:
        print(f"Profile {profile}, reduced against the paper: {'; '.join(recipe.reduced)}.")
    joined = None if synthetic is None else load_synthetic_set(synthetic)
    with stopping_on_signals() as should_stop:
        if starter is None:
            info, trained = train_version(lesions, settings, profile, seed, joined, progress=teller(), should_stop=should_stop)
            version, folder = info.version, info.folder
        else:
            trained = train_starter(lesions, settings, starter, profile, seed, progress=teller(), should_stop=should_stop)
            version, folder = trained.manifest.version, starter
    print(f"\n{trained.report_text}")
    if out is not None:
        write_atomically(out / "report.md", trained.report_text.encode())
        if trained.report is not None:
            content = json.dumps(trained.report.to_json(), indent=1, ensure_ascii=False)
            write_atomically(out / "report.json", f"{content}\n".encode())
    print(f"Version {version} in {folder}. Not for clinical use.")
    if starter is None and trained.report is not None:
        apart = trained.manifest.config["locked_patients"]
        if apart:
            print(f"{apart} locked patient(s) did not train: versions are tested on them.")
        print(
            f"It does not serve yet. To let it: lesionlabel models compare {version}, then lesionlabel models promote {version} "
            "--by NAME --reason TEXT"
        )


@train_app.command("gan")
def train_gan(
    name: Annotated[str, typer.Argument(help="a class, or gan_<class>, or acgan for all classes at once")],
    cohort: Annotated[Path | None, typer.Option(help="a cohort file (.npz)")] = None,
    studies: Annotated[Path | None, typer.Option(help="the studies folder whose curated lesions train")] = None,
    kind: Annotated[str | None, typer.Option(help="with --studies: patients or phantom, where both are there")] = None,
    network: Annotated[str | None, typer.Option(help="dcgan (default) or modern; acgan for all classes")] = None,
    profile: Annotated[str, typer.Option(help="quick (tens of minutes on a CPU) or paper (Frid-Adar's; for a GPU)")] = "quick",
    seed: Annotated[int, typer.Option(min=0, help="draws who is held out, augmentations, weights and noise")] = 0,
    starter: Annotated[Path | None, typer.Option(help="write the package's starter bundle here instead of a version")] = None,
) -> None:
    """Train a generator on two thirds of the patients, measure it against the others, and keep it as a candidate version.

    A run that was stopped goes on where it was.
    """
    from lesionlabel.networks.gans import require_arm
    from lesionlabel.registry.generator_training import PROFILES
    from lesionlabel.registry.generators import ALL_CLASSES, generator_for
    from lesionlabel.registry.profiles import find_profile
    from lesionlabel.registry.train_generator import train_generator, train_starter_generator
    from lesionlabel.settings import Settings

    settings = Settings()
    name = generator_for(settings, name)
    arm = require_arm(network or (ALL_CLASSES if name == ALL_CLASSES else "dcgan"))
    recipe = find_profile(PROFILES, profile)
    lesions = read_cohort(cohort, studies, kind, settings)
    print(describe_cohort(lesions))
    if recipe.reduced:
        print(f"Profile {profile}, reduced against the paper: {'; '.join(recipe.reduced)}.")
    with stopping_on_signals() as should_stop:
        if starter is None:
            info, made = train_generator(lesions, settings, name, arm, profile, seed, progress=teller(), should_stop=should_stop)
            folder = info.folder
        else:
            made = train_starter_generator(
                lesions, settings, name, arm, starter, seed, progress=teller(), should_stop=should_stop
            )
            folder = starter
    print(f"\n{made.report.to_markdown()}")
    print(f"Copies of training patients: {made.manifest.outcome}.")
    print(f"{name}, version {made.manifest.version}, in {folder}. Not for clinical use.")
    if starter is None:
        to_let_it = f"lesionlabel generators promote {name} {made.manifest.version} --by NAME --reason TEXT"
        print(f"It does not serve yet. To let it: {to_let_it}")


@train_app.command("segmenter")
def train_segmenter(
    out: Annotated[Path, typer.Option(help="the folder to write the bundle into, over an earlier one")],
    abdomens: Annotated[int, typer.Option(min=1, help="simulated abdomens, 72 scenes each")] = 100,
    epochs: Annotated[int, typer.Option(min=1, help="passes over their samples")] = 4,
    seed: Annotated[int, typer.Option(min=0, help="draws scenes, weights and clicks")] = 1000,
    jobs: Annotated[int, typer.Option(min=1, help="processes that draw scenes")] = 2,
) -> None:
    """Train the click segmenter on simulated scenes, as the one in the package was: an hour or two on two cores."""
    from lesionlabel.clicks.training import ClickConfig
    from lesionlabel.registry.train_segmenter import SegmenterRecipe, train_starter_segmenter

    recipe = SegmenterRecipe(abdomens=abdomens, seed=seed, training=ClickConfig(epochs=epochs))
    with stopping_on_signals() as should_stop:
        manifest = train_starter_segmenter(out, recipe, jobs, progress=teller(), should_stop=should_stop)
    print((out / "docs" / "README.md").read_text())
    print(f"Click segmenter {manifest.version} in {out}. Not for clinical use.")
