"""Series of a real Orthanc that cannot be used: who is offered them, who is told why, and what of them stays here."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk

from lesionlabel.datastore import pacs_images, pacs_listing
from lesionlabel.datastore.pacs import LISTED, REFUSED
from lesionlabel.imaging.sidecar import read_sidecar, sidecar_path
from lesionlabel.lesions.errors import InputError, PacsError

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
