"""The index of the studies folder (datastore_v2.json): it follows the files, and threads and processes share it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock
from monailabel.datastore.local import DataModel, ImageLabelModel, LocalDatastore, LocalDatastoreModel
from monailabel.interfaces.datastore import DefaultLabelTag

from lesionlabel.datastore.history import History
from lesionlabel.datastore.names import HISTORY, IMAGE_EXTENSIONS, split_extension
from lesionlabel.datastore.scan import scan
from lesionlabel.lesions.errors import IntegrityError
from lesionlabel.lesions.files import write_atomically

FINAL = str(DefaultLabelTag.FINAL.value)
ORIGINAL = str(DefaultLabelTag.ORIGINAL.value)
#: Folders changed more recently than this may change again without a new time stamp.
CLOCK_TICK_NS = 50_000_000

#: image file -> how it is recognised as a generator's, None where it is not.
Recognise = Callable[[Path], str | None]


class FollowedDatastore(LocalDatastore):
    """MONAI Label's local datastore whose entries follow the files: what is copied into the folder appears at the next question.

    recognise: called on each image found in the folder, which is then marked {"synthetic": true} in its info if a generator made
    it. Marked images are listed by `json` only: they are not counted, offered, or in the data set.
    """

    def __init__(self, studies: Path, recognise: Recognise) -> None:
        self.studies = studies.resolve()
        self.history = History(self.studies / "labels" / HISTORY)
        self._recognise = recognise
        self._file_lock = FileLock(self.studies / ".lock")
        self._index_stamp: tuple[int, int, int] | None = None
        self._seen: tuple[int, ...] | None = None
        super().__init__(str(self.studies), extensions=[f"*{e}" for e in IMAGE_EXTENSIONS], auto_reload=False)

    def get_labeled_images(self, label_tag: str | None = None, labels: list[str] | None = None) -> list[str]:
        self._follow_files()
        return self._patients(super().get_labeled_images(label_tag, labels))

    def get_unlabeled_images(self, label_tag: str | None = None, labels: list[str] | None = None) -> list[str]:
        self._follow_files()
        return self._patients(super().get_unlabeled_images(label_tag, labels))

    def list_images(self) -> list[str]:
        self._follow_files()
        return self._patients(super().list_images())

    def status(self) -> dict[str, Any]:
        self._follow_files()
        return super().status()

    def json(self) -> dict[str, Any]:
        self._follow_files()
        return super().json()

    def datalist(self, full_path: bool = True) -> list[dict[str, Any]]:
        self._follow_files()
        pairs = super().datalist(full_path)
        kept = set(self._patients(split_extension(Path(pair["image"]).name)[0] for pair in pairs))
        return [pair for pair in pairs if split_extension(Path(pair["image"]).name)[0] in kept]

    def is_generated(self, image_id: str) -> bool:
        """Whether a generator made the image: by its mark, or as its file is recognised now, which may have been overwritten."""
        entry = self._datastore.objects[image_id]
        return bool(mark_of(entry)) or self._recognise(self.studies / f"{image_id}{entry.image.ext}") is not None

    def _patients(self, image_ids: Iterable[str]) -> list[str]:
        """Those that are not marked as synthetic."""
        objects = self._datastore.objects
        return [image_id for image_id in image_ids if image_id in objects and not mark_of(objects[image_id])]

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """The index as it is now, which no other thread or process changes meanwhile."""
        with self._file_lock:
            self._read_index()
            yield

    @contextmanager
    def _changing(self) -> Iterator[dict[str, ImageLabelModel]]:
        """The index's entries to change, alone among threads and processes; written when the block ends well."""
        with self._alone():
            objects = dict(self._datastore.objects)
            yield objects
            self._replace_objects(objects)

    def _replace_objects(self, objects: dict[str, ImageLabelModel]) -> None:
        self._write_index(self._datastore.model_copy(update={"objects": objects}))

    def _follow_files(self) -> None:
        """Bring the index up to date if a folder or the index changed since it was last looked at."""
        if self._seen is None or self._seen != self._stamps():
            self._reconcile_datastore()

    def _stamps(self) -> tuple[int, ...]:
        folders = (self.studies, self.studies / "labels", self.studies / "labels" / FINAL, self.studies / "labels" / ORIGINAL)
        return tuple(folder.stat().st_mtime_ns if folder.exists() else 0 for folder in folders)

    def _reconcile_datastore(self) -> None:
        with self._file_lock:
            stamps = self._stamps()
            self._read_index()
            objects = self._scan(self._datastore.objects)
            self._mark_synthetic(objects)
            if objects != self._datastore.objects:
                self._replace_objects(objects)
                stamps = self._stamps()
        self._seen = stamps if time.time_ns() - max(stamps) > CLOCK_TICK_NS else None

    def _scan(self, known: dict[str, ImageLabelModel]) -> dict[str, ImageLabelModel]:
        """The entries as they are now. known: as the index has them."""
        return scan(self.studies, known, self.history)

    def _mark_synthetic(self, objects: dict[str, ImageLabelModel]) -> None:
        """Say {"synthetic": true} in the info of images new in the folder that a generator made: none trains or is offered."""
        for image_id, entry in objects.items():
            before, ext = self._datastore.objects.get(image_id), entry.image.ext
            is_new = before is None or before.image.ext != ext
            if is_new and self._recognise(self.studies / f"{image_id}{ext}") is not None:
                marked = DataModel(ext=ext, info={**entry.image.info, "synthetic": True})
                objects[image_id] = ImageLabelModel(image=marked, labels=entry.labels)

    def _read_index(self) -> None:
        path = Path(self._datastore_config_path)
        try:
            stamp = _stamp(path)
        except FileNotFoundError:
            return
        if stamp == self._index_stamp:
            return
        try:
            model = LocalDatastoreModel.model_validate_json(path.read_bytes())
        except ValueError as error:
            raise IntegrityError(
                f"{path} is damaged: {error}. Move it away and start again: "
                "images, labels and lesions are rebuilt from the files and from labels/history; notes on images are lost, so "
                "mark synthetic images again."
            ) from error
        model.base_path = self._datastore_path
        self._datastore, self._index_stamp = model, stamp

    def _init_from_datastore_file(self, throw_exception: bool = False) -> None:
        with self._file_lock:
            self._read_index()

    def _update_datastore_file(self, lock: bool = True) -> None:
        with self._file_lock:
            self._write_index(self._datastore)

    def _write_index(self, model: LocalDatastoreModel) -> None:
        """Write the index, then show it: what cannot be written is not shown either. The caller holds the lock."""
        path = Path(self._datastore_config_path)
        write_atomically(path, model.model_dump_json(exclude={"base_path"}, indent=2).encode())
        self._datastore, self._index_stamp = model, _stamp(path)


def mark_of(entry: ImageLabelModel) -> dict[str, bool]:
    """The mark of a synthetic image, which nothing that a client sends takes off again."""
    return {"synthetic": True} if entry.image.info.get("synthetic") else {}


def _stamp(path: Path) -> tuple[int, int, int]:
    """Time of change, inode and size: two processes may write within one tick of the file system's clock."""
    found = path.stat()
    return found.st_mtime_ns, found.st_ino, found.st_size
