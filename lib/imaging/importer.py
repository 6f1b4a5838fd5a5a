"""Import: every CT below a source becomes STUDIES/<image_id>.nii.gz with its sidecar; what is refused is named with why."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from lesionlabel.imaging.dicom import Refusal
from lesionlabel.imaging.file_hash import hash_file
from lesionlabel.imaging.identity import Identity
from lesionlabel.imaging.ircad import IMAGES, is_passed_over, patient_folders, read_masks
from lesionlabel.imaging.nifti import image_suffix, write_image
from lesionlabel.imaging.patient_list import NOBODY, PatientList
from lesionlabel.imaging.read import read_volume
from lesionlabel.imaging.same_voxels import KnownVoxels, voxels_digest
from lesionlabel.imaging.series import Series, files_below, find_series, load_series, name_below
from lesionlabel.imaging.series_info import Info
from lesionlabel.imaging.sidecar import Sidecar, read_sidecar, write_sidecar
from lesionlabel.imaging.synthetic import not_a_patients
from lesionlabel.imaging.synthetic_register import SyntheticRegister
from lesionlabel.imaging.synthetic_seen import BY_PIXELS, synthetic_mark_of
from lesionlabel.lesions.cohort import PHANTOM_PREFIX
from lesionlabel.lesions.errors import InputError, IntegrityError, NotFoundError
from lesionlabel.lesions.files import write_atomically
from lesionlabel.lesions.volume import Volume

#: Where MONAI Label keeps labels that no reader has accepted.
LABELS = Path("labels") / "original"
STEM_LENGTH = 64


@dataclass(frozen=True)
class Imported:
    """An image in the studies folder. spacing: column, row and slice distance in mm. segments: names of masks that came along.

    already: it was there before, and nothing was changed.
    """

    image_id: str
    patient: str
    slices: int
    spacing: tuple[float, float, float]
    simulated: bool
    already: bool
    segments: tuple[str, ...] = ()


@dataclass
class ImportReport:
    """What was imported, and what was refused and why."""

    imported: list[Imported] = field(default_factory=list)
    refused: list[Refusal] = field(default_factory=list)


def import_studies(
    source: Path,
    studies: Path,
    identity: Identity,
    *,
    phantom: bool = False,
    patients: PatientList = NOBODY,
    register: SyntheticRegister | None = None,
) -> ImportReport:
    """Import a file, or everything below a folder: DICOM series in any order, NIfTI, NRRD, and 3D-IRCADb patients with masks.

    phantom: the source is simulated; without it simulated series are refused, with it real ones. patients: whose a NIfTI or
    NRRD file is; one that is not named there is a patient of its own. register: of the synthetic ROIs made here; what a
    generator made is refused with phantom and without, by its mark or by these. Importing a series again changes nothing.
    Raises NotFoundError when there is no source; all else that is wrong is in the report.
    """
    if not source.exists():
        raise NotFoundError(f"There is nothing at {source}.")
    studies.mkdir(parents=True, exist_ok=True)
    below = source if source.is_dir() else source.parent
    files = files_below(source) if source.is_dir() else [source]
    inside = studies.resolve()
    files = [path for path in files if inside not in path.resolve().parents]
    ircad = patient_folders(files)
    files = [path for path in files if not is_passed_over(path, ircad)]
    work = _Import(below, studies, identity, phantom, patients, register, ircad, KnownVoxels(studies), ImportReport())
    found, refused = find_series([path for path in files if not image_suffix(path)], below)
    work.report.refused += refused
    for series in found:
        work.add_series(series)
    images = [path for path in files if image_suffix(path)]
    names = [name_below(path, below) for path in images]
    for path in images:
        work.add_file(path, names)
    for name in patients.unused(names):
        work.report.refused.append(Refusal(name, "The patient list names it, and there is no such NIfTI or NRRD file."))
    if not files:
        work.report.refused.append(Refusal(source.name, "The folder holds no files."))
    return work.report


@dataclass(frozen=True)
class _Import:
    """One run of import_studies."""

    below: Path
    studies: Path
    identity: Identity
    phantom: bool
    patients: PatientList
    register: SyntheticRegister | None
    ircad: set[Path]
    known: KnownVoxels
    report: ImportReport

    def add_series(self, series: Series) -> None:
        first = series.first
        what = f"series of {len(series.headers)} files ({name_below(first.path, self.below)} …)"
        try:
            if any(header.generated for header in series.headers):
                raise InputError(not_a_patients("its headers or file names say so"))
            self._check_mark({header.synthetic for header in series.headers})
            pseudonym = self.identity.patient(first.patient_id, first.issuer, first.study_uid, first.series_uid)
            patient = f"{PHANTOM_PREFIX}{pseudonym}" if self.phantom else pseudonym
            image_id = (PHANTOM_PREFIX if self.phantom else "ct-") + self.identity.image(patient, first.series_uid)
            loaded = load_series(series, self.below)
            self.report.refused += loaded.refused
            self._refuse_made_here(loaded.volume)
            sidecar = Sidecar(
                image_id, patient, self.phantom, series_info_of(loaded.volume), loaded.source, voxels_digest(loaded.volume)
            )
            already = self._put(sidecar, loaded.volume)
            segments = self._add_masks(first.path, image_id, loaded.volume)
        except (InputError, IntegrityError) as error:
            self.report.refused.append(Refusal(what, str(error)))
            return
        self._done(sidecar, loaded.volume, already, segments)

    def add_file(self, path: Path, names: Sequence[str]) -> None:
        """names: the paths of all image files below the source."""
        name = name_below(path, self.below)
        try:
            said = synthetic_mark_of(path)
            if said is not None:
                raise InputError(not_a_patients(said))
            content = hash_file(path)
            image_id = self._file_id(path, content)
            listed = self.patients.of(name, names)
            volume = read_volume(path)
            self._refuse_made_here(volume)
            _ = volume.geometry.pixel_mm
            voxels = voxels_digest(volume)
            own = self.identity.patient(listed.patient, listed.issuer) if listed else f"image-{image_id}"
            patient = f"{PHANTOM_PREFIX}{own}" if self.phantom else own
            sidecar = Sidecar(image_id, patient, self.phantom, series_info_of(volume), {"sha256": content}, voxels)
            already = self._put(sidecar, volume)
        except (InputError, IntegrityError) as error:
            self.report.refused.append(Refusal(name, str(error)))
            return
        self._done(sidecar, volume, already, ())

    def _check_mark(self, synthetic: set[bool]) -> None:
        """synthetic: whether its slices are marked as simulated, both where some are."""
        if True in synthetic and not self.phantom:
            raise InputError("It is marked as Synthetic Data (0008,001C): simulated, no patient's. Import it with --phantom.")
        if self.phantom and False in synthetic:
            raise InputError(
                "It has slices not marked as Synthetic Data (0008,001C), so it may be a patient's. Import it without --phantom."
            )

    def _refuse_made_here(self, volume: Volume) -> None:
        if self.register is not None and self.register.knows_volume(volume.voxels):
            raise InputError(not_a_patients(BY_PIXELS))

    def _file_id(self, path: Path, content: str) -> str:
        stem = path.name[: -len(image_suffix(path) or "")]
        safe = re.sub(r"[^A-Za-z0-9]+", "-", stem).strip("-")[:STEM_LENGTH] or "image"
        if self.phantom:
            return f"{PHANTOM_PREFIX}{safe.removeprefix(PHANTOM_PREFIX)}-{content[:8]}"
        # Only simulated images may look like it.
        return f"{'file-' if safe.casefold().startswith('phantom') else ''}{safe}-{content[:8]}"

    def _put(self, sidecar: Sidecar, volume: Volume) -> bool:
        """Write image and sidecar; whether they were there before. The sidecar comes first: an image never lacks its patient."""
        path = self.studies / f"{sidecar.image}.nii.gz"
        if path.exists():
            return self._check_same(sidecar)
        self.known.refuse_twin(sidecar)
        write_sidecar(self.studies, sidecar)
        self.known.add(sidecar)
        try:
            write_image(path, volume.voxels, volume.geometry)
        except FileExistsError:  # another import of the same series was faster
            return True
        return False

    def _check_same(self, sidecar: Sidecar) -> bool:
        before = read_sidecar(self.studies, sidecar.image)
        if before.source != sidecar.source:
            raise InputError(
                f"It was imported before as {sidecar.image} from other slices ({before.info.get('slices')}, now "
                f"{sidecar.info.get('slices')}). Labels may refer to those: remove that image first if this one is right."
            )
        if before.patient != sidecar.patient:
            raise InputError(
                f"It was imported before as {sidecar.image} of patient {before.patient}, and is now said to be of "
                f"{sidecar.patient}. Remove that image first if this is right."
            )
        return True

    def _add_masks(self, image_file: Path, image_id: str, volume: Volume) -> tuple[str, ...]:
        folder = next((parent for parent in image_file.parents if parent in self.ircad), None)
        if folder is None or IMAGES not in image_file.relative_to(folder).parts[:1]:
            return ()
        label = self.studies / LABELS / f"{image_id}.nii.gz"
        names_file = label.with_name(f"{image_id}.segments.json")
        if label.exists() and names_file.exists():
            return tuple(segment["name"] for segment in json.loads(names_file.read_bytes())["segments"])
        labels, names, refused = read_masks(folder, volume, self.below)
        self.report.refused += refused
        if labels is None:
            return ()
        segments = [{"name": name, "value": value} for value, name in enumerate(names, start=1)]
        write_atomically(names_file, json.dumps({"image": image_id, "segments": segments}, indent=1).encode())
        if not label.exists():
            write_image(label, labels, volume.geometry)
        return tuple(names)

    def _done(self, sidecar: Sidecar, volume: Volume, already: bool, segments: tuple[str, ...]) -> None:
        geometry = volume.geometry
        self.report.imported.append(
            Imported(sidecar.image, sidecar.patient, geometry.shape[0], geometry.spacing, self.phantom, already, segments)
        )


def series_info_of(volume: Volume) -> Info:
    """What a sidecar says of a volume: its header's info, and its size and spacing in mm."""
    slices, rows, columns = volume.geometry.shape
    column_mm, row_mm, slice_mm = (round(mm, 6) for mm in volume.geometry.spacing)
    return {
        **volume.info,
        "slices": slices,
        "rows": rows,
        "columns": columns,
        "column_mm": column_mm,
        "row_mm": row_mm,
        "slice_mm": slice_mm,
    }
