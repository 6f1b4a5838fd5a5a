"""Datastores on a real Orthanc, and a server's parts for results, without the server."""

from __future__ import annotations

import io
import os
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from highdicom.sr import srread
from pydicom.uid import generate_uid

from lesionlabel.datastore import pacs_images, pacs_listing
from lesionlabel.datastore.answers import AnswerLog
from lesionlabel.datastore.curate import Curator
from lesionlabel.datastore.pacs import PacsDatastore, pacs_folder
from lesionlabel.datastore.result_setup import open_cases, open_results
from lesionlabel.datastore.results import Cases, Results
from lesionlabel.imaging import dicomweb_answers
from lesionlabel.infers.desk import Desk
from lesionlabel.lesions.volume import Volume
from lesionlabel.settings import Settings

Open = Callable[..., PacsDatastore]


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """No pause between tries, and a listing that is old at once."""
    monkeypatch.setattr(dicomweb_answers, "PAUSES_S", (0.0, 0.0))
    monkeypatch.setattr(pacs_listing, "FRESH_S", 0.0)


@pytest.fixture
def opened(tmp_path) -> Iterator[Open]:
    """Opens the datastore of a PACS under tmp_path/home, with its listing read, and closes it."""
    with ExitStack() as stack:

        def open_(url: str, **options) -> PacsDatastore:
            datastore = PacsDatastore(url, Settings(**{"home": tmp_path / "home", **options}))
            stack.callback(datastore.close)
            return datastore

        yield open_


@pytest.fixture
def refreshed() -> Callable[[PacsDatastore], PacsDatastore]:
    """Reads a datastore's listing anew, and gives it back."""

    def refresh(datastore: PacsDatastore) -> PacsDatastore:
        datastore.listing.refresh()
        return datastore

    return refresh


@dataclass
class Site:
    """A server's parts on one PACS, without the server."""

    orthanc: Any
    settings: Settings
    uid: str
    scratch: Path

    def open(self) -> None:
        """As at a server's start."""
        desk = Desk(self.settings)
        folder = pacs_folder(self.orthanc.url, self.settings)
        curator = Curator(desk.store.open, self.settings.classes, AnswerLog.of_studies(folder))
        self.datastore = PacsDatastore(self.orthanc.url, self.settings, curator)
        cases = open_cases(self.settings, self.datastore, desk.open)
        results = open_results(self.settings, self.datastore, cases)
        assert cases is not None
        assert results is not None
        self.cases: Cases = cases
        self.results: Results = results
        self.volume: Volume = desk.open(Path(self.datastore.get_image_uri(self.uid))).volume

    def label(self, *classes: tuple[str, tuple[int, int, int], float]) -> Path:
        """A label on the series' own grid: spheres of a radius in mm around (i, j, k) in it, in the classes' order."""
        native = self.volume.native
        k, j, i = np.indices(native.shape)
        mask = np.zeros(native.shape, dtype=np.uint8)
        for value, (_, centre, radius) in enumerate(classes, start=1):
            away = [(index - at) * mm for index, at, mm in zip((i, j, k), centre, native.spacing, strict=True)]
            mask[np.sqrt(sum(part**2 for part in away)) <= radius] = value
        image = sitk.GetImageFromArray(mask)
        image.SetSpacing(native.spacing)
        image.SetDirection((native.affine[:3, :3] / native.spacing).ravel().tolist())
        image.SetOrigin(native.affine[:3, 3].tolist())
        path = self.scratch / "label.nrrd"
        sitk.WriteImage(image, str(path))
        return path

    def submit(self, *classes: tuple[str, tuple[int, int, int], float], reader: str = "Dr. A") -> None:
        info = {"label_info": [{"name": name, "idx": n} for n, (name, _, _) in enumerate(classes, start=1)], "client_id": reader}
        with self.results.submitting(self.uid, "final"):
            self.datastore.save_label(self.uid, str(self.label(*classes)), "final", info)

    def file(self, name: str) -> bytes:
        """An instance by Orthanc's own name, as it is stored."""
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(
            f"{self.orthanc.root}/instances/{name}/file"
        ) as answer:
            return answer.read()

    def report(self, ds: pydicom.FileDataset) -> Any:
        """A stored report as highdicom reads it."""
        (found,) = self.orthanc.ask("POST", "/tools/lookup", str(ds.SOPInstanceUID).encode())
        return srread(io.BytesIO(self.file(found["ID"])))

    def stored(self) -> list[pydicom.FileDataset]:
        """What the PACS holds beside the CT, by modality and version."""
        found = []
        for name in self.orthanc.ask("GET", "/instances"):
            tags = self.orthanc.ask("GET", f"/instances/{name}/simplified-tags")
            if tags["Modality"] != "CT":
                found.append(pydicom.dcmread(io.BytesIO(self.file(name))))
        return sorted(found, key=lambda ds: (ds.SeriesNumber, ds.InstanceNumber))


@pytest.fixture(scope="module")
def pacs(new_orthanc, tiny_series, tmp_path_factory) -> tuple[Any, str, Path]:
    """An Orthanc of our own, which may be killed, with an oblique series of a patient whose name is not ASCII."""
    folder = tmp_path_factory.mktemp("results")
    _, uid = tiny_series(folder / "dicom", oblique_deg=15.0, patient="R-1")
    for path in (folder / "dicom").iterdir():
        header = pydicom.dcmread(path)
        header.PatientName, header.AccessionNumber = "Größe^Änne", "A-17"
        header.save_as(path)
    orthanc = new_orthanc()
    orthanc.add(folder / "dicom")
    return orthanc, uid, folder


@pytest.fixture
def new_site() -> type[Site]:
    return Site


@pytest.fixture
def site(pacs, tmp_path) -> Iterator[Site]:
    """With nothing but the CT on the PACS."""
    orthanc, uid, _ = pacs
    site = Site(orthanc, Settings(home=tmp_path / "home", store_results=True), uid, tmp_path)
    site.open()
    yield site
    site.datastore.close()
    for series in orthanc.ask("GET", "/series"):
        if orthanc.ask("GET", f"/series/{series}")["MainDicomTags"]["Modality"] != "CT":
            orthanc.ask("DELETE", f"/series/{series}")


@pytest.fixture
def uploaded(orthanc, tiny_series, tmp_path) -> Callable[[int], list[str]]:
    """Puts so many series on the PACS; returns their Series Instance UIDs."""

    def upload(count: int) -> list[str]:
        uids = []
        for number in range(count):
            uids.append(tiny_series(tmp_path / str(number) / "dicom")[1])
            orthanc.add(tmp_path / str(number) / "dicom")
        return uids

    return upload


@pytest.fixture
def five_series(new_orthanc, tiny_series, tmp_path) -> tuple[Any, list[str]]:
    """An Orthanc of our own, which may be damaged, and the Series Instance UIDs of the CT series on it."""
    own = new_orthanc()
    uids = []
    for number in range(5):
        uids.append(tiny_series(tmp_path / str(number) / "dicom", slices=4, side=32)[1])
        own.add(tmp_path / str(number) / "dicom")
    return own, uids


@pytest.fixture
def long_unused() -> Callable[..., None]:
    """Makes volumes ones that nobody is at work on, the first one for the longest."""

    def long_unused(*paths: Path) -> None:
        for number, path in enumerate(paths):
            os.utime(path, (time.time() - 2 * pacs_images.AT_WORK_S + number, path.stat().st_mtime))

    return long_unused


@pytest.fixture
def until_gone() -> Callable[[Path], None]:
    """Waits until a file is gone: room is made once the reader has the answer."""

    def until_gone(path: Path) -> None:
        deadline = time.monotonic() + 60
        while path.exists():
            assert time.monotonic() < deadline, "it is still there"
            time.sleep(0.02)

    return until_gone


@pytest.fixture
def arriving(orthanc, tiny_series, opened, refreshed, tmp_path):
    """A series of six slices of which one has not come yet: the datastore, its UID, and the folder with that slice."""

    def arriving(number: int):
        _, uid = tiny_series(tmp_path / "dicom", slices=6, side=32)
        (tmp_path / "late").mkdir()
        (tmp_path / "dicom" / f"{number:04d}.dcm").rename(tmp_path / "late" / "slice.dcm")
        orthanc.add(tmp_path / "dicom")
        return refreshed(opened(orthanc.url)), uid, tmp_path / "late"

    return arriving


@pytest.fixture
def two_studies(refreshed, orthanc, opened, tiny_series, tmp_path, tiny_label):
    """A datastore with a copy of a series, whose UID then comes to be in a second study of another patient; the UID, and
    the SOP Instance UIDs of the first study and the second."""
    folder = tmp_path / "dicom"
    _, uid = tiny_series(folder, slices=4, side=32)
    orthanc.add(folder)
    datastore = refreshed(opened(orthanc.url))
    tiny_label(tmp_path / "label.nrrd", {"cyst": 1})
    datastore.get_image_uri(uid)
    studies: tuple[list[str], list[str]] = ([], [])
    for path in sorted(folder.iterdir()):
        ds = pydicom.dcmread(path)
        studies[0].append(str(ds.SOPInstanceUID))
        ds.PatientID, ds.StudyInstanceUID = "ANOTHER", "2.25.1234"
        ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        studies[1].append(str(ds.SOPInstanceUID))
        ds.PixelData = bytes(len(ds.PixelData) // 2) + ds.PixelData[len(ds.PixelData) // 2 :]
        ds.save_as(path)
    orthanc.add(folder)
    return refreshed(datastore), uid, studies
