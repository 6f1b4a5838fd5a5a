"""`lesionlabel models list|show|compare|promote|rollback|retire` and `lesionlabel generators list|show|promote`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from lesionlabel.registry.version_store import VersionStore

models_app = typer.Typer(help="The classifier's versions, and which of them serves.", no_args_is_help=True)
generators_app = typer.Typer(help="The generators' versions, and which of them serve.", no_args_is_help=True)

DAMAGED = "damaged: its manifest cannot be read"


@models_app.command("list")
def list_models() -> None:
    """Every stored version: when, on what, how well, and which one serves."""
    from lesionlabel.lesions.errors import IntegrityError, NoModelError
    from lesionlabel.registry.versions import Versions
    from lesionlabel.settings import Settings

    versions = Versions(Settings())
    for info in versions.list():
        state = info.state
        tested = (info.manifest.evaluation or {}).get("headline") or (info.manifest.evaluation or {}).get("tested")
        accuracy = _share(tested["accuracy"]) if tested else "not evaluated"
        lesions = sum(info.manifest.class_counts.values())
        print(f"{info.version}  {state:<13}  {info.manifest.trained_on:<8}  {lesions} lesions  accuracy {accuracy}")
    for name in versions.damaged():
        print(f"{name}  {DAMAGED}")
    try:
        champion = versions.champion()
        print(f"Serving: {champion.version}, trained on {champion.trained_on}, weights {champion.sha256[:12]}.")
    except (NoModelError, IntegrityError) as error:
        print(f"Serving: nothing. {error}")


@models_app.command("show")
def show_model(version: str) -> None:
    """The model card of a version, its files checked against their hashes first."""
    from lesionlabel.registry.bundle import load_classifier
    from lesionlabel.registry.bundle_folder import CARD_NAME
    from lesionlabel.registry.versions import Versions
    from lesionlabel.settings import Settings

    versions = Versions(Settings())
    info = versions.get(version)
    load_classifier(info.folder)
    print((info.folder / CARD_NAME).read_text(encoding="utf-8"))
    print_promotions(versions, version)


@models_app.command("sync")
def sync_models() -> None:
    """Bring MLflow up to date with all versions and aliases; a worker does so by itself within a minute."""
    from lesionlabel.registry.mlflow_index import tell_mlflow, ui_command
    from lesionlabel.settings import Settings

    settings = Settings()
    new = tell_mlflow(settings)
    print(f"{new} version(s) new in MLflow. To look at it: {ui_command(settings)}")


@models_app.command("compare")
def compare_model(version: str) -> None:
    """Hold a version against what serves, on lesions that neither has learned from, and say whether it may take its place.

    One version is compared on a snapshot; asked again, the answer is the same. Where the serving version has seen the lesions,
    its recipe is trained again without them, which takes as long as a training.
    """
    from lesionlabel.cli.lesions import teller
    from lesionlabel.jobs.gate_page import write_gate_page
    from lesionlabel.registry.compare import compare_with_champion
    from lesionlabel.settings import Settings
    from lesionlabel.training.hooks import stopping_on_signals

    settings = Settings()
    with stopping_on_signals() as should_stop:
        decision, tested = compare_with_champion(settings, version, progress=teller(), should_stop=should_stop)
    page, text = write_gate_page(settings, decision, tested)
    print(text)
    print(f"{page} shows every lesion that was won or lost. Not for clinical use.")


@models_app.command("in-use")
def in_use_model(version: str, studies: Annotated[Path, typer.Option(help="the studies folder in which readers work")]) -> None:
    """Test-then-train: a version beside what serves, on lesions decided blind since both are there."""
    from lesionlabel.datastore.in_use import in_use
    from lesionlabel.settings import Settings

    print(in_use(Settings(), studies, version).to_text())


@models_app.command("promote")
def promote_model(
    version: str,
    by: Annotated[str, typer.Option(help="who decides it")],
    reason: Annotated[str, typer.Option(help="why; kept for ever")],
    reader: Annotated[str, typer.Option(help="a second person, who has seen every lesion that was won or lost")] = "",
    accept: Annotated[list[str] | None, typer.Option(help="a malignant lesion called benign that the reader accepts")] = None,
    override: Annotated[bool, typer.Option("--override", help="against the gate; recorded with the reason")] = False,
) -> None:
    """Let a version serve from now on, also in a running server. It must have been compared with the one that serves.

    A version that served before needs no comparison: that is how to roll back.
    """
    from lesionlabel.registry.versions import Versions
    from lesionlabel.settings import Settings

    info = Versions(Settings()).promote(version, by, reason, reader=reader, accepts=accept or (), override=override)
    print(f"{info.version} serves from now on.")


@models_app.command("rollback")
def rollback_model(
    by: Annotated[str, typer.Option(help="who decides it")],
    reason: Annotated[str, typer.Option(help="why; kept for ever")],
) -> None:
    """Let the version serve again that served before, also in a running server."""
    from lesionlabel.registry.versions import Versions
    from lesionlabel.settings import Settings

    info = Versions(Settings()).rollback(by, reason)
    print(f"{info.version} serves again.")


@models_app.command("retire")
def retire_model(
    version: str,
    by: Annotated[str, typer.Option(help="who decides it")],
    reason: Annotated[str, typer.Option(help="why; kept for ever")],
) -> None:
    """Let a version never serve again. Its files and its card stay."""
    from lesionlabel.registry.versions import Versions
    from lesionlabel.settings import Settings

    print(f"{Versions(Settings()).retire(version, by, reason).version} is retired.")


@generators_app.command("list")
def list_generators() -> None:
    """Every generator with its versions: when, on what, whether it copies patients, and which one serves."""
    from lesionlabel.lesions.errors import IntegrityError, NoModelError
    from lesionlabel.registry.generators import GeneratorVersions, generator_names
    from lesionlabel.settings import Settings

    settings = Settings()
    for name in generator_names(settings):
        versions = GeneratorVersions(settings, name)
        for info in versions.list():
            manifest = info.manifest
            lesions = sum(manifest.class_counts.values())
            what = f"{manifest.arm:<6}  {manifest.trained_on:<8}  {lesions} lesions  copies: {manifest.outcome}"
            print(f"{name}  {info.version}  {info.state:<13}  {what}")
        for damaged in versions.damaged():
            print(f"{name}  {damaged}  {DAMAGED}")
        try:
            serving = versions.champion()
            print(
                f"{name} serves {serving.version}, trained on {serving.manifest.trained_on}; copies: {serving.manifest.outcome}."
            )
        except (NoModelError, IntegrityError) as error:
            print(f"{name} serves nothing. {error}")


@generators_app.command("show")
def show_generator(name: str, version: str) -> None:
    """The card of a generator's version, its files checked against their hashes first."""
    from lesionlabel.registry.bundle_folder import CARD_NAME
    from lesionlabel.registry.generator_card import PICTURES_NAME
    from lesionlabel.registry.generators import GeneratorVersions
    from lesionlabel.settings import Settings

    versions = GeneratorVersions(Settings(), name)
    info = versions.get(version)
    versions.load(info.folder)
    print((info.folder / CARD_NAME).read_text(encoding="utf-8"))
    print(f"Pictures: {info.folder / PICTURES_NAME}")
    print_promotions(versions, version)


@generators_app.command("promote")
def promote_generator(
    name: str,
    version: str,
    by: Annotated[str, typer.Option(help="who decides it")],
    reason: Annotated[str, typer.Option(help="why; kept for ever")],
) -> None:
    """Let a generator's version serve from now on, also in a running server. One that copies patients is refused."""
    from lesionlabel.registry.generators import GeneratorVersions
    from lesionlabel.settings import Settings

    info = GeneratorVersions(Settings(), name).promote(version, by, reason)
    print(f"{info.manifest.name} {info.version} serves from now on.")


def print_promotions(versions: VersionStore[Any, Any], version: str) -> None:
    """Who let a version serve or retired it, when and why."""
    for entry in versions.promotions():
        if entry["version"] == version:
            against = ", against the gate" if entry.get("override") else ""
            reader = f" with {entry['reader']}" if entry.get("reader") else ""
            print(f"Promoted {entry['time']} by {entry['by']}{reader}{against}: {entry['reason']}")
    for entry in versions.retirements():
        if entry["version"] == version:
            print(f"Retired {entry['time']} by {entry['by']}: {entry['reason']}")


def _share(interval: dict[str, float]) -> str:
    return f"{100 * interval['value']:.1f} % [{100 * interval['low']:.1f}, {100 * interval['high']:.1f}]"
