"""MONAI Label's local datastore, made to keep every version, to accept safe names only, and to be shared by processes."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from monailabel.datastore.local import DataModel, ImageLabelModel

from lesionlabel.datastore.history import REFUSED, sha256_of
from lesionlabel.datastore.index import FINAL, FollowedDatastore, Recognise, mark_of
from lesionlabel.datastore.info import storable
from lesionlabel.datastore.markups import is_markups
from lesionlabel.datastore.names import IMAGE_EXTENSIONS, require_extension, require_id, require_tag, split_extension
from lesionlabel.datastore.readings import Readings
from lesionlabel.datastore.segments import LabelError
from lesionlabel.datastore.synthetic_shelf import SyntheticShelf
from lesionlabel.imaging.synthetic import is_synthetic_name, not_a_patients
from lesionlabel.imaging.synthetic_seen import BY_NAME, synthetic_mark_of
from lesionlabel.lesions.errors import InputError, IntegrityError, NotFoundError, PacsError

#: Told with the reason why a final label is refused.
LABEL_REFUSED = (
    "So it is not the image's final label, and the one before stays; what was sent is kept in labels/history. "
    "Save the segmentation that was drawn on this image, as .seg.nrrd, .nrrd or .nii.gz."
)
#: Told with any other reason why a label could not be saved.
LABEL_KEPT = "The label is not current; what was sent is kept in labels/history."
LOOK_AGAIN = "Open the image again and look at the label before you save it."
CHANGED = f"The image's slices are no longer those that were here before its label was saved. {LOOK_AGAIN}"
TAKES_NO_LABEL = "It takes no label."
#: What a reason comes back as, the narrowest first.
REASONS = (LabelError, InputError, NotFoundError, IntegrityError, PacsError)

#: What curation says of a label. It is changed by saving the label again, not by a note on it.
CURATED_KEYS = frozenset(
    {"lesions", "questions", "not_curated", "curation_problem", "reader", "curated_at", "saw_model", "proof"}
)

#: (image id, image file, label file, info as sent) -> what curation adds to the info.
Curate = Callable[[str, Path, Path, dict[str, Any]], dict[str, Any]]
#: image file -> None; raises InputError where it is no image to ask about.
Check = Callable[[Path], None]


class CuratedDatastore(FollowedDatastore):
    """The studies folder. Each save is kept in labels/history before it becomes current; nothing there is ever deleted.

    curate: called on each label saved as final; what it returns is stored in the label's info. recognise: called on each
    image that is sent, which is refused if it is synthetic, or found in the folder, which is then marked so in its info.
    check: called on each image that is sent, which is refused where it raises. The index (datastore_v2.json) follows the
    files: volumes copied or imported into the folder appear at the next question.
    """

    def __init__(
        self,
        studies: Path,
        curate: Curate | None = None,
        recognise: Recognise = synthetic_mark_of,
        check: Check | None = None,
    ) -> None:
        super().__init__(studies, recognise)
        self.shelf = SyntheticShelf(self.studies / ".synthetic")
        self.readings = Readings(self.history, self._final_info, self._file_lock)
        self._curate = curate
        self._check = check

    def get_image_uri(self, image_id: str) -> str:
        """The image's path. Raises NotFoundError for an id that is not in the studies folder."""
        if is_synthetic_name(image_id):
            return str(self.shelf.path(image_id))
        self._require_image(image_id)
        return super().get_image_uri(image_id)

    def get_image_info(self, image_id: str) -> dict[str, Any]:
        if is_synthetic_name(image_id):
            return self.shelf.info(image_id)
        self._require_image(image_id)
        return super().get_image_info(image_id)

    def get_label_uri(self, label_id: str, label_tag: str) -> str:
        self._require_label(label_id, label_tag)
        return super().get_label_uri(label_id, label_tag)

    def get_label_info(self, label_id: str, label_tag: str) -> dict[str, Any]:
        """A copy of the label's info. Raises NotFoundError when there is no such label."""
        return dict(self._require_label(label_id, label_tag).info)

    def get_labels_by_image_id(self, image_id: str) -> dict[str, str]:
        return dict.fromkeys(self._require_image(image_id).labels, image_id)

    def get_dataset_archive(self, limit_cases: int | None) -> str:
        """A ZIP of the final labels and their images. Raises NotFoundError when nothing is labelled."""
        if not self.get_labeled_images():
            raise NotFoundError("No image has a final label yet, so there is no data set to download.")
        return super().get_dataset_archive(limit_cases)

    def labelled_image(self, image_id: str) -> Path:
        """The path of the volume that an image's labels were drawn on. Raises NotFoundError, and others as get_image_uri."""
        return Path(self.get_image_uri(image_id))

    def note(self, image_id: str) -> str | None:
        """What a reader has to know of where an image comes from; None where there is nothing, as here."""
        return None

    def add_image(self, image_id: str, image_filename: str, image_info: dict[str, Any]) -> str:
        """Store an image. One with the same id is moved to the history first; its labels stay only if the pixels are the same.

        Raises InputError for an unsafe id, a file ending that is no volume's, an image that a generator made, and what check
        raises.
        """
        source = Path(image_filename)
        image_id = require_id(image_id or split_extension(source.name)[0])
        extension = require_extension(source.name)
        if extension not in IMAGE_EXTENSIONS:
            raise InputError(f"A file ending in {extension} is no volume. Allowed: {', '.join(IMAGE_EXTENSIONS)}.")
        said = BY_NAME if is_synthetic_name(image_id) else self._recognise(source)
        if said is not None:
            raise InputError(not_a_patients(said))
        if self._check is not None:
            self._check(source)
        staged = self._stage(source, self.studies)
        target = self.studies / f"{image_id}{extension}"
        info = {**storable(image_info), "ts": int(time.time()), "name": target.name}
        try:
            with self._changing() as objects:
                before = objects.get(image_id)
                labels, old = {}, None
                if before is not None:
                    old = self.studies / f"{image_id}{before.image.ext}"
                    if sha256_of(old) == sha256_of(staged):
                        labels = before.labels
                        info |= mark_of(before)
                    else:
                        self._retire(image_id, before, "replaced")
                        old = None
                if old != target:  # the same file stays: a label that is being saved was drawn on it
                    os.replace(staged, target)
                objects[image_id] = ImageLabelModel(image=DataModel(ext=extension, info=info), labels=labels)
        finally:
            staged.unlink(missing_ok=True)
        return image_id

    def remove_image(self, image_id: str) -> None:
        """Take an image and its labels out of use; all of it moves to the history. Raises NotFoundError."""
        require_id(image_id)
        with self._changing() as objects:
            if image_id not in objects:
                raise NotFoundError(f"No image {image_id!r} in the studies folder.")
            self._retire(image_id, objects.pop(image_id), "removed")

    def save_label(self, image_id: str, label_filename: str, label_tag: str, label_info: dict[str, Any]) -> str:
        """Keep the label for ever, curate it if it is final, and make it the current one. Returns the label's id.

        Raises NotFoundError for an unknown image, InputError for an unsafe tag or file ending, LabelError for a final label
        that curation refuses, or for markups where there are curated lesions: what was sent is kept in the history, and the
        label that was current stays so.
        """
        tag = require_tag(label_tag)
        if is_synthetic_name(image_id):
            raise InputError(f"{not_a_patients(BY_NAME)} {TAKES_NO_LABEL}")
        extension = require_extension(label_filename)
        source, name = Path(label_filename), f"{image_id}{extension}"
        info = {**storable(label_info), "ts": int(time.time()), "name": name}
        with self.kept_if_refused(image_id, source, tag, info):
            image, pixels = self.open_for_label(image_id)
        # Of a series of a PACS only all slices say so, which are here by now.
        if self.get_image_info(image_id).get("synthetic"):
            raise InputError(f"{not_a_patients('it is marked so')} {TAKES_NO_LABEL}")
        with self.kept_if_refused(image_id, source, tag, info):
            if tag == FINAL and self._curate is not None:
                info.update(self._curate(image_id, image, source, info))
                self._refuse_to_lose_lesions(image_id, source)
        with self._changing() as objects:
            with self.kept_if_refused(image_id, source, tag, info):
                if image_id not in objects:
                    raise InputError("The image was removed while its label was saved.")
                if self._pixels(image_id) != pixels:
                    raise InputError(CHANGED)
            self._keep_current(objects[image_id], image_id, tag)
            kept = self.history.keep_label(tag, image_id, source, name, info, "saved")
            folder = Path(self._datastore.label_path(tag))
            folder.mkdir(parents=True, exist_ok=True)
            assert kept.file is not None
            os.replace(self._stage(kept.file, folder), folder / name)
            before = objects[image_id].labels.get(tag)
            if before is not None and before.ext != extension:
                (folder / f"{image_id}{before.ext}").unlink(missing_ok=True)
            self._set_label(objects, image_id, tag, DataModel(ext=extension, info=info))
        return image_id

    def open_for_label(self, image_id: str) -> tuple[Path, tuple[Any, ...] | None]:
        """The image's volume for a label that was drawn before now, and what changes whenever the volume does.

        Raises as get_image_uri, and InputError where asking for the volume changed it: the label was drawn on the one before.
        """
        before = None
        with suppress(IntegrityError), self._alone():  # a damaged sidecar of a PACS's series is mended by fetching
            before = self._pixels(image_id)
        try:
            path = Path(self.get_image_uri(image_id))
        except PacsError as error:
            if before is None:
                raise
            # By the next time it may have been fetched, with other slices.
            raise PacsError(f"{error} {LOOK_AGAIN}", passing=error.passing) from None
        with self._alone():
            pixels = self._pixels(image_id)
        if before not in (None, pixels):
            raise InputError(CHANGED)
        return path, pixels

    def _pixels(self, image_id: str) -> tuple[Any, ...] | None:
        """What changes whenever the image does, on which a label is drawn; None where it is not here."""
        with suppress(KeyError, FileNotFoundError):
            found = (self.studies / f"{image_id}{self._datastore.objects[image_id].image.ext}").stat()
            return found.st_mtime_ns, found.st_size
        return None

    @contextmanager
    def kept_if_refused(self, image_id: str, label: Path, label_tag: str, label_info: dict[str, Any]) -> Iterator[None]:
        """Around what a label needs before it can be saved: when that fails, what was sent is kept in the history.

        Raises InputError for an unsafe id, tag or file ending, NotFoundError for an unknown image, for which nothing is kept;
        else what failed, of the same kind, with what became of the label.
        """
        tag, name = require_tag(label_tag), f"{require_id(image_id)}{require_extension(label.name)}"
        try:
            yield
        except Exception as why:
            if isinstance(why, NotFoundError) and image_id not in self._datastore.objects:
                raise
            info = {**storable(label_info), "ts": int(time.time()), "name": name, "refused": str(why)}
            self.history.keep_label(tag, image_id, label, name, info, REFUSED)
            kind = next((kind for kind in REASONS if isinstance(why, kind)), None)
            if kind is None:
                raise
            raise kind(f"{why} {LABEL_REFUSED if kind is LabelError else LABEL_KEPT}") from why

    def remove_label(self, label_id: str, label_tag: str) -> None:
        """Take a label out of use; it stays in the history. Raises NotFoundError."""
        self._require_label(label_id, label_tag)
        with self._changing() as objects:
            label = self._keep_current(objects[label_id], label_id, label_tag)
            if label is None:
                raise NotFoundError(f"No label of image {label_id!r} with the tag {label_tag!r}.")
            self.history.keep_label(label_tag, label_id, None, "", label.info, "removed")
            (Path(self._datastore.label_path(label_tag)) / f"{label_id}{label.ext}").unlink(missing_ok=True)
            self._set_label(objects, label_id, label_tag, None)

    def update_image_info(self, image_id: str, info: dict[str, Any]) -> None:
        """Add to an image's info; nothing can be added to what is synthetic. Raises NotFoundError.

        Offers are only added to: that a model once chose the image keeps it out of the gate's evidence for good.
        """
        if is_synthetic_name(require_id(image_id)):
            return
        with self._changing() as objects:
            if image_id not in objects:
                raise NotFoundError(f"No image {image_id!r} in the studies folder.")
            before = objects[image_id]
            merged = {**before.image.info, **storable(info), **mark_of(before)}
            offers = [one for one in (before.image.info.get("strategy"), merged.pop("strategy", None)) if isinstance(one, dict)]
            if offers:
                merged["strategy"] = {name: offer for one in offers for name, offer in one.items()}
            objects[image_id] = ImageLabelModel(image=DataModel(ext=before.image.ext, info=merged), labels=before.labels)

    def update_label_info(self, label_id: str, label_tag: str, info: dict[str, Any]) -> None:
        """Add to a label's info, and keep the result as a version of its own.

        Raises NotFoundError, or InputError for what only saving the label may change.
        """
        self._require_label(label_id, label_tag)
        owned = sorted(CURATED_KEYS & set(info))
        if label_tag == FINAL and owned:
            raise InputError(
                f"A final label's {', '.join(owned)} cannot be changed in its info: its lesions would say something else. "
                "Save the label again with it in params."
            )
        with self._changing() as objects:
            label = self._keep_current(objects[label_id], label_id, label_tag)
            if label is None:
                raise NotFoundError(f"No label of image {label_id!r} with the tag {label_tag!r}.")
            changed = DataModel(ext=label.ext, info={**label.info, **storable(info)})
            self._set_label(objects, label_id, label_tag, changed)
            self._keep_current(objects[label_id], label_id, label_tag, "info changed")

    def _final_info(self, image_id: str) -> dict[str, Any] | None:
        label = self._require_image(image_id).labels.get(FINAL)
        return None if label is None else label.info

    def _require_image(self, image_id: str) -> ImageLabelModel:
        self._follow_files()
        found = self._datastore.objects.get(require_id(image_id))
        if found is None:
            raise NotFoundError(f"No image {image_id!r} in the studies folder. GET /datastore/?output=all lists the images.")
        return found

    def _require_label(self, label_id: str, label_tag: str) -> DataModel:
        label = self._require_image(label_id).labels.get(require_tag(label_tag))
        if label is None:
            raise NotFoundError(f"No label of image {label_id!r} with the tag {label_tag!r}.")
        return label

    @staticmethod
    def _set_label(objects: dict[str, ImageLabelModel], image_id: str, tag: str, label: DataModel | None) -> None:
        """Give the image a copy of its entry with that label, or without one: readers in other threads see old or new."""
        before = objects[image_id]
        labels = {t: known for t, known in before.labels.items() if t != tag} | ({} if label is None else {tag: label})
        objects[image_id] = ImageLabelModel(image=before.image, labels=labels)

    def _keep_current(self, entry: ImageLabelModel, image_id: str, tag: str, event: str = "found") -> DataModel | None:
        """The current label, once it is in the history just as it is."""
        label = entry.labels.get(tag)
        if label is None:
            return None
        name = f"{image_id}{label.ext}"
        file = Path(self._datastore.label_path(tag)) / name
        kept = self.history.accepted(tag, image_id)
        if file.exists() and not (kept and kept[-1].info == label.info and kept[-1].sha256 == sha256_of(file)):
            self.history.keep_label(tag, image_id, file, name, label.info, event)
        return label

    def _refuse_to_lose_lesions(self, image_id: str, source: Path) -> None:
        """3D Slicer's module saves the markups that a detection model returned as a final label; no lesion is in them."""
        self._follow_files()
        entry = self._datastore.objects.get(image_id)
        current = None if entry is None else entry.labels.get(FINAL)
        lost = len(current.info.get("lesions", [])) if current is not None and is_markups(source) else 0
        if lost:
            raise LabelError(f"Markups hold no lesion's outline, and the image has {lost} curated lesion(s).")

    def _retire(self, image_id: str, entry: ImageLabelModel, event: str) -> None:
        for tag, label in entry.labels.items():
            self._keep_current(entry, image_id, tag)
            self.history.keep_label(tag, image_id, None, "", label.info, f"image {event}")
            (Path(self._datastore.label_path(tag)) / f"{image_id}{label.ext}").unlink(missing_ok=True)
        image = self.studies / f"{image_id}{entry.image.ext}"
        if image.exists():
            self.history.keep_image(image_id, [image, self.studies / f"{image_id}.series.json"], entry.image.info, event)

    @staticmethod
    def _stage(source: Path, folder: Path) -> Path:
        """A copy of source under a temporary name in folder, where a rename puts it in place."""
        handle, name = tempfile.mkstemp(dir=folder, prefix=".new-")
        with os.fdopen(handle, "wb") as target, source.open("rb") as stream:
            shutil.copyfileobj(stream, target, 1 << 20)
            target.flush()
            os.fsync(target.fileno())
        Path(name).chmod(0o644)
        return Path(name)
