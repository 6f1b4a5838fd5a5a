"""`lesionlabel train classifier` and `lesionlabel models list|show|promote`."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lesionlabel.lesions.errors import InputError

if TYPE_CHECKING:
    from lesionlabel.lesions.cohort import Cohort
    from lesionlabel.settings import Settings
    from lesionlabel.training.hooks import Progress

train_app = typer.Typer(help="Train on curated lesions. Training never changes what serves.", no_args_is_help=True)
models_app = typer.Typer(help="The classifier's versions, and which of them serves.", no_args_is_help=True)

#: Seconds between two lines of progress.
TELL_EVERY_S = 5


@train_app.callback()
def _train() -> None:
    """Keeps `classifier` a command of its own, beside those to come."""


@train_app.command("classifier")
def train_classifier(
    cohort: Annotated[Path | None, typer.Option(help="a cohort file (.npz)")] = None,
    studies: Annotated[Path | None, typer.Option(help="the studies folder whose curated lesions train")] = None,
    kind: Annotated[str | None, typer.Option(help="with --studies: patients or phantom, where both are there")] = None,
    profile: Annotated[str, typer.Option(help="quick (minutes) or paper (Frid-Adar's schedule, about an hour)")] = "quick",
    seed: Annotated[int, typer.Option(min=0, help="draws folds, augmentations and weights")] = 0,
    out: Annotated[Path | None, typer.Option(help="also write report.md and report.json into this folder")] = None,
    starter: Annotated[Path | None, typer.Option(help="write the package's starter bundle here instead of a version")] = None,
) -> None:
    """Cross-validate by patient, calibrate, train on all lesions, and keep the result as a candidate version."""
    from lesionlabel.lesions.files import write_atomically
    from lesionlabel.registry.retrain import find_recipe, train_starter, train_version
    from lesionlabel.settings import Settings

    settings = Settings()
    recipe = find_recipe(profile)
    lesions = _read_cohort(cohort, studies, kind, settings)
    counts = ", ".join(f"{count} {name}" for name, count in lesions.counts().items())
    print(f"{len(lesions)} lesions ({counts}) of {len(set(lesions.patients))} patients, snapshot {lesions.digest[:12]}.")
    if recipe.reduced:
        print(f"Profile {profile}, reduced against the paper: {'; '.join(recipe.reduced)}.")
    if starter is None:
        info, trained = train_version(lesions, settings, profile, seed, progress=_teller())
        version, folder = info.version, info.folder
    else:
        trained = train_starter(lesions, settings, starter, profile, seed, progress=_teller())
        version, folder = trained.manifest.version, starter
    print(f"\n{trained.report_text}")
    if out is not None:
        write_atomically(out / "report.md", trained.report_text.encode())
        if trained.report is not None:
            content = json.dumps(trained.report.to_json(), indent=1, ensure_ascii=False)
            write_atomically(out / "report.json", f"{content}\n".encode())
    print(f"Version {version} in {folder}. Not for clinical use.")
    if starter is None and trained.report is not None:
        print(f"It does not serve yet. To let it: lesionlabel models promote {version} --by NAME --reason TEXT")


@models_app.command("list")
def list_models() -> None:
    """Every stored version: when, on what, how well, and which one serves."""
    from lesionlabel.lesions.errors import IntegrityError, NoModelError
    from lesionlabel.registry.versions import Versions
    from lesionlabel.settings import Settings

    versions = Versions(Settings())
    for info in versions.list():
        state = "serves" if info.is_champion else "served before" if info.was_promoted else "candidate"
        tested = (info.manifest.evaluation or {}).get("headline") or (info.manifest.evaluation or {}).get("tested")
        accuracy = _share(tested["accuracy"]) if tested else "not evaluated"
        lesions = sum(info.manifest.class_counts.values())
        print(f"{info.version}  {state:<13}  {info.manifest.trained_on:<8}  {lesions} lesions  accuracy {accuracy}")
    for name in versions.damaged():
        print(f"{name}  damaged: its manifest cannot be read")
    try:
        champion = versions.champion()
        print(f"Serving: {champion.version}, trained on {champion.trained_on}, weights {champion.sha256[:12]}.")
    except (NoModelError, IntegrityError) as error:
        print(f"Serving: nothing. {error}")


@models_app.command("show")
def show_model(version: str) -> None:
    """The model card of a version, its files checked against their hashes first."""
    from lesionlabel.registry.bundle import load_classifier
    from lesionlabel.registry.card import CARD_NAME
    from lesionlabel.registry.versions import Versions
    from lesionlabel.settings import Settings

    versions = Versions(Settings())
    info = versions.get(version)
    load_classifier(info.folder)
    print((info.folder / CARD_NAME).read_text(encoding="utf-8"))
    for entry in versions.promotions():
        if entry["version"] == version:
            print(f"Promoted {entry['time']} by {entry['by']}: {entry['reason']}")


@models_app.command("promote")
def promote_model(
    version: str,
    by: Annotated[str, typer.Option(help="who decides it")],
    reason: Annotated[str, typer.Option(help="why; kept for ever")],
) -> None:
    """Let a version serve from now on, also in a running server. To roll back, promote an earlier one."""
    from lesionlabel.registry.versions import Versions
    from lesionlabel.settings import Settings

    info = Versions(Settings()).promote(version, by, reason)
    print(f"{info.version} serves from now on.")


def _read_cohort(path: Path | None, studies: Path | None, kind: str | None, settings: Settings) -> Cohort:
    from lesionlabel.lesions.cohort import load_cohort

    if path is not None and studies is None:
        if kind is not None:
            raise InputError("--kind chooses among the lesions of --studies; a cohort file is of one kind.")
        return load_cohort(path)
    if studies is None or path is not None:
        raise InputError("Give the lesions either as --cohort FILE.npz or as --studies DIR.")
    if not studies.is_dir():
        raise InputError(f"The studies folder {studies} is not there.")
    from lesionlabel.datastore.cohort import cohort_of
    from lesionlabel.datastore.curated import CuratedDatastore
    from lesionlabel.imaging.store import VolumeStore

    if kind not in (None, "patients", "phantom"):
        raise InputError(f"Unknown kind {kind!r}. Allowed: patients, phantom.")
    store = VolumeStore(settings.volumes_folder, int(settings.volume_cache_gib * 2**30))
    return cohort_of(CuratedDatastore(studies), store, settings.classes, kind)


def _teller() -> Progress:
    """Prints where the run is, every few seconds."""
    told = 0.0

    def tell(share: float, what: str) -> None:
        nonlocal told
        if time.monotonic() - told >= TELL_EVERY_S:
            told = time.monotonic()
            print(f"{share:5.0%}  {what}", flush=True)

    return tell


def _share(interval: dict[str, float]) -> str:
    return f"{100 * interval['value']:.1f} % [{100 * interval['low']:.1f}, {100 * interval['high']:.1f}]"
