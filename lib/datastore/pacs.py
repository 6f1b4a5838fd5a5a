"""Studies on a PACS: images come from there, labels and everything else lives in a folder under LESIONLABEL_HOME."""

from __future__ import annotations

import logging
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from monailabel.datastore.local import DataModel, ImageLabelModel

from lesionlabel.datastore.curated import Curate, CuratedDatastore
from lesionlabel.datastore.index import mark_of
from lesionlabel.datastore.names import is_id
from lesionlabel.datastore.pacs_address import connect, pacs_folder
from lesionlabel.datastore.pacs_images import EXTENSION, PacsImages
from lesionlabel.datastore.pacs_listing import Listed, PacsListing
from lesionlabel.datastore.scan import scan
from lesionlabel.imaging.dicomweb_answers import is_uid
from lesionlabel.imaging.identity import Identity
from lesionlabel.imaging.same_voxels import spacing_of
from lesionlabel.imaging.sidecar import SUFFIX, read_sidecar
from lesionlabel.imaging.synthetic import is_synthetic_name
from lesionlabel.imaging.synthetic_register import SyntheticRegister
from lesionlabel.lesions.errors import InputError, IntegrityError, NotFoundError, PacsDamagedError
from lesionlabel.settings import Settings

logger = logging.getLogger(__name__)

#: What an image's info says under "pacs".
LISTED, NOT_CHECKED, UNREADABLE, REFUSED, GONE = "listed", "not checked yet", "cannot be read there", "cannot be used", "gone"
GONE_NOTE = "This series is not on the PACS any more: the answer is about the copy that was fetched before."
NOT_LISTED = "The PACS lists no CT series with that Series Instance UID."
#: How long a datastore that is closed waits for its listing: a connection that is cut off in the middle is never closed.
CLOSING_S = 2.0


class PacsDatastore(CuratedDatastore):
    """The CT series of a PACS by Series Instance UID; labels, history and answers as in a studies folder.

    An image's info says under "pacs" whether it is listed, not checked for synthetic data yet, not readable there, of no use (and
    why, under "refused"), or gone. Only the first are offered; synthetic ones are marked, as everywhere. Series that were fetched
    and are gone from the PACS stay, with their labels.
    """

    def __init__(self, url: str, settings: Settings, curate: Curate | None = None) -> None:
        folder = pacs_folder(url, settings)
        self.client = connect(url, settings)
        self.listing = PacsListing(self.client, folder, settings.dicomweb_search)
        self._images = PacsImages(
            self.client,
            self.listing,
            folder,
            Identity(settings.home),
            SyntheticRegister(settings.synthetic_folder),
            self._is_labelled,
            self._alone,
            budget=int(settings.dicomweb_cache_gib * 2**30),
            wait_s=settings.dicomweb_wait_s,
        )
        super().__init__(folder, curate)

    def get_unlabeled_images(self, label_tag: str | None = None, labels: list[str] | None = None) -> list[str]:
        found, objects = super().get_unlabeled_images(label_tag, labels), self._datastore.objects
        # One may be gone since: lists are made beside what changes them.
        return [uid for uid in found if uid in objects and objects[uid].image.info.get("pacs") == LISTED]

    def get_image_uri(self, image_id: str) -> str:
        """The path of the image's volume, fetched from the PACS where it is not here. Raises as PacsImages.path.

        The only question that asks the PACS for what is not listed: that can take minutes.
        """
        if is_synthetic_name(image_id):
            return super().get_image_uri(image_id)
        try:
            self._require_image(image_id)
        except NotFoundError:
            # It may have come to the PACS since the listing was read.
            if not is_uid(image_id) or self.listing.look_for(image_id) is None:
                raise
        return str(self._images.path(image_id))

    def labelled_image(self, image_id: str) -> Path:
        """As in a studies folder: the copy here, whatever the PACS holds now, or fetched again."""
        copy = self.studies / f"{image_id}{EXTENSION}"
        return copy if self._is_labelled(image_id) and copy.exists() else super().labelled_image(image_id)

    def add_image(self, image_id: str, image_filename: str, image_info: dict[str, Any]) -> str:
        raise InputError("Images come from the PACS: send the series there, and it appears here within seconds.")

    def remove_image(self, image_id: str) -> None:
        raise InputError("Images come from the PACS: delete the series there. What was saved about it here is kept.")

    def get_dataset_archive(self, limit_cases: int | None) -> str:
        """As in a studies folder, without series that cannot be had: gone from the PACS and from here, or refused."""
        lost, labelled = 0, self.get_labeled_images()
        for image_id in labelled:
            try:
                self.labelled_image(image_id)
            except (NotFoundError, InputError, PacsDamagedError):
                lost += 1
        if lost:
            logger.warning("The data set lacks %d labelled series that the PACS has no more, or that cannot be used.", lost)
        if lost and lost == len(labelled):
            raise NotFoundError("No labelled series can be had from the PACS, nor is one here. Put them back on the PACS.")
        return super().get_dataset_archive(limit_cases)

    def datalist(self, full_path: bool = True) -> list[dict[str, Any]]:
        """Pairs of image and final label; only those whose image is here."""
        here = {path.name for path in self.studies.glob(f"[!.]*{EXTENSION}")}
        return [pair for pair in super().datalist(full_path) if Path(pair["image"]).name in here]

    def status(self) -> dict[str, Any]:
        """MONAI Label's counts, and under "pacs" whether the PACS answers."""
        return {**super().status(), "pacs": self.listing.problem or "answers"}

    def note(self, image_id: str) -> str | None:
        """What a reader has to know of where an image comes from; None where there is nothing."""
        entry = self._datastore.objects.get(image_id)
        return GONE_NOTE if entry is not None and entry.image.info.get("pacs") == GONE else None

    def is_generated(self, image_id: str) -> bool:
        """By its mark: a series was looked at when it was fetched, and its volume need not be here."""
        return bool(mark_of(self._datastore.objects[image_id]))

    def close(self) -> None:
        """End what is being fetched, and what is being listed unless it ends by itself in a moment."""
        self.listing.settle(CLOSING_S)
        self.client.close()

    def _pixels(self, image_id: str) -> tuple[Any, ...] | None:
        """By what the sidecar says: the same slices that are fetched again are no change."""
        sidecar = read_sidecar(self.studies, image_id)
        return (sidecar.patient, sidecar.voxels, *spacing_of(sidecar)) if sidecar.voxels else None

    def _is_labelled(self, image_id: str) -> bool:
        entry = self._datastore.objects.get(image_id)
        return entry is not None and bool(entry.labels)

    def _require_image(self, image_id: str) -> ImageLabelModel:
        try:
            return super()._require_image(image_id)
        except NotFoundError:
            raise NotFoundError(NOT_LISTED) from None

    def _follow_files(self) -> None:
        self.listing.refresh_soon()
        super()._follow_files()

    def _stamps(self) -> tuple[int, ...]:
        return (*super()._stamps(), self.listing.changed)

    def _mark_synthetic(self, objects: dict[str, ImageLabelModel]) -> None:
        """Nothing: _scan has marked them."""

    def _scan(self, known: dict[str, ImageLabelModel]) -> dict[str, ImageLabelModel]:
        listed = self.listing.series
        fetched = {path.name.removesuffix(SUFFIX) for path in self.studies.glob(f"[!.]*{SUFFIX}")}
        labelled = {image_id for image_id, entry in known.items() if entry.labels}
        images: dict[str, ImageLabelModel] = {}
        for uid in sorted({*listed, *fetched, *labelled}):
            if not is_id(uid):
                continue
            one, before = listed.get(uid), known.get(uid)
            kept = {} if before is None else {key: value for key, value in before.image.info.items() if key != "refused"}
            info = {"ts": int(time.time()), "name": f"{uid}{EXTENSION}", **kept, "pacs": _state(one)}
            if one is not None and one.instances is not None:
                info["slices"] = one.instances
            if one is not None and one.refused:
                info["refused"] = one.refused
            if (one is not None and one.synthetic) or (before is None and uid in fetched and self._is_simulated(uid)):
                info["synthetic"] = True
            images[uid] = ImageLabelModel(image=DataModel(ext=EXTENSION, info=info))
        return scan(self.studies, known, self.history, images)

    def _is_simulated(self, uid: str) -> bool:
        with suppress(IntegrityError):  # whoever opens the image is told
            return read_sidecar(self.studies, uid).simulated
        return False


def _state(one: Listed | None) -> str:
    if one is None:
        return GONE
    if not one.readable:
        return UNREADABLE
    if one.refused:
        return REFUSED
    return NOT_CHECKED if one.synthetic is None else LISTED
