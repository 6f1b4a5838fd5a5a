"""Whether a CT is in the studies folder already under another id, as when a folder holds a series and a NIfTI made from it.

As two images of two patients its lesions would be in training and test at once.
"""

from __future__ import annotations

import hashlib
from contextlib import suppress
from pathlib import Path

import numpy as np

from lesionlabel.imaging.sidecar import SUFFIX, Sidecar, read_sidecar
from lesionlabel.lesions.errors import InputError, IntegrityError
from lesionlabel.lesions.volume import Volume


def voxels_digest(volume: Volume) -> str:
    """SHA-256 of the volume's shape and HU, whatever file they came in."""
    digest = hashlib.sha256(str(volume.voxels.shape).encode())
    for plane in volume.voxels:
        digest.update(np.ascontiguousarray(plane, dtype="<i2").tobytes())
    return digest.hexdigest()


def spacing_of(sidecar: Sidecar) -> tuple[float, ...]:
    """In mm from column to column, row to row and slice to slice; without what the sidecar does not say."""
    said = (sidecar.info.get(name) for name in ("column_mm", "row_mm", "slice_mm"))
    return tuple(float(mm) for mm in said if mm is not None)


def same_spacing(one: Sidecar, other: Sidecar) -> bool:
    """Whether diameters are the same in both, but for digits that an archive rounds away."""
    pair = spacing_of(one), spacing_of(other)
    return len(pair[0]) == len(pair[1]) and np.allclose(pair[0], pair[1], rtol=1e-4, atol=0)


class KnownVoxels:
    """The images of a studies folder by their voxels."""

    def __init__(self, studies: Path) -> None:
        self._known: dict[str, list[Sidecar]] = {}
        for path in sorted(studies.glob(f"[!.]*{SUFFIX}")):
            with suppress(InputError, IntegrityError):  # the import of that image itself tells of a damaged sidecar
                self.add(read_sidecar(studies, path.name.removesuffix(SUFFIX)))

    def add(self, sidecar: Sidecar) -> None:
        if sidecar.voxels:
            self._known.setdefault(sidecar.voxels, []).append(sidecar)

    def refuse_twin(self, sidecar: Sidecar) -> None:
        """Raise InputError when another image has the same voxels and one of the two came as a file, or is the same DICOM series.

        Two DICOM series are left alone: they say themselves whose they are. One series under two ids was imported with another
        pseudonym key, so its patient would be two.
        """
        series = sidecar.source.get("series_uid")
        for known in self._known.get(sidecar.voxels, ()):
            if series is not None and known.source.get("series_uid") == series and known.image != sidecar.image:
                raise InputError(
                    f"The series is in the studies folder already, as {known.image}, under another pseudonym key. Import with "
                    "the LESIONLABEL_HOME that this folder was first imported with: one patient would become two."
                )
            if known.image != sidecar.image and ("sha256" in known.source or "sha256" in sidecar.source):
                raise InputError(
                    f"It holds the same voxels as {known.image}, which is in the studies folder already. One patient's CT under "
                    "two ids could train and test at once: it is imported once."
                )
