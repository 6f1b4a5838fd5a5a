"""Makes synthetic ROIs for whoever asks: the serving generators, and the one way from a request to marked files."""

from __future__ import annotations

import os
import shutil
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lesionlabel import NOT_FOR_CLINICAL_USE
from lesionlabel.imaging.synthetic import SyntheticMark
from lesionlabel.imaging.synthetic_dicom import write_dicom_series
from lesionlabel.imaging.synthetic_files import write_nifti, write_npy, write_png_grid
from lesionlabel.imaging.synthetic_register import SyntheticRegister
from lesionlabel.registry.card import PHANTOM_SAYS_NOTHING
from lesionlabel.registry.generator import LesionGenerator
from lesionlabel.registry.generators import GeneratorVersions, generator_names
from lesionlabel.registry.synthetic_request import Format, SyntheticRequest
from lesionlabel.settings import Settings

ENDINGS: dict[Format, str] = {"nifti": ".nii.gz", "png": ".png", "npy": ".npy", "dicom": ""}


class Synthesis:
    """The generators of one home folder, and the register of what they made. Safe to use from several threads."""

    def __init__(self, settings: Settings, register: SyntheticRegister) -> None:
        self.register = register
        self.versions = {name: GeneratorVersions(settings, name) for name in generator_names(settings)}

    def make(self, name: str, asked: SyntheticRequest) -> tuple[NDArray[np.float32], SyntheticMark, LesionGenerator]:
        """ROIs (n, 64, 64) of the generator called name, registered as synthetic, with their mark and who made them.

        Raises NotFoundError for an unknown version, NoModelError when none serves, IntegrityError, UnknownClassError.
        """
        generator = self.versions[name].of(asked.version)
        images = generator.sample_all(asked.n, asked.seed, asked.label, asked.truncation)
        mark = mark_of(generator, asked)
        # Before anything leaves: what comes back under another name is then known.
        self.register.add(images)
        return images, mark, generator


def mark_of(generator: LesionGenerator, asked: SyntheticRequest) -> SyntheticMark:
    """The mark of what the generator makes when asked so."""
    return SyntheticMark(
        label=generator.class_names[generator.position_of(asked.label)],
        generator=generator.manifest.name,
        version=generator.version,
        sha256=generator.sha256,
        seed=asked.seed,
        first=0,
        trained_on=generator.manifest.trained_on,
        truncation=asked.truncation,
    )


def write_images(
    folder: Path, images: NDArray[np.float32], mark: SyntheticMark, asked_format: Format, burn: bool = False
) -> Path:
    """Write ROIs below folder under the mark's name. Returns the file, or for DICOM the new folder of the series."""
    path = folder / f"{mark.stem}{ENDINGS[asked_format]}"
    if asked_format == "npy":
        write_npy(path, images, mark)
    else:
        writers: dict[Format, Callable[..., Any]] = {
            "png": write_png_grid,
            "nifti": write_nifti,
            "dicom": write_dicom_series,
        }
        writers[asked_format](path, images, mark, burn)
    return path


def write_one_file(images: NDArray[np.float32], mark: SyntheticMark, asked: SyntheticRequest) -> Path:
    """One new temporary file with the ROIs, a ZIP for a DICOM series, for an answer over HTTP. The caller deletes it."""
    folder = Path(tempfile.mkdtemp(prefix="lesionlabel-"))
    try:
        written = write_images(folder, images, mark, asked.format, asked.burn)
        packed = folder / f"{mark.stem}.zip"
        if written.is_dir():
            with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
                for part in sorted(written.iterdir()):
                    archive.write(part, f"{written.name}/{part.name}")
            written = packed
        # The name under which a client saves it begins with the mark, too.
        handle, name = tempfile.mkstemp(prefix=f"{mark.stem}-", suffix=written.name.removeprefix(mark.stem))
        os.close(handle)
        return Path(shutil.move(written, name))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def describe(mark: SyntheticMark, generator: LesionGenerator, n: int) -> dict[str, Any]:
    """What an answer says of the images: the mark, how the generator did, and what they are not."""
    manifest = generator.manifest
    phantom = [PHANTOM_SAYS_NOTHING] if manifest.trained_on == "phantom" else []
    return {
        **mark.to_json(),
        "n": n,
        "memorisation": manifest.outcome,
        "measured_on": len(manifest.held_out),
        "reader_notes": [
            "Synthetic: made by a generator, no patient's, never evidence of how a lesion looks.",
            f"Copies of training patients: {manifest.outcome}.",
            *phantom,
            NOT_FOR_CLINICAL_USE,
        ],
    }
