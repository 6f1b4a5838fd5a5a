"""The DICOM series behind an image of a PACS, for results: its slices' headers are fetched when needed, and not kept.

Headers name patients. What is kept of a series here (its volume and sidecar) does not, so it cannot make a result alone.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from lesionlabel.imaging.dicomweb import DicomWeb
from lesionlabel.imaging.sidecar import read_sidecar
from lesionlabel.imaging.source_series import SourceSeries
from lesionlabel.lesions.errors import InputError, NotFoundError
from lesionlabel.lesions.volume import Volume

#: How folders begin that hold slices for a moment.
HEADERS = ".headers-"
#: (image id, its volume) -> its series, for as long as the context lasts. Raises PacsError, NotFoundError or InputError.
SourceOf = Callable[[str, Volume], AbstractContextManager[SourceSeries]]


def pacs_source(client: DicomWeb, studies: Path, scratch: Path) -> SourceOf:
    """For images whose volumes and sidecars are in studies, fetched from the client's PACS.

    scratch: where slices lie for the moment in which their headers are read.
    """

    @contextmanager
    def source_of(image_id: str, volume: Volume) -> Iterator[SourceSeries]:
        sidecar = read_sidecar(studies, image_id)
        known = sidecar.source
        if not known.get("sop_instance_uids"):
            raise InputError("Nothing is known of the DICOM series of this image, so it can have no DICOM results.")
        # The sidecar names them from foot to head, the file has them as the series' own grid runs.
        uids = list(known["sop_instance_uids"])
        upward = volume.native.affine[2, 2] > 0
        scratch.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=scratch, prefix=HEADERS) as folder:

            def files(wanted: Sequence[str]) -> Mapping[str, Path]:
                found = client.retrieve(known["study_uid"], known["series_uid"], Path(folder), only=wanted)
                places = {path.stem: path for path in found}
                if set(wanted) - set(places):
                    raise NotFoundError("Slices of the series are not on the PACS any more, so no result on them can be made.")
                return places

            yield SourceSeries(
                study_uid=known["study_uid"],
                series_uid=known["series_uid"],
                sop_uids=tuple(uids if upward else uids[::-1]),
                geometry=volume.native,
                simulated=sidecar.simulated,
                files=files,
            )

    return source_of
