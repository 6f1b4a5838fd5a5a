"""What is kept beside an imported image: whose it is (a pseudonym), whether it is simulated, and where it came from."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lesionlabel.imaging.nifti import image_suffix
from lesionlabel.imaging.series_info import Info
from lesionlabel.lesions.cohort import PHANTOM_PREFIX
from lesionlabel.lesions.errors import InputError, IntegrityError
from lesionlabel.lesions.files import write_atomically

IMAGE_ID = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}")
SUFFIX = ".series.json"


@dataclass(frozen=True)
class Sidecar:
    """What is known of an imported image.

    image: its id. patient: pseudonym. simulated: made by the phantom. info: what the series says of itself, without names
    and identifiers. source: for a DICOM series study_uid, series_uid, frame_of_reference_uid, sop_class_uid and
    sop_instance_uids in the order of the image's slices (foot to head), as DICOM SEG and SR need them to refer to it; for
    a file its sha256. voxels: SHA-256 of the image's HU, "" where it is not known.
    """

    image: str
    patient: str
    simulated: bool = False
    info: Info = field(default_factory=dict)
    source: dict[str, Any] = field(default_factory=dict)
    voxels: str = ""


def check_image_id(image_id: str) -> str:
    """Return image_id. Raises InputError unless it is 1 to 128 letters, digits, dots, dashes or underscores, no dot first."""
    if not IMAGE_ID.fullmatch(image_id):
        raise InputError(
            f"{image_id!r} is no image id. Allowed: 1 to 128 of A-Z, a-z, 0-9, dot, dash and underscore, the first no dot."
        )
    return image_id


def sidecar_path(studies: Path, image_id: str) -> Path:
    return studies / f"{check_image_id(image_id)}{SUFFIX}"


def read_sidecar(studies: Path, image_id: str) -> Sidecar:
    """The sidecar of an image. An image put there by other means has none: it is its own patient, "image-<image_id>".

    Only simulated images are named "phantom-…", so such an image without a sidecar counts as simulated, as its patient does.

    Raises InputError for an id that is none, IntegrityError when the sidecar is damaged (guessing a patient could leak).
    """
    path = sidecar_path(studies, image_id)
    try:
        record = json.loads(path.read_bytes())
    except FileNotFoundError:
        simulated = image_id.startswith(PHANTOM_PREFIX)
        return Sidecar(image_id, f"{PHANTOM_PREFIX if simulated else ''}image-{image_id}", simulated)
    except (OSError, ValueError) as error:
        raise IntegrityError(f"The sidecar {path.name} cannot be read ({error}). Import the series again.") from error
    try:
        return Sidecar(
            image=str(record["image"]),
            patient=str(record["patient"]),
            simulated=bool(record["simulated"]),
            info=dict(record["info"]),
            source=dict(record["source"]),
            voxels=str(record.get("voxels", "")),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise IntegrityError(f"The sidecar {path.name} is not complete ({error!r}). Import the series again.") from error


def read_sidecars(studies: Path) -> list[Sidecar]:
    """The sidecars of all imported images, in order of their ids. Raises IntegrityError when one is damaged."""
    return [read_sidecar(studies, path.name.removesuffix(SUFFIX)) for path in sorted(studies.glob(f"[!.]*{SUFFIX}"))]


def write_sidecar(studies: Path, sidecar: Sidecar) -> None:
    """Write the sidecar, readable by its owner only (mode 0600)."""
    record = {
        "image": sidecar.image,
        "patient": sidecar.patient,
        "simulated": sidecar.simulated,
        "info": sidecar.info,
        "source": sidecar.source,
        "voxels": sidecar.voxels,
    }
    write_atomically(sidecar_path(studies, sidecar.image), json.dumps(record, indent=1).encode())


def sidecar_beside(path: Path) -> Sidecar | None:
    """The sidecar of an image file; None where its name is no image id, so that it cannot have one."""
    suffix = image_suffix(path)
    image_id = "" if suffix is None else path.name[: -len(suffix)]
    return read_sidecar(path.parent, image_id) if IMAGE_ID.fullmatch(image_id) else None


def info_beside(path: Path) -> Info:
    """The info of the sidecar beside an image file; empty where there is none."""
    sidecar = sidecar_beside(path)
    return {} if sidecar is None else sidecar.info
