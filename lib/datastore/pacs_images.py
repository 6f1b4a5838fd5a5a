"""Series of the PACS as volumes on disk: fetched once, when first asked for, and kept within a budget."""

from __future__ import annotations

import logging
import os
import shutil
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Any

from filelock import FileLock

from lesionlabel.datastore.pacs_listing import Listed, PacsListing
from lesionlabel.imaging.dicom import Owner, read_owner
from lesionlabel.imaging.dicomweb import DicomWeb
from lesionlabel.imaging.identity import Identity
from lesionlabel.imaging.importer import series_info_of
from lesionlabel.imaging.nifti import write_image
from lesionlabel.imaging.orientation import from_canonical
from lesionlabel.imaging.same_voxels import same_spacing, voxels_digest
from lesionlabel.imaging.series import LoadedSeries, find_series, load_series
from lesionlabel.imaging.sidecar import Sidecar, read_sidecar, sidecar_path, write_sidecar
from lesionlabel.imaging.synthetic_register import SyntheticRegister
from lesionlabel.lesions.cohort import PHANTOM_PREFIX
from lesionlabel.lesions.errors import (
    InputError,
    IntegrityError,
    NotFoundError,
    PacsDamagedError,
    PacsError,
    PacsFaultError,
    places,
    without_uids,
)
from lesionlabel.lesions.volume import Volume

logger = logging.getLogger(__name__)

EXTENSION = ".nrrd"
RETRIEVING = ".retrieving"
#: A series that was opened within this time stays: a reader may be at work on it.
AT_WORK_S = 3600.0
#: Slices of a retrieval that was cut off are of use for so long.
ABANDONED_S = 24 * 3600.0
AT_ONCE = 2
#: In a sidecar's source: the study and how many instances the PACS listed when it was fetched, None where it did not say.
STUDY, INSTANCES = "pacs_study_uid", "pacs_instances"
#: The PACS is not asked again for so long about a copy that it could not give again.
ASKED_AGAIN_S = 900.0
MIXED = "The series cannot be used. Its files say that they are of several patients or studies."
UNSAID = "The series cannot be used. Some of its files lack the Patient ID, its issuer or the study that the others name."


class PacsImages:
    """Volumes by Series Instance UID, under folder as <UID>.nrrd, each with the sidecar that an import gives.

    budget: bytes on disk; wait_s: how long `path` waits. is_labelled: whether labels lie on a series, whose slices then must stay
    what they were, and here. no_label_comes: a context in which no label is saved. Safe to use from several threads and
    processes.
    """

    def __init__(
        self,
        client: DicomWeb,
        listing: PacsListing,
        folder: Path,
        identity: Identity,
        register: SyntheticRegister,
        is_labelled: Callable[[str], bool],
        no_label_comes: Callable[[], AbstractContextManager[Any]],
        *,
        budget: int,
        wait_s: float,
    ) -> None:
        self._client, self._listing, self._identity, self._register = client, listing, identity, register
        self._folder, self._staging = folder, folder / RETRIEVING
        self._is_labelled, self._no_label_comes, self._budget, self._wait_s = is_labelled, no_label_comes, budget, wait_s
        self._works: dict[str, Future[Path]] = {}
        self._lock = threading.Lock()
        self._slots = threading.Semaphore(AT_ONCE)
        self._evicting = threading.Lock()
        self._not_before: dict[str, float] = {}
        self._staging.mkdir(parents=True, exist_ok=True)
        for left in self._staging.iterdir():
            if left.is_dir() and time.time() - left.stat().st_mtime > ABANDONED_S:
                shutil.rmtree(left, ignore_errors=True)

    def path(self, uid: str) -> Path:
        """The volume of a series, fetched from the PACS if it is not here. However many ask, it is fetched once.

        Raises PacsError when the PACS is away, the disk is full, or the series takes longer than a question waits (it is fetched
        all the same), NotFoundError when it was deleted there, InputError when it is no CT volume.
        """
        target = self._folder / f"{uid}{EXTENSION}"
        listed = self._listing.series.get(uid)
        if listed is not None and listed.ambiguous:
            raise InputError(listed.refused)
        with suppress(FileNotFoundError):  # it has just made room for others
            if self._is_current(uid, target):
                # The time of last use, which eviction goes by; the time of change stays, by which open volumes are known.
                os.utime(target, ns=(time.time_ns(), target.stat().st_mtime_ns))
                return target
        work = self._begun(uid)
        try:
            return work.result(self._wait_s)
        except TimeoutError:
            count = len(list((self._staging / uid).glob("*.dcm")))
            known = f" of {listed.instances}" if listed is not None and listed.instances else ""
            raise PacsError(
                f"The series is being fetched from the PACS ({count}{known} slices so far). Try again in a moment."
            ) from None

    def _is_current(self, uid: str, target: Path) -> bool:
        """Whether the volume is here, of that study, and has not grown since, as one does that is still being sent to the PACS.

        What labels lie on stays as it was when they were drawn.
        """
        if not target.exists():
            return False
        listed = self._listing.series.get(uid)
        if listed is None:
            return True
        try:
            source = read_sidecar(self._folder, uid).source
        except IntegrityError:  # whoever needs what it says is told
            return self._is_labelled(uid)
        if source.get(STUDY, source.get("study_uid")) != listed.study_uid:
            return False
        if self._is_labelled(uid):
            return True
        return listed.refused is None and listed.instances in (None, source.get(INSTANCES))

    def _begun(self, uid: str) -> Future[Path]:
        with self._lock:
            work = self._works.get(uid)
            if work is None:
                work = self._works[uid] = Future()
                threading.Thread(target=self._work, args=(uid, work), name="pacs-series", daemon=True).start()
            return work

    def _work(self, uid: str, work: Future[Path]) -> None:
        try:
            with self._slots:
                work.set_result(self._fetch(uid))
        except BaseException as error:
            work.set_exception(error)
        finally:
            with self._lock:
                del self._works[uid]
        if work.exception() is None:
            # Who asked has the answer already, as this asks the PACS.
            try:
                self._evict(uid)
            except Exception as error:
                logger.warning("Copies of the PACS's series could not make room for others: %s", places(error))

    def _fetch(self, uid: str) -> Path:
        target, staging = self._folder / f"{uid}{EXTENSION}", self._staging / uid
        try:
            with FileLock(self._staging / f"{uid}.lock"):
                try:
                    self._update(uid, staging, target)
                except (InputError, NotFoundError, PacsDamagedError):
                    # What is sent anew under the same UIDs must not be mixed with what came before.
                    shutil.rmtree(staging, ignore_errors=True)
                    raise
        except (IntegrityError, PacsError):
            raise
        except (OSError, RuntimeError) as error:  # the latter is ITK's, which names the file
            logger.warning("A series of the PACS could not be written: %s", places(error))
            free = shutil.disk_usage(self._folder).free / 2**30
            raise PacsError(
                f"The series could not be written here ({free:.1f} GiB free in LESIONLABEL_HOME). Make room; what came is kept."
            ) from None
        return target

    def _update(self, uid: str, staging: Path, target: Path) -> None:
        """Have the series as the PACS holds it now at target, unless it is there."""
        known = self._listing.series.get(uid)
        try:
            # What was fetched before is had again also when the site's search does not find it any more.
            listed = self._listing.look_for(uid, everywhere=sidecar_path(self._folder, uid).exists())
        except InputError as error:  # in two studies, of which the list may hold one
            if known is not None:
                self._listing.refuse(uid, known, str(error))
            raise
        if listed is None:
            raise NotFoundError("The series is not on the PACS any more, and there is no copy of it here.")
        if listed.ambiguous:
            raise InputError(listed.refused)
        if self._is_current(uid, target):
            return
        _remove_abandoned(staging)
        try:
            loaded, sidecar = self._read(uid, self._client.retrieve(listed.study_uid, uid, staging), listed)
            self._check_same(sidecar)
        except (InputError, PacsDamagedError) as error:
            reason = without_uids(str(error))
            self._listing.refuse(uid, listed, reason)
            raise type(error)(reason) from None
        self._put(loaded.volume, sidecar, target, staging)
        shutil.rmtree(staging, ignore_errors=True)

    def _read(self, uid: str, slices: list[Path], listed: Listed) -> tuple[LoadedSeries, Sidecar]:
        """Read the slices as an import does. Raises InputError where they are not the whole of one patient's CT."""
        staging = slices[0].parent
        owners = _owners(slices)
        _require_one_patient(owners)
        found, refused = find_series(slices, staging)
        # OHIF shows them all the same, and its outlines count the slices.
        lacking = [one.reason for one in refused if one.may_be_slice]
        if len(found) > 1:
            raise InputError(UNSAID)
        if not found:
            why = lacking or [one.reason for one in refused]
            raise InputError(f"The series cannot be used. {why[0]}")
        first = found[0].first
        _require_all(lacking, len(slices))
        loaded = load_series(found[0], staging)
        _require_all([one.reason for one in loaded.refused], len(slices))
        # Also by a mark on a file that is no slice.
        synthetic = any(owner.marked for owner in owners) or self._register.knows_volume(loaded.volume.voxels)
        pseudonym = self._identity.patient(first.patient_id, first.issuer, first.study_uid, first.series_uid)
        sidecar = Sidecar(
            uid,
            f"{PHANTOM_PREFIX}{pseudonym}" if synthetic else pseudonym,
            synthetic,
            series_info_of(loaded.volume),
            {**loaded.source, STUDY: listed.study_uid, INSTANCES: listed.instances},
            voxels_digest(loaded.volume),
        )
        return loaded, sidecar

    def _put(self, volume: Volume, sidecar: Sidecar, target: Path, staging: Path) -> None:
        """Sidecar, then volume: no image lacks its patient, and none stands beside what is said of another one.

        Raises InputError where labels were drawn on other slices.
        """
        # In the order of the series' own grid, which is that of OHIF's voxels; not packed, which would take longer than fetching.
        native, ready = volume.native, staging / target.name
        ready.unlink(missing_ok=True)
        write_image(ready, from_canonical(volume.voxels, native), native, compress=False)
        with self._no_label_comes():
            # Again, as a label may have been saved since.
            same = self._check_same(sidecar)
            self._listing.mark(sidecar.image, sidecar.simulated)
            if not same:
                target.unlink(missing_ok=True)
            write_sidecar(self._folder, sidecar)
            ready.replace(target)

    def _check_same(self, sidecar: Sidecar) -> bool:
        """Whether a copy here is of the same slices. Raises InputError where it is not, and labels were drawn on it."""
        labelled = self._is_labelled(sidecar.image)
        try:
            before = read_sidecar(self._folder, sidecar.image)
        except IntegrityError:
            if labelled:
                raise
            return False
        same = before.voxels == sidecar.voxels and same_spacing(before, sidecar)
        if before.voxels and not same and labelled:
            raise InputError(
                "The PACS now holds other slices of this series than those that its labels were drawn on. The labels are kept; "
                "put the earlier slices back, or send the new ones as a series of their own."
            )
        if before.voxels and before.patient != sidecar.patient:
            logger.warning("A series that was fetched again is now said to be of another patient; it counts as that one's.")
        return same

    def _evict(self, fetched: str) -> None:
        """Remove what was used longest ago until the rest fits.

        Never what is labelled, gone from the PACS or not whole there, or may be in work.
        """
        with self._evicting:
            total, copies = 0, []
            for path in self._folder.glob(f"[!.]*{EXTENSION}"):
                with suppress(FileNotFoundError):
                    stat = path.stat()
                    total += stat.st_size
                    copies.append((stat.st_atime, stat.st_size, path))
            for _, size, path in sorted(copies):
                if total <= self._budget:
                    return
                uid = path.name.removesuffix(EXTENSION)
                try:
                    # Looked at again once the PACS has answered, which can take a while.
                    if uid != fetched and self._may_go(uid, path) and self._can_be_had_again(uid) and self._may_go(uid, path):
                        path.unlink(missing_ok=True)
                        total -= size
                except PacsError:
                    logger.info("The PACS does not answer, so that no copy of a series makes room for others just now.")
                    return
        if total > self._budget:
            logger.warning(
                "The series in use, those with labels and those that the PACS cannot give again need %.1f GiB, more than "
                "LESIONLABEL_DICOMWEB_CACHE_GIB allows.",
                total / 2**30,
            )

    def _may_go(self, uid: str, path: Path) -> bool:
        """Whether nobody needs the copy here: it is not labelled, nor in work."""
        with suppress(FileNotFoundError):
            return time.time() - path.stat().st_atime > AT_WORK_S and not self._is_labelled(uid)
        return False

    def _can_be_had_again(self, uid: str) -> bool:
        """Whether the PACS lists every slice that the copy has: its list of series does not show what was damaged since.

        Asked once in a while only. That it can also read them is more than a list says. Raises PacsError where it is away.
        """
        listed = self._listing.series.get(uid)
        if listed is None or not listed.readable or time.monotonic() < self._not_before.get(uid, 0.0):
            return False
        try:
            there = self._client.instances(listed.study_uid, uid)
        except PacsError as error:
            if error.passing and not isinstance(error, PacsFaultError):
                raise
            there = []
        with suppress(IntegrityError):  # a damaged sidecar does not say what the copy has
            if set(read_sidecar(self._folder, uid).source.get("sop_instance_uids", [])) <= set(there):
                return bool(there)
        self._not_before[uid] = time.monotonic() + ASKED_AGAIN_S
        return False


def _remove_abandoned(staging: Path) -> None:
    """Slices of a retrieval that was cut off are of use for a day: the PACS may hold others under their UIDs by then."""
    for path in staging.glob("*.dcm"):
        if time.time() - path.stat().st_mtime > ABANDONED_S:
            path.unlink()


def _owners(slices: list[Path]) -> list[Owner]:
    """Whose the files are; those that cannot be read are refused elsewhere."""
    owners = []
    for path in slices:
        with suppress(InputError):
            owners.append(read_owner(path))
    return owners


def _require_one_patient(owners: list[Owner]) -> None:
    """Raises InputError where files are of several patients or studies. What a picture does not say is not held against it."""
    said = ({o.patient_id for o in owners}, {o.issuer for o in owners}, {o.study_uid for o in owners})
    if any(len(values - {""}) > 1 for values in said):
        raise InputError(MIXED)


def _require_all(lacking: list[str], count: int) -> None:
    """Raises InputError where slices are lacking. lacking: why each one is. count: how many files the series has."""
    if lacking:
        raise InputError(
            f"The series cannot be used. {len(lacking)} of its {count} slices cannot be used; the first: {lacking[0]} "
            "Mend them on the PACS."
        )
