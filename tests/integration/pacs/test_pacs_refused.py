"""Series of a real Orthanc that cannot be used: who is offered them, who is told why, and what of them stays here."""

from __future__ import annotations

import shutil
import zipfile
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from pydicom.uid import generate_uid

from lesionlabel.datastore import pacs_images, pacs_listing
from lesionlabel.datastore.pacs import LISTED, REFUSED
from lesionlabel.imaging.sidecar import read_sidecar, sidecar_path
from lesionlabel.lesions.errors import InputError, IntegrityError, PacsError

pytestmark = pytest.mark.usefixtures("impatient")


@pytest.fixture
def spoilt(orthanc, tiny_series, tmp_path) -> tuple[str, Path]:
    """A series on the PACS whose last slice is not in HU: its UID and that slice's file, as it was before."""
    folder = tmp_path / "dicom"
    _, uid = tiny_series(folder, slices=5, side=32)
    shutil.copy(folder / "0004.dcm", good := tmp_path / "good.dcm")
    ds = pydicom.dcmread(folder / "0004.dcm")
    ds.RescaleType = "OD"
    ds.save_as(folder / "0004.dcm")
    orthanc.add(folder)
    return uid, good


@pytest.fixture
def refused(spoilt, refreshed, orthanc, opened):
    """A datastore that has just refused the series."""
    datastore = refreshed(opened(orthanc.url))
    assert spoilt[0] in datastore.get_unlabeled_images()
    with pytest.raises(InputError, match="not HU"):
        datastore.get_image_uri(spoilt[0])
    return datastore


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
def labelled(refreshed, orthanc, opened, tiny_series, tmp_path, tiny_label):
    """A datastore with a labelled series, whose slices lie in tmp_path/dicom, and its UID."""
    _, uid = tiny_series(tmp_path / "dicom", slices=24)
    orthanc.add(tmp_path / "dicom")
    datastore = refreshed(opened(orthanc.url))
    tiny_label(tmp_path / "label.nrrd", {"cyst": 1})
    datastore.save_label(uid, str(tmp_path / "label.nrrd"), "final", {})
    return datastore, uid


def test_a_series_that_was_refused_is_listed_with_the_reason_and_offered_to_nobody(
    refused, spoilt, refreshed, orthanc, opened, monkeypatch
) -> None:
    uid, _ = spoilt
    for datastore in (refused, refreshed(refused), refreshed(opened(orthanc.url))):
        info = datastore.get_image_info(uid)
        assert info["pacs"] == REFUSED
        assert "1 of its 5 slices cannot be used" in info["refused"]
        assert uid in datastore.list_images()
        assert uid not in datastore.get_unlabeled_images()
    # It may have been mended without the PACS listing it otherwise.
    monkeypatch.setattr(pacs_listing, "REFUSED_S", 0.0)
    assert uid in refreshed(refused).get_unlabeled_images()
    assert "refused" not in refused.get_image_info(uid)


def test_a_series_that_was_refused_is_offered_again_once_the_pacs_lists_it_otherwise(refused, spoilt, refreshed, orthanc) -> None:
    uid, good = spoilt
    orthanc.remove(str(pydicom.dcmread(good).SOPInstanceUID))
    assert uid in refreshed(refused).get_unlabeled_images()


def test_who_opens_a_mended_series_has_it_at_once_and_it_is_offered_again(refused, spoilt, orthanc, tmp_path) -> None:
    uid, good = spoilt
    orthanc.remove(str(pydicom.dcmread(good).SOPInstanceUID))
    (tmp_path / "mended").mkdir()
    shutil.copy(good, tmp_path / "mended" / "0004.dcm")
    orthanc.add(tmp_path / "mended")
    assert sitk.ReadImage(refused.get_image_uri(uid)).GetSize() == (32, 32, 5)
    assert refused.get_image_info(uid)["pacs"] == LISTED
    assert uid in refused.get_unlabeled_images()


def test_what_came_of_a_series_with_a_damaged_slice_is_not_mixed_with_what_is_sent_anew(opened, five_series, tmp_path) -> None:
    own, uids = five_series
    own.damage(str(pydicom.dcmread(tmp_path / "0" / "dicom" / "0002.dcm").SOPInstanceUID))
    datastore = opened(own.url)
    staging = datastore.studies / pacs_images.RETRIEVING / uids[0]
    staging.mkdir()
    shutil.copy(tmp_path / "0" / "dicom" / "0001.dcm", staging)
    with pytest.raises((InputError, PacsError)):
        datastore.get_image_uri(uids[0])
    assert not staging.exists()


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


def test_a_uid_that_comes_to_be_in_two_studies_is_not_answered_from_the_copy_of_one(
    two_studies, refreshed, orthanc, tmp_path
) -> None:
    datastore, uid, (_, second) = two_studies
    for ask in (
        lambda: datastore.get_image_uri(uid),
        lambda: datastore.save_label(uid, str(tmp_path / "label.nrrd"), "final", {}),
    ):
        with pytest.raises(InputError, match="studies with a series of this UID"):
            ask()
    assert uid not in datastore.get_unlabeled_images()
    assert "nobody knows which is meant" in datastore.get_image_info(uid)["refused"]
    # Once the second is gone, the copy is the first one's again.
    for sop_uid in second:
        orthanc.remove(sop_uid)
    assert uid in refreshed(datastore).get_unlabeled_images()
    assert sitk.ReadImage(datastore.get_image_uri(uid)).GetSize() == (32, 32, 4)


def test_where_the_other_study_stays_its_patient_is_not_answered_from_the_copy_of_the_first(
    two_studies, refreshed, orthanc, tmp_path
) -> None:
    datastore, uid, (first, _) = two_studies
    before = read_sidecar(datastore.studies, uid)
    copy = sitk.GetArrayFromImage(sitk.ReadImage(datastore.studies / f"{uid}.nrrd"))
    for sop_uid in first:
        orthanc.remove(sop_uid)
    refreshed(datastore)
    assert not np.array_equal(sitk.GetArrayFromImage(sitk.ReadImage(datastore.get_image_uri(uid))), copy)
    assert read_sidecar(datastore.studies, uid).patient != before.patient


def test_a_second_study_outside_the_sites_search_is_noticed_when_the_series_is_fetched(
    two_studies, opened, orthanc, tmp_path
) -> None:
    _, uid, _ = two_studies
    elsewhere = opened(orthanc.url, dicomweb_search={"StudyInstanceUID": "2.25.1234"}, home=tmp_path / "other")
    elsewhere.listing.refresh()
    assert uid in elsewhere.get_unlabeled_images()
    with pytest.raises(InputError, match="studies with a series of this UID"):
        elsewhere.get_image_uri(uid)
    elsewhere.listing.refresh()
    assert uid not in elsewhere.get_unlabeled_images()


def test_a_label_on_a_series_whose_sidecar_is_damaged_is_kept(refreshed, orthanc, opened, uploaded, tmp_path, tiny_label) -> None:
    (uid,) = uploaded(1)
    datastore = refreshed(opened(orthanc.url))
    tiny_label(tmp_path / "label.nrrd", {"cyst": 1})
    datastore._curate = lambda *_args: {}
    datastore.save_label(uid, str(tmp_path / "label.nrrd"), "final", {})
    sidecar_path(datastore.studies, uid).write_text("{")
    with pytest.raises(IntegrityError):
        datastore.save_label(uid, str(tmp_path / "label.nrrd"), "final", {"reader": "second"})
    last = datastore.history.labels("final", uid)[-1]
    assert (last.event, last.info["reader"]) == ("refused", "second")


def test_a_label_that_comes_while_a_series_is_fetched_anew_keeps_its_slices(
    arriving, refreshed, orthanc, monkeypatch, tmp_path
) -> None:
    datastore, uid, late = arriving(5)
    copy = Path(datastore.get_image_uri(uid))
    orthanc.add(late)
    refreshed(datastore)
    write_image = pacs_images.write_image

    def slowly(*args, **options) -> None:
        write_image(*args, **options)
        monkeypatch.setattr(datastore._images, "_is_labelled", lambda _uid: True)  # somebody has just saved one

    monkeypatch.setattr(pacs_images, "write_image", slowly)
    with pytest.raises(InputError, match="other slices of this series than those that its labels"):
        datastore.get_image_uri(uid)
    assert sitk.ReadImage(copy).GetSize() == (32, 32, 5)
    assert len(read_sidecar(datastore.studies, uid).source["sop_instance_uids"]) == 5


def test_a_label_whose_series_is_fetched_anew_while_it_is_saved_is_refused_and_kept(
    arriving, refreshed, orthanc, monkeypatch, tmp_path, tiny_label
) -> None:
    datastore, uid, late = arriving(5)
    datastore.get_image_uri(uid)

    def look(*_) -> dict:
        orthanc.add(late)  # as its lesions are looked at, the series grows, and somebody else opens it
        refreshed(datastore).get_image_uri(uid)
        return {}

    monkeypatch.setattr(datastore, "_curate", look)
    tiny_label(tmp_path / "label.nrrd", {"cyst": 1})
    with pytest.raises(InputError, match="slices changed while its label was saved"):
        datastore.save_label(uid, str(tmp_path / "label.nrrd"), "final", {"reader": "first"})
    last = datastore.history.labels("final", uid)[-1]
    assert (last.event, last.info["reader"]) == ("refused", "first")
    assert uid not in datastore.get_labeled_images()
    assert sitk.ReadImage(datastore.get_image_uri(uid)).GetSize() == (32, 32, 6)


def test_the_same_pixels_at_another_spacing_are_no_slices_that_labels_were_drawn_on(
    labelled, refreshed, orthanc, tmp_path
) -> None:
    datastore, uid = labelled
    Path(datastore.get_image_uri(uid)).unlink()
    for path in (tmp_path / "dicom").iterdir():
        ds = pydicom.dcmread(path)
        orthanc.remove(str(ds.SOPInstanceUID))
        ds.PixelSpacing = [2 * float(mm) for mm in ds.PixelSpacing]
        ds.save_as(path)
    orthanc.add(tmp_path / "dicom")
    refreshed(datastore)
    with pytest.raises(InputError, match="other slices of this series than those that its labels"):
        datastore.get_image_uri(uid)


def test_labels_of_a_series_whose_uid_is_in_two_studies_stop_no_data_set(
    refreshed, orthanc, opened, tiny_series, tmp_path, tiny_label, caplog
) -> None:
    tiny_label(tmp_path / "label.nrrd", {"cyst": 1})
    uids = []
    for name in ("a", "b"):
        uids.append(tiny_series(tmp_path / name, slices=24)[1])
        orthanc.add(tmp_path / name)
    datastore = refreshed(opened(orthanc.url))
    for uid in uids:
        datastore.save_label(uid, str(tmp_path / "label.nrrd"), "final", {})
    for path in (tmp_path / "a").iterdir():
        ds = pydicom.dcmread(path)
        ds.StudyInstanceUID = "2.25.12345"
        ds.SOPInstanceUID = ds.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        ds.save_as(path)
    orthanc.add(tmp_path / "a")
    refreshed(datastore)
    archive = Path(datastore.get_dataset_archive(None))
    with zipfile.ZipFile(archive) as packed:
        assert {name for name in packed.namelist() if name.startswith("image/")} == {f"image/{uid}.nrrd" for uid in uids}
    archive.unlink()
    assert "lacks" not in caplog.text
    # Nobody can say which of the two would have to be fetched.
    (datastore.studies / f"{uids[0]}.nrrd").unlink()
    archive = Path(datastore.get_dataset_archive(None))
    with zipfile.ZipFile(archive) as packed:
        assert [name for name in packed.namelist() if name.startswith("image/")] == [f"image/{uids[1]}.nrrd"]
    archive.unlink()
    assert "lacks 1 labelled series" in caplog.text


def test_a_refused_series_that_is_labelled_is_answered_as_it_was_labelled(labelled) -> None:
    datastore, uid = labelled
    datastore.listing.refuse(uid, datastore.listing.series[uid], "A slice cannot be used.")
    assert sitk.ReadImage(datastore.get_image_uri(uid)).GetSize()[2] == 24


def test_what_arrived_in_part_is_not_held_against_the_whole(arriving, refreshed, orthanc) -> None:
    datastore, uid, late = arriving(3)
    part = datastore.listing.series[uid]
    orthanc.add(late)
    refreshed(datastore)
    datastore.listing.refuse(uid, part, "Slices are missing.")
    assert uid in datastore.get_unlabeled_images()


def test_a_series_that_grew_and_could_not_be_written_is_not_answered_from_its_first_slices(
    arriving, refreshed, orthanc, monkeypatch
) -> None:
    datastore, uid, late = arriving(5)
    assert sitk.ReadImage(datastore.get_image_uri(uid)).GetSize() == (32, 32, 5)
    orthanc.add(late)
    refreshed(datastore)

    def full(*_args, **_options) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(pacs_images, "write_image", full)
        with pytest.raises(PacsError, match="could not be written"):
            datastore.get_image_uri(uid)
    assert sitk.ReadImage(datastore.get_image_uri(uid)).GetSize() == (32, 32, 6)


def test_a_damaged_sidecar_keeps_its_copy_and_lets_others_make_room(opened, five_series, long_unused, until_gone) -> None:
    own, uids = five_series
    datastore = opened(own.url, dicomweb_cache_gib=1e-6)
    damaged, whole = (Path(datastore.get_image_uri(uid)) for uid in uids[:2])
    sidecar_path(datastore.studies, uids[0]).write_text("{")
    long_unused(damaged, whole)
    datastore.get_image_uri(uids[3])
    until_gone(whole)
    assert damaged.exists()


def test_a_copy_that_goes_while_it_is_asked_for_is_fetched_again(orthanc, opened, tiny_series, tmp_path, monkeypatch) -> None:
    _, uid = tiny_series(tmp_path / "dicom", slices=4, side=32)
    orthanc.add(tmp_path / "dicom")
    datastore = opened(orthanc.url)
    path = Path(datastore.get_image_uri(uid))
    asked = []

    def labelled(_uid: str) -> bool:
        """Asked of each copy; meanwhile another thread makes room."""
        if not asked:
            path.unlink()
        asked.append(_uid)
        return True

    monkeypatch.setattr(datastore._images, "_is_labelled", labelled)
    assert sitk.ReadImage(datastore.get_image_uri(uid)).GetSize() == (32, 32, 4)
    assert asked
