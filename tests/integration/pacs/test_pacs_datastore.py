"""Studies on a real Orthanc: what is listed, fetched, kept, and said when the PACS is away."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from pydicom.uid import EnhancedCTImageStorage, generate_uid

from lesionlabel.datastore.pacs import GONE, LISTED
from lesionlabel.datastore.pacs_address import address_of
from lesionlabel.imaging.read import read_volume
from lesionlabel.imaging.sidecar import read_sidecar
from lesionlabel.lesions.errors import InputError, NotFoundError, PacsError

pytestmark = pytest.mark.usefixtures("impatient")


def test_a_series_is_listed_fetched_and_read_as_an_import_reads_it(refreshed, orthanc, opened, tiny_series, tmp_path) -> None:
    study, uid = tiny_series(tmp_path / "dicom", patient="TEST-9")
    orthanc.add(tmp_path / "dicom")
    datastore = refreshed(opened(orthanc.url))
    assert uid in datastore.get_unlabeled_images()
    assert datastore.get_image_info(uid)["slices"] == 24
    fetched = read_volume(Path(datastore.get_image_uri(uid)))
    imported = read_volume(tmp_path / "dicom")
    assert np.array_equal(fetched.voxels, imported.voxels)
    assert np.allclose(fetched.geometry.affine, imported.geometry.affine)
    sidecar = read_sidecar(datastore.studies, uid)
    assert (sidecar.source["study_uid"], len(sidecar.source["sop_instance_uids"])) == (study, 24)
    assert sidecar.patient.startswith("p-")
    assert not sidecar.simulated
    assert "TEST-9" not in (datastore.studies / f"{uid}.series.json").read_text()
    assert address_of(datastore.studies) == orthanc.url


def test_series_of_one_patient_share_a_pseudonym_and_those_without_an_id_do_not(orthanc, opened, tiny_series, tmp_path) -> None:
    uids = []
    for number, patient in enumerate(("SAME", "SAME", "", "")):
        uids.append(tiny_series(tmp_path / str(number) / "dicom", slices=3, patient=patient)[1])
        orthanc.add(tmp_path / str(number) / "dicom")
    datastore = opened(orthanc.url)
    patients = []
    for uid in uids:
        datastore.get_image_uri(uid)
        patients.append(read_sidecar(datastore.studies, uid).patient)
    assert patients[0] == patients[1]
    assert len(set(patients)) == 3


def test_the_volume_lies_in_the_grid_of_the_series(orthanc, opened, tiny_series, tmp_path) -> None:
    """Also oblique, and numbered from the head: as ITK, and with it stock MONAI Label and OHIF, order a series' voxels."""
    _, uid = tiny_series(tmp_path / "dicom", oblique_deg=20.0)
    orthanc.add(tmp_path / "dicom")
    image = sitk.ReadImage(opened(orthanc.url).get_image_uri(uid))
    expected = sitk.ReadImage(sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(tmp_path / "dicom")))
    assert np.array_equal(sitk.GetArrayFromImage(image), sitk.GetArrayFromImage(expected))
    assert np.allclose(image.GetDirection(), expected.GetDirection(), atol=1e-5)
    assert np.allclose(image.GetOrigin(), expected.GetOrigin(), atol=1e-3)
    assert np.allclose(image.GetSpacing(), expected.GetSpacing(), atol=1e-4)


def test_slices_turned_in_their_plane_keep_their_order(orthanc, opened, tiny_series, tmp_path) -> None:
    """A prone patient: rows run to the front, columns to the right."""
    _, uid = tiny_series(tmp_path / "dicom", slices=5)
    for path in (tmp_path / "dicom").iterdir():
        ds = pydicom.dcmread(path)
        ds.ImageOrientationPatient = [-1, 0, 0, 0, -1, 0]
        ds.save_as(path)
    orthanc.add(tmp_path / "dicom")
    image = sitk.ReadImage(opened(orthanc.url).get_image_uri(uid))
    expected = sitk.ReadImage(sitk.ImageSeriesReader.GetGDCMSeriesFileNames(str(tmp_path / "dicom")))
    assert np.array_equal(sitk.GetArrayFromImage(image), sitk.GetArrayFromImage(expected))
    assert np.allclose(image.GetDirection(), expected.GetDirection())


def test_synthetic_series_are_marked_never_offered_and_take_no_label(
    refreshed, orthanc, opened, tiny_series, tmp_path, tiny_label
) -> None:
    _, uid = tiny_series(tmp_path / "dicom", slices=4, synthetic=True)
    orthanc.add(tmp_path / "dicom")
    datastore = refreshed(opened(orthanc.url))
    assert datastore.get_image_info(uid)["synthetic"] is True
    assert uid not in {*datastore.list_images(), *datastore.get_unlabeled_images()}
    datastore.get_image_uri(uid)
    assert read_sidecar(datastore.studies, uid).simulated
    tiny_label(tmp_path / "label.nrrd", {"cyst": 1})
    with pytest.raises(InputError, match="synthetic"):
        datastore.save_label(uid, str(tmp_path / "label.nrrd"), "final", {})


def test_one_slice_marked_as_synthetic_marks_the_series(refreshed, orthanc, opened, tiny_series, tmp_path, tiny_label) -> None:
    """Its first header says nothing, so it is offered; once it is read it is known for what it is."""
    _, uid = tiny_series(tmp_path / "dicom", slices=4)
    ds = pydicom.dcmread(tmp_path / "dicom" / "0003.dcm")
    ds.add_new(0x0008001C, "CS", "YES")
    ds.save_as(tmp_path / "dicom" / "0003.dcm")
    orthanc.add(tmp_path / "dicom")
    datastore = refreshed(opened(orthanc.url))
    tiny_label(tmp_path / "label.nrrd", {"cyst": 1})
    with pytest.raises(InputError, match="synthetic"):
        datastore.save_label(uid, str(tmp_path / "label.nrrd"), "final", {})
    assert uid not in datastore.get_unlabeled_images()


def test_a_new_series_is_found_at_the_next_question(refreshed, orthanc, opened, tiny_series, tmp_path) -> None:
    datastore = refreshed(opened(orthanc.url))
    _, uid = tiny_series(tmp_path / "dicom", slices=3)
    orthanc.add(tmp_path / "dicom")
    assert Path(datastore.get_image_uri(uid)).exists()
    with pytest.raises(NotFoundError, match="lists no CT series"):
        datastore.get_image_uri("1.2.3.4")
    with pytest.raises(NotFoundError, match="lists no CT series"):
        datastore.get_image_uri("case_a")


def test_the_listing_follows_by_itself(refreshed, orthanc, opened, tiny_series, tmp_path) -> None:
    datastore = refreshed(opened(orthanc.url))
    _, uid = tiny_series(tmp_path / "dicom", slices=3)
    orthanc.add(tmp_path / "dicom")
    end = time.monotonic() + 30
    while uid not in datastore.get_unlabeled_images() and time.monotonic() < end:
        time.sleep(0.05)
    assert uid in datastore.get_unlabeled_images()


def test_many_requests_for_one_series_fetch_it_once(refreshed, orthanc, opened, tiny_series, tmp_path, monkeypatch) -> None:
    _, uid = tiny_series(tmp_path / "dicom", slices=6)
    orthanc.add(tmp_path / "dicom")
    datastore = refreshed(opened(orthanc.url))
    fetched = []
    retrieve = datastore.client.retrieve
    monkeypatch.setattr(datastore.client, "retrieve", lambda *given: fetched.append(given) or retrieve(*given))
    paths: list[str] = []
    threads = [threading.Thread(target=lambda: paths.append(datastore.get_image_uri(uid))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(set(paths)) == 1
    assert len(paths) == 8
    assert len(fetched) == 1


def test_a_question_does_not_wait_for_ever(refreshed, orthanc, opened, tiny_series, tmp_path) -> None:
    _, uid = tiny_series(tmp_path / "dicom", slices=6)
    orthanc.add(tmp_path / "dicom")
    datastore = refreshed(opened(orthanc.url, dicomweb_wait_s=0.3))
    orthanc.pause()
    try:
        with pytest.raises(PacsError, match="being fetched"):
            datastore.get_image_uri(uid)
    finally:
        orthanc.resume()
    end = time.monotonic() + 30
    while not (datastore.studies / f"{uid}.nrrd").exists() and time.monotonic() < end:
        time.sleep(0.05)
    assert Path(datastore.get_image_uri(uid)).exists()


def test_what_is_here_outlives_the_pacs(refreshed, new_orthanc, opened, tiny_series, tmp_path, tiny_label) -> None:
    pacs = new_orthanc()
    (_, here), (_, there) = tiny_series(tmp_path / "a" / "dicom"), tiny_series(tmp_path / "b" / "dicom", slices=3)
    pacs.add(tmp_path / "a")
    pacs.add(tmp_path / "b")
    datastore = refreshed(opened(pacs.url))
    datastore.get_image_uri(here)
    tiny_label(tmp_path / "label.nrrd", {"cyst": 1})
    datastore.save_label(here, str(tmp_path / "label.nrrd"), "final", {})
    pacs.kill()
    # As after a restart of the server while the PACS is down.
    datastore = opened(pacs.url)
    assert datastore.get_labeled_images() == [here]
    assert datastore.get_unlabeled_images() == [there]
    assert Path(datastore.get_image_uri(here)).exists()
    with pytest.raises(PacsError, match="cannot be reached"):
        datastore.get_image_uri(there)
    with pytest.raises(PacsError, match="kept in labels/history"):
        datastore.save_label(there, str(tmp_path / "label.nrrd"), "final", {"reader": "a"})
    kept = datastore.history.labels("final", there)
    assert [(one.event, one.info["reader"], one.file is not None) for one in kept] == [("refused", "a", True)]
    end = time.monotonic() + 30
    while datastore.status()["pacs"] == "answers" and time.monotonic() < end:
        time.sleep(0.05)
    assert "cannot be reached" in datastore.status()["pacs"]


def test_a_series_deleted_on_the_pacs_keeps_its_copy_and_its_labels(
    refreshed, orthanc, opened, tiny_series, tmp_path, tiny_label
) -> None:
    (_, kept), (_, lost) = tiny_series(tmp_path / "a" / "dicom"), tiny_series(tmp_path / "b" / "dicom", slices=3)
    orthanc.add(tmp_path / "a")
    orthanc.add(tmp_path / "b")
    datastore = refreshed(opened(orthanc.url))
    datastore.get_image_uri(kept)
    tiny_label(tmp_path / "label.nrrd", {"cyst": 1})
    datastore.save_label(kept, str(tmp_path / "label.nrrd"), "final", {})
    assert datastore.note(kept) is None
    orthanc.remove(kept)
    orthanc.remove(lost)
    refreshed(datastore)
    assert datastore.get_labeled_images() == [kept]
    assert Path(datastore.get_image_uri(kept)).exists()
    assert datastore.get_image_info(kept)["pacs"] == GONE
    assert "not on the PACS" in str(datastore.note(kept))
    with pytest.raises(NotFoundError):
        datastore.get_image_uri(lost)
    orthanc.add(tmp_path / "a")
    refreshed(datastore)
    assert datastore.get_image_info(kept)["pacs"] == LISTED
    assert datastore.note(kept) is None


def test_a_series_that_was_still_arriving_is_fetched_again_unless_it_is_labelled(
    refreshed, orthanc, opened, tiny_series, tmp_path
) -> None:
    _, uid = tiny_series(tmp_path / "dicom")
    late = [path.rename(tmp_path / path.name) for path in sorted((tmp_path / "dicom").iterdir())[12:]]
    orthanc.add(tmp_path / "dicom")
    datastore = refreshed(opened(orthanc.url))
    assert sitk.ReadImage(datastore.get_image_uri(uid)).GetSize()[2] == 12
    for path in late:
        path.rename(tmp_path / "dicom" / path.name)
    orthanc.add(tmp_path / "dicom")
    refreshed(datastore)
    assert sitk.ReadImage(datastore.get_image_uri(uid)).GetSize()[2] == 24


def test_the_budget_removes_what_was_used_longest_ago(
    refreshed, orthanc, opened, uploaded, tmp_path, tiny_label, long_unused, until_gone
) -> None:
    uids = uploaded(4)
    size = 24 * 96 * 96 * 2
    datastore = refreshed(opened(orthanc.url, dicomweb_cache_gib=2.5 * size / 2**30))
    paths = [Path(datastore.get_image_uri(uid)) for uid in uids[:2]]
    tiny_label(tmp_path / "label.nrrd", {"cyst": 1})
    datastore.save_label(uids[0], str(tmp_path / "label.nrrd"), "final", {})
    paths.append(Path(datastore.get_image_uri(uids[2])))
    # All are in work, so all stay.
    assert all(path.exists() for path in paths)
    long_unused(*paths)
    datastore.get_image_uri(uids[3])
    until_gone(paths[2])
    # The first is labelled, and its label needs these slices.
    assert [path.exists() for path in paths] == [True, False, False]
    assert Path(datastore.get_image_uri(uids[1])).exists()


def test_what_is_no_ct_volume_says_why(refreshed, orthanc, opened, tiny_series, tmp_path) -> None:
    _, enhanced = tiny_series(tmp_path / "enhanced", slices=1)
    path = tmp_path / "enhanced" / "0000.dcm"
    ds = pydicom.dcmread(path)
    ds.SOPClassUID = ds.file_meta.MediaStorageSOPClassUID = EnhancedCTImageStorage
    ds.NumberOfFrames, ds.PixelData = 3, ds.PixelData * 3
    ds.save_as(path)
    orthanc.add(tmp_path / "enhanced")
    _, coronal = tiny_series(tmp_path / "coronal", slices=4)
    for path in (tmp_path / "coronal").iterdir():
        ds = pydicom.dcmread(path)
        x, y, z = ds.ImagePositionPatient
        ds.ImageOrientationPatient, ds.ImagePositionPatient = [1, 0, 0, 0, 0, -1], [x, z, y]
        ds.save_as(path)
    orthanc.add(tmp_path / "coronal")
    _, mixed = tiny_series(tmp_path / "mixed", slices=6)
    for path in sorted((tmp_path / "mixed").iterdir())[3:]:
        ds = pydicom.dcmread(path)
        ds.PatientID, ds.StudyInstanceUID = "ANOTHER", generate_uid()
        ds.save_as(path)
    orthanc.add(tmp_path / "mixed")
    datastore = refreshed(opened(orthanc.url))
    with pytest.raises(InputError, match="Enhanced CT"):
        datastore.get_image_uri(enhanced)
    with pytest.raises(InputError, match="coronal"):
        datastore.get_image_uri(coronal)
    with pytest.raises(InputError, match="studies with a series of this UID"):
        datastore.get_image_uri(mixed)
    assert {enhanced, coronal, mixed}.isdisjoint(datastore.get_unlabeled_images())
