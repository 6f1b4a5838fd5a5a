"""Where questions are answered: the open volumes, the serving model and the segmenter, shared by server and command line."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from lesionlabel.imaging.nifti import image_suffix
from lesionlabel.imaging.same_voxels import voxels_digest
from lesionlabel.imaging.sidecar import sidecar_beside
from lesionlabel.imaging.store import VolumeStore
from lesionlabel.imaging.synthetic_register import SyntheticRegister
from lesionlabel.imaging.synthetic_seen import synthetic_mark_of, synthetic_volume
from lesionlabel.infers.answer import Answer, Untyped, answer, describe
from lesionlabel.infers.asked import Asked
from lesionlabel.infers.marked import Marks
from lesionlabel.infers.notes import Refusal
from lesionlabel.infers.outline import Outlined
from lesionlabel.lesions.errors import InputError, IntegrityError, NoModelError
from lesionlabel.lesions.phase import Phase, check_phase
from lesionlabel.lesions.segmenter import Segmenter
from lesionlabel.lesions.volume import Volume
from lesionlabel.registry.classifier import Classifier
from lesionlabel.registry.segmenter_bundle import load_segmenter
from lesionlabel.registry.versions import Versions, starter_folder
from lesionlabel.settings import Settings

#: Volumes that stay mapped, with what was found out about them. Mapped is not held: the memory is the page cache's.
MAPPED_VOLUMES = 64


@dataclass(eq=False)
class OpenImage:
    """A mapped volume.

    simulated: whether it is the phantom's or a generator's, so no patient's. patient: the pseudonym, None where it is not known.
    """

    volume: Volume
    simulated: bool
    patient: str | None = None

    @cached_property
    def voxels(self) -> str:
        """The digest of the volume's voxels."""
        return voxels_digest(self.volume)

    @cached_property
    def marks(self) -> Marks:
        """What readers have marked in it and not saved yet."""
        return Marks(self.volume)

    @cached_property
    def phase(self) -> Phase:
        return check_phase(self.volume)


class Desk:
    """Answers questions about images by path. Safe to use from several threads."""

    def __init__(self, settings: Settings, segmenter: Segmenter | None = None) -> None:
        self.settings = settings
        self.store = VolumeStore(settings.volumes_folder, int(settings.volume_cache_gib * 2**30))
        self.versions = Versions(settings)
        self.register = SyntheticRegister(settings.synthetic_folder)
        self._segmenter = segmenter
        self._open: OrderedDict[tuple[str, int, int, int], OpenImage] = OrderedDict()
        self._lock = threading.Lock()

    @cached_property
    def segmenter(self) -> Segmenter:
        """Outlines what is clicked. Raises NoModelError, IntegrityError when the package's own is not whole."""
        return self._segmenter or load_segmenter(starter_folder("lesion_segmenter"))

    def open(self, path: Path) -> OpenImage:
        """The image at path, mapped. Raises what VolumeStore.open raises."""
        if path.is_dir():
            return self._opened(path, simulated=False)
        found = path.stat()
        key = (str(path), found.st_ino, found.st_size, found.st_mtime_ns)
        with self._lock:
            known = self._open.get(key)
            if known is not None:
                self._open.move_to_end(key)
                return known
        sidecar = sidecar_beside(path)
        image = self._opened(path, simulated=sidecar is not None and sidecar.simulated)
        image.patient = None if sidecar is None else sidecar.patient
        with self._lock:
            self._open[key] = image
            while len(self._open) > MAPPED_VOLUMES:
                self._open.popitem(last=False)
        return image

    def answer(self, path: Path, asked: Asked) -> Answer:
        """Answer a question about the image at path with the serving model.

        Raises NoModelError when none serves, IntegrityError when it was changed, and what outline and VolumeStore.open raise.
        """
        classifier = self.versions.champion()
        image = self.open(path)
        return answer(image.volume, asked, classifier, self.segmenter, image.phase, image.simulated, image.patient)

    def typing(self) -> Classifier | Untyped:
        """The serving model, or why there is none to ask: an outline needs no model."""
        try:
            return self.versions.champion()
        except (NoModelError, IntegrityError) as error:
            return self.untyped("no type: no model serves", f"No type is given: {error}")

    def untyped(self, line: str, why: str) -> Untyped:
        """No type, for that reason."""
        return Untyped(tuple(self.settings.classes.names), Refusal(line, why))

    def describe(
        self, image: OpenImage, outlined: Outlined, classifier: Classifier | Untyped, *, override_phase: bool = False
    ) -> Answer:
        """All that is said of a lesion that is outlined already."""
        return describe(image.volume, outlined, classifier, image.phase, override_phase, image.simulated, image.patient)

    def require_ct(self, path: Path) -> None:
        """Raise InputError unless what was sent can be asked about: a NIfTI or NRRD file, or a folder of those or of one series.

        What is read stays in the volume store under its content, so that the first question does not read it again.
        """
        volumes = sorted(filter(image_suffix, path.iterdir())) if path.is_dir() else [path]
        for volume in volumes or [path]:
            try:
                _ = self.store.open(volume).geometry.pixel_mm
            except InputError as error:
                why = str(error).replace(volume.name, "The file")
                raise type(error)(f"The image was not taken: it must be a CT as .nii.gz, .nii or .nrrd. {why}") from error

    def recognise_synthetic(self, path: Path) -> str | None:
        """How a NIfTI or NRRD file is recognised as a generator's, by name, header or pixels; None where it is not."""
        return synthetic_volume(path, self.register)

    def _opened(self, path: Path, simulated: bool) -> OpenImage:
        """simulated: what the sidecar says; a DICOM series says it itself, and so do a generator's images, or their pixels."""
        volume = self.store.open(path)
        simulated = simulated or bool(volume.info.get("simulated")) or synthetic_mark_of(path) is not None
        return OpenImage(volume, simulated or self.register.knows_volume(volume.voxels))
