"""`lesionlabel results list|show|send`: DICOM results on their way to the PACS, also while no server runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from lesionlabel.datastore.outbox import Outbox
    from lesionlabel.settings import Settings

results_app = typer.Typer(help="DICOM results of readers' decisions on their way to the PACS.", no_args_is_help=True)


@results_app.command("list")
def list_results(sent: Annotated[bool, typer.Option("--sent", help="what is on the PACS instead")] = False) -> None:
    """What is not on the PACS yet, and why."""
    from lesionlabel.datastore.drafts import Drafts
    from lesionlabel.settings import Settings

    shown: list[dict[str, Any]] = []
    for folder, outbox in _outboxes(Settings()):
        drafts = [] if sent else [draft.to_json() for draft in Drafts(folder / "drafts").list()]
        shown += [*drafts, *(entry.to_json() for entry in outbox.list(sent))]
    for one in sorted(shown, key=lambda one: str(one["created"])):
        version = "" if one["version"] is None else f"version {one['version']}: {', '.join(one['documents'])}"
        print(f"{one['name']}  {one['created']}  {one['state']}  {version}".rstrip())
        if one["problem"]:
            print(f"  tried {one['tries']} time(s): {one['problem']} Next try {one['next_try']}.")
    if not shown:
        print("Nothing was sent yet." if sent else "Nothing waits.")


@results_app.command("show")
def show_result(name: str) -> None:
    """The documents of one of them, by their SOP Instance UIDs, and where they lie."""
    from lesionlabel.lesions.errors import NotFoundError
    from lesionlabel.settings import Settings

    for _, outbox in _outboxes(Settings()):
        try:
            entry = outbox.get(name)
        except NotFoundError:
            continue
        for key, value in entry.to_json().items():
            print(f"{key}: {value}")
        for document in entry.record.get("documents", []):
            print(f"  {document['sop_uid']}  {document['what']}")
        for path in entry.files:
            print(f"  {path}")
        return
    raise NotFoundError(f"No result {name!r}. `lesionlabel results list` names them.")


@results_app.command("send")
def send_results() -> None:
    """Send now what waits. What is still to be made is made by the server."""
    import time

    from lesionlabel.datastore.result_setup import results_client
    from lesionlabel.lesions.errors import InputError
    from lesionlabel.settings import Settings

    settings = Settings()
    if not settings.store_results:
        raise InputError(
            "LESIONLABEL_STORE_RESULTS is not set here, so nothing is sent. Run this with the server's settings, "
            "LESIONLABEL_RESULTS_URL among them if it is set there."
        )
    sent = waiting = 0
    for folder, outbox in _outboxes(settings):
        if outbox.list():
            client = results_client(settings, settings.home / "pacs" / folder.name)
            done, left = outbox.send_due(client.stow, client.url, time.time(), all_of_them=True)
            client.close()
            sent, waiting = sent + done, waiting + left
    print(f"{sent} sent, {waiting} still wait.")
    if waiting:
        raise typer.Exit(1)


def _outboxes(settings: Settings) -> Iterator[tuple[Path, Outbox]]:
    from lesionlabel.datastore.outbox import Outbox

    if settings.results_folder.is_dir():
        for folder in sorted(settings.results_folder.iterdir()):
            yield folder, Outbox(folder)
