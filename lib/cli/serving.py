"""`lesionlabel serve` and `lesionlabel classify`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from lesionlabel.infers.answer import Answer


def serve(
    studies: Annotated[
        str, typer.Option(help="the folder of imported volumes; or a PACS, http://…/dicom-web", metavar="DIR|URL")
    ],
    host: Annotated[str, typer.Option(help="the address to listen on")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535)] = 8000,
    worker: Annotated[bool, typer.Option(help="do jobs in a process of its own; without, workers elsewhere do")] = True,
) -> None:
    """Start the server: 3D Slicer's MONAI Label module and REST clients of MONAI Label can connect."""
    from lesionlabel import NOT_FOR_CLINICAL_USE
    from lesionlabel.imaging.dicomweb import check_url, is_dicomweb, trust
    from lesionlabel.jobs.schedule import require_cron
    from lesionlabel.server import launch
    from lesionlabel.settings import Settings

    launch.require_free_port(host, port)
    settings = Settings()
    launch.set_host_environment(settings)
    from lesionlabel.datastore.result_setup import check_results

    require_cron(settings)
    on_pacs = is_dicomweb(studies)
    if on_pacs:
        studies = check_url(studies)
        trust(settings.dicomweb_ca_file)
    if settings.store_results:
        check_results(settings, on_pacs=on_pacs)
    print(f"LesionLabel. {NOT_FOR_CLINICAL_USE}")
    for name, value in settings.describe().items():
        print(f"  {name}: {value}")
    print(f"  studies: {studies if on_pacs else Path(studies).resolve()}")
    _print_model(settings)
    if not launch.is_loopback(host):
        print(
            f"\nWARNING: {host} is reachable from other machines, and nobody has to sign in: whoever reaches it can read all "
            "images, change labels and let other versions serve. Use 127.0.0.1, or a reverse proxy that checks who comes."
        )
    shown = "127.0.0.1" if host in ("0.0.0.0", "::") else host
    print(f"\nOpen http://{shown}:{port} in a browser, or enter it as server in 3D Slicer's MONAI Label module.")
    if on_pacs:
        print(f"OHIF is at http://{shown}:{port}/ohif/.")
    print("Stop with Ctrl+C.", flush=True)
    launch.serve(settings, studies, host, port, with_worker=worker)


def classify(
    image: Annotated[Path, typer.Argument(help="a NIfTI or NRRD file, or a folder with one DICOM series")],
    point: Annotated[str | None, typer.Option(help="voxel index i,j,k in the lesion, counted from 0", metavar="I,J,K")] = None,
    diameter_mm: Annotated[float | None, typer.Option(help="diameter in mm, with --point or --center-lps")] = None,
    center_lps: Annotated[str | None, typer.Option(help="the lesion's centre in LPS mm", metavar="X,Y,Z")] = None,
    points: Annotated[
        tuple[str, str] | None, typer.Option(help="both ends of the diameter, voxel indices", metavar="I,J,K I,J,K")
    ] = None,
    label: Annotated[Path | None, typer.Option(help="a segmentation of the lesion")] = None,
    segment: Annotated[str | None, typer.Option(help="which segment of --label, by its name or voxel value")] = None,
    override_phase: Annotated[bool, typer.Option("--override-phase", help="answer although it looks not portal-venous")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="the whole answer as JSON")] = False,
) -> None:
    """Tell the type of one lesion, as the server does, without a server."""
    from lesionlabel.cli.options import in_options, require_one_way
    from lesionlabel.infers.asked import read_request
    from lesionlabel.infers.desk import Desk
    from lesionlabel.lesions.errors import InputError, NotFoundError
    from lesionlabel.settings import Settings

    require_one_way({"--point": point, "--center-lps": center_lps, "--points": points, "--label": label})
    for path in filter(None, (image, label)):
        if not path.exists():
            raise NotFoundError(f"There is no file or folder {path}.")
    request = {
        "point": _numbers(point, "--point"),
        "center_lps": _numbers(center_lps, "--center-lps"),
        "points": None if points is None else [_numbers(end, "--points") for end in points],
        "diameter_mm": diameter_mm,
        "label_file": label,
        "segment": segment,
        "override_phase": override_phase,
    }
    try:
        answer = Desk(Settings()).answer(image, read_request(request))
    except InputError as error:
        raise type(error)(in_options(str(error))) from None
    _note_answer(image, answer)
    if as_json:
        print(json.dumps(answer.json, indent=2))
    else:
        _print_answer(answer)


def _note_answer(image: Path, answer: Answer) -> None:
    """In the log of the studies folder that the image lies in, if it does: whoever asked may read it later, and not blind."""
    from lesionlabel.datastore.answers import AnswerLog
    from lesionlabel.datastore.names import HISTORY
    from lesionlabel.imaging.same_voxels import voxels_digest

    studies = image.resolve().parent
    if answer.entropy is not None and (studies / "labels" / HISTORY).is_dir():
        version = answer.json["model"]["version"]
        AnswerLog.of_studies(studies).unstored.record(voxels_digest(answer.volume), None, version, answer.entropy)


def _numbers(text: str | None, option: str) -> list[float] | None:
    from lesionlabel.lesions.errors import InputError

    if text is None:
        return None
    try:
        first, second, third = (float(part) for part in text.split(","))
    except ValueError:
        raise InputError(f"{option} must be three numbers with commas between them, got {text!r}.") from None
    return [first, second, third]


def _print_answer(answer: Answer) -> None:
    from lesionlabel.cli.options import in_options

    found = answer.json
    print(found["display"])
    for entry in sorted(found["prediction"], key=lambda e: -e["score"]):
        print(f"  {entry['label']:<14} {_percent(entry['score'])}")
    lesion = found["lesion"]
    centre = ", ".join(f"{v:.1f}" for v in lesion["centre_lps"])
    print(f"Lesion: {lesion['diameter_mm']} mm ({lesion['outlined_by']}), centre LPS ({centre}) mm,")
    print(f"  slice {lesion['slice']}, counted from 0 as in --point")
    print(f"Model: {found['model']['version']} ({found['model']['sha256'][:12]}), trained on {found['model']['trained_on']}")
    for note in found["reader_notes"]:
        print(f"- {in_options(note)}")


def _percent(score: float) -> str:
    from lesionlabel.infers.notes import rounded_percent

    return rounded_percent(score)


def _print_model(settings) -> None:
    from lesionlabel.lesions.errors import IntegrityError, NoModelError
    from lesionlabel.registry.versions import Versions

    try:
        champion = Versions(settings).champion()
    except (NoModelError, IntegrityError) as error:
        print(f"\nWARNING: no model serves, so questions are refused. {error}")
        return
    print(f"  model: {champion.version} ({champion.sha256[:12]}), trained on {champion.trained_on}")
    if champion.trained_on == "phantom":
        print("\nWARNING: the serving model was trained on simulated images only. Its answers say nothing about patients.")
