"""`lesionlabel demo`: phantom studies, the server with its starter model, and what to do there."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Annotated

import typer


def demo(
    folder: Annotated[Path, typer.Option(help="where the phantom studies and the demo's state go")] = Path("demo"),
    patients: Annotated[int, typer.Option(min=1, max=50, help="simulated patients")] = 4,
    port: Annotated[int, typer.Option(min=1, max=65535)] = 8000,
    serve: Annotated[bool, typer.Option(help="start the server at the end")] = True,
) -> None:
    """Make simulated CT studies, import them, and serve them with the phantom-trained starter model."""
    import os

    from lesionlabel.server.launch import require_free_port

    if serve:
        require_free_port("127.0.0.1", port)
    folder = folder.resolve()
    os.environ["LESIONLABEL_HOME"] = str(folder / "home")  # the demo's own, whatever the site's is

    from lesionlabel.cli.serving import serve as start_server
    from lesionlabel.imaging.identity import Identity
    from lesionlabel.imaging.importer import import_studies
    from lesionlabel.phantom.studies import write_studies
    from lesionlabel.settings import Settings

    settings = Settings()
    dicom, studies = folder / "dicom", folder / "studies"
    truth = dicom / "truth.json"
    if not truth.exists():
        print(f"Simulating {patients} CT studies in {dicom} …")
        write_studies(patients, seed=7, preset="sharp", out=dicom)
    elif (there := len(json.loads(truth.read_text(encoding="utf-8"))["patients"])) != patients:
        print(f"{dicom} holds {there} simulated patients already; for {patients}, name another --folder.")
    report = import_studies(dicom, studies, Identity(settings.home), phantom=True)
    print(f"{len(report.imported)} series in {studies}.")
    print_first_steps(truth, studies, port)
    if serve:
        start_server(studies=str(studies), port=port)


def print_first_steps(truth: Path, studies: Path, port: int) -> None:
    """Say which lesions there are and how to ask for their type, by curl and from 3D Slicer."""
    from lesionlabel.imaging.sidecar import read_sidecars

    image_of = {sidecar.source.get("series_uid"): sidecar.image for sidecar in read_sidecars(studies)}
    print("\nLesions to click (simulated; the type is the truth, which the model does not see):")
    first: tuple[str, str] | None = None
    for patient in json.loads(truth.read_text(encoding="utf-8"))["patients"]:
        image = image_of.get(patient["series_uid"])
        if image is None:
            continue
        for lesion in patient["lesions"]:
            centre = [round(v, 1) for v in lesion["centre_lps"]]
            params = json.dumps({"center_lps": centre, "diameter_mm": round(lesion["diameter_mm"], 1)})
            print(f"  {image}  {lesion['label']:<11} {lesion['diameter_mm']:5.1f} mm  at LPS {centre}")
            first = first or (image, params)
    if first is not None:
        url = f"http://127.0.0.1:{port}"
        print(f"\nThe server will answer on {url}. Once it does, in another terminal:")
        print(f"  curl -s '{url}/infer/lesion_classifier?image={first[0]}&output=json' -F {shlex.quote('params=' + first[1])}")
        print(f"From 3D Slicer: MONAI Label module, server {url}, Next Sample, then click a lesion.\n", flush=True)
