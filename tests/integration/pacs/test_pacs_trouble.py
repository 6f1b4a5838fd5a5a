"""What goes wrong with studies on a real Orthanc: labels without images, damage, full disks, lists that do not fit."""

from __future__ import annotations

import resource
import time
import zipfile
from dataclasses import replace
from pathlib import Path

import httpx
import pydicom
import pytest
import SimpleITK as sitk

from lesionlabel.datastore import pacs_images
from lesionlabel.datastore.pacs import GONE, LISTED, NOT_CHECKED, UNREADABLE
from lesionlabel.imaging import dicomweb, dicomweb_search
from lesionlabel.lesions.errors import InputError, NotFoundError, PacsError

pytestmark = pytest.mark.usefixtures("impatient")


def test_a_series_of_more_slices_than_one_answer_lists(orthanc, opened, tiny_series, tmp_path, monkeypatch) -> None:
    assert dicomweb.MAX_INSTANCES >= 2000
    monkeypatch.setattr(dicomweb_search, "PAGE", 10)
    _, uid = tiny_series(tmp_path / "dicom", slices=24, side=32)
    orthanc.add(tmp_path / "dicom")
    assert sitk.ReadImage(opened(orthanc.url).get_image_uri(uid)).GetSize() == (32, 32, 24)


def test_no_label_is_lost_with_its_series_nor_does_it_stop_the_others(
    refreshed, orthanc, opened, uploaded, tmp_path, tiny_label, caplog
) -> None:
    uids = uploaded(2)
    datastore = refreshed(opened(orthanc.url))
    tiny_label(tmp_path / "label.nrrd", {"cyst": 1})
    for uid in uids:
        datastore.save_label(uid, str(tmp_path / "label.nrrd"), "final", {})
    (datastore.studies / f"{uids[0]}.nrrd").unlink()
    orthanc.remove(uids[0])
    refreshed(datastore)
    with pytest.raises(NotFoundError, match="kept in labels/history"):
        datastore.save_label(uids[0], str(tmp_path / "label.nrrd"), "final", {"reader": "late"})
    last = datastore.history.labels("final", uids[0])[-1]
    assert (last.event, last.info["reader"], last.file is not None) == ("refused", "late", True)
    archive = Path(datastore.get_dataset_archive(None))
    with zipfile.ZipFile(archive) as packed:
        assert [name for name in packed.namelist() if name.startswith("image/")] == [f"image/{uids[1]}.nrrd"]
    archive.unlink()
    assert "lacks 1 labelled series" in caplog.text
    with pytest.raises(NotFoundError, match="lists no CT series"):
        datastore.save_label("1.2.3.4", str(tmp_path / "label.nrrd"), "final", {})
    assert datastore.history.labels("final", "1.2.3.4") == []


def test_a_series_outside_the_sites_search_is_had_again_for_its_label(
    refreshed, orthanc, opened, tiny_series, tmp_path, tiny_label
) -> None:
    _, uid = tiny_series(tmp_path / "dicom")
    orthanc.add(tmp_path / "dicom")
    datastore = opened(orthanc.url)
    tiny_label(tmp_path / "label.nrrd", {"cyst": 1})
    datastore.save_label(uid, str(tmp_path / "label.nrrd"), "final", {})
    (datastore.studies / f"{uid}.nrrd").unlink()
    later = refreshed(opened(orthanc.url, dicomweb_search={"StudyDate": "20300101-"}))
    assert later.get_image_info(uid)["pacs"] == GONE
    assert Path(later.get_image_uri(uid)).exists()


def test_only_a_question_for_the_image_asks_a_pacs_that_hangs(refreshed, orthanc, opened, tiny_series, tmp_path) -> None:
    datastore = refreshed(opened(orthanc.url, dicomweb_timeout_s=0.3))
    _, late = tiny_series(tmp_path / "dicom", slices=3)
    orthanc.add(tmp_path / "dicom")
    orthanc.pause()
    try:
        with pytest.raises(NotFoundError):
            datastore.get_image_info(late)
        with pytest.raises(NotFoundError):
            datastore.get_label_info(late, "final")
        with pytest.raises(PacsError):
            datastore.get_image_uri(late)
    finally:
        orthanc.resume()


def test_one_damaged_file_hides_no_other_series(refreshed, orthanc, opened, tiny_series, tmp_path, monkeypatch) -> None:
    uids = []
    for number in range(2):
        uids.append(tiny_series(tmp_path / str(number) / "dicom", slices=3)[1])
        orthanc.add(tmp_path / str(number) / "dicom")
    datastore = opened(orthanc.url)
    first_header = datastore.client.first_header

    def damaged(study: str, uid: str) -> dict:
        if uid == uids[0]:
            raise PacsError("The PACS could not list series (status 500). Try again later.")
        return first_header(study, uid)

    monkeypatch.setattr(datastore.client, "first_header", damaged)
    assert {*uids} & {*refreshed(datastore).get_unlabeled_images()} == {uids[1]}
    assert datastore.get_image_info(uids[0])["pacs"] == NOT_CHECKED


@pytest.mark.parametrize(("how", "status"), [("zeros", "400"), ("missing", "500")])
def test_a_pacs_with_damaged_files_lists_every_other_series(refreshed, opened, five_series, how, status, caplog) -> None:
    own, uids = five_series
    datastore = opened(own.url)
    own.damage(uids[1], uids[4], how=how)
    with pytest.raises(httpx.HTTPStatusError, match=status):  # as any other client sees it
        httpx.get(f"{own.url}/series").raise_for_status()
    datastore.listing.refresh_soon()
    end = time.monotonic() + 30
    while datastore.status()["pacs"] == "answers" and time.monotonic() < end:
        time.sleep(0.05)
    assert sorted(datastore.get_unlabeled_images()) == sorted([uids[0], uids[2], uids[3]])
    problem = datastore.status()["pacs"]
    assert "cannot read 2 of its CT series; all others are listed" in problem
    assert "Look at the PACS's own log first" in problem
    refreshed(datastore)
    assert caplog.text.count(problem) == 1, "said once, not at every look"
    assert not [uid for uid in uids if uid in caplog.text]
    # Who asks for one of them by its UID is told the same, and what is whole opens.
    with pytest.raises(PacsError, match="cannot read a series that was asked for"):
        datastore.get_image_uri(uids[1])
    assert sitk.ReadImage(datastore.get_image_uri(uids[2])).GetSize() == (32, 32, 4)
    # Mended there, it is listed without a restart here, and nothing is said any more.
    for uid in (uids[1], uids[4]):
        own.remove(uid)
    assert refreshed(datastore).status()["pacs"] == "answers"


def test_what_was_listed_before_its_file_was_damaged_stays_and_what_was_deleted_goes(
    refreshed, opened, five_series, long_unused, until_gone
) -> None:
    own, uids = five_series
    datastore = refreshed(opened(own.url, dicomweb_cache_gib=1e-6))
    here = datastore.get_image_uri(uids[1])
    own.damage(uids[1], uids[4])
    own.remove(uids[2])
    states = {uid: refreshed(datastore).get_image_info(uid)["pacs"] for uid in (uids[0], uids[1], uids[3], uids[4])}
    assert states == {uids[0]: LISTED, uids[1]: UNREADABLE, uids[3]: LISTED, uids[4]: UNREADABLE}
    # A strategy would send every reader to one that nobody can open.
    assert sorted(datastore.get_unlabeled_images()) == sorted([uids[0], uids[3]])
    with pytest.raises(NotFoundError):
        refreshed(datastore).get_image_info(uids[2])
    assert datastore.get_image_uri(uids[1]) == here, "what was fetched is answered as before"
    # The only copy that can be read makes room for no other.
    there = Path(datastore.get_image_uri(uids[0]))
    long_unused(Path(here), there)
    datastore.get_image_uri(uids[3])
    until_gone(there)
    assert Path(here).exists()
    # Nor is it offered after a restart while the PACS is away.
    own.kill()
    assert opened(own.url).get_image_info(uids[1])["pacs"] == UNREADABLE


def test_files_of_zeros_that_orthanc_lists_without_uids_are_counted_and_hide_nothing(
    refreshed, new_orthanc, opened, tiny_series, tmp_path
) -> None:
    """Orthanc 1.10 fails at a file of zeros only where its size is not 4 more than a multiple of 8."""
    own, series, folders = new_orthanc(), [], [tmp_path / str(number) / "dicom" for number in range(4)]
    for folder in folders:
        series.append(tiny_series(folder, slices=4, side=32))
        for path in folder.iterdir():
            ds = pydicom.dcmread(path)
            while path.stat().st_size % 8 != 4:
                ds.ImageComments = ds.get("ImageComments", "") + "xx"
                ds.save_as(path, write_like_original=False)
        own.add(folder)
    uids = [uid for _, uid in series]
    datastore = refreshed(opened(own.url))
    last = str(pydicom.dcmread(folders[0] / "0003.dcm").SOPInstanceUID)
    own.damage(last, uids[1], uids[2])
    answer = httpx.get(f"{own.url}/series", params={"Modality": "CT"}).raise_for_status()
    blank = sum("0020000E" not in item for item in answer.json())
    assert blank in (2, 3), "Orthanc reads one slice of each series, and says not which"
    assert f"cannot read {blank} of its CT series" in refreshed(datastore).status()["pacs"]
    states = [datastore.get_image_info(uid)["pacs"] for uid in uids]
    assert states[1:] == [UNREADABLE, UNREADABLE, LISTED]
    # Never opened without its slice.
    with pytest.raises(PacsError, match="cannot read a slice of the series"):
        datastore.client.instances(*series[0])
    with pytest.raises(PacsError, match="cannot read a slice of the series"):
        datastore.client.first_header(*series[1])
    with pytest.raises(PacsError, match=r"cannot read a (slice of the series|series that was asked for)"):
        datastore.get_image_uri(uids[0])
    with pytest.raises(PacsError, match="cannot read a series that was asked for"):
        datastore.get_image_uri(uids[1])
    assert not list(datastore.studies.glob("*.nrrd"))
    # Also one who was never told of them.
    (datastore.studies / "listing.json").unlink()
    later = refreshed(opened(own.url))
    assert uids[3] in later.get_unlabeled_images()
    assert not {uids[1], uids[2]} & {*later.get_unlabeled_images()}
    assert sitk.ReadImage(later.get_image_uri(uids[3])).GetSize() == (32, 32, 4)


def test_a_copy_that_has_a_slice_more_than_the_pacs_can_give_makes_room_for_no_other(
    opened, five_series, tmp_path, long_unused, until_gone
) -> None:
    """Its list of series shows no slice that was damaged or deleted since."""
    own, uids = five_series
    datastore = opened(own.url, dicomweb_cache_gib=1e-6)
    damaged, less, whole = (Path(datastore.get_image_uri(uid)) for uid in uids[:3])
    own.damage(str(pydicom.dcmread(tmp_path / "0" / "dicom" / "0003.dcm").SOPInstanceUID))
    own.remove(str(pydicom.dcmread(tmp_path / "1" / "dicom" / "0003.dcm").SOPInstanceUID))
    long_unused(damaged, less, whole)
    datastore.get_image_uri(uids[3])
    # The oldest are looked at first.
    until_gone(whole)
    assert [damaged.exists(), less.exists()] == [True, True]


def test_a_pacs_that_fails_at_every_page_keeps_its_list_and_is_named(refreshed, opened, five_series) -> None:
    own, uids = five_series
    # What is searched for is in the files only, so that Orthanc reads all of them for each page.
    datastore = refreshed(opened(own.url, dicomweb_search={"PatientPosition": "HFS"}))
    own.damage(uids[3])
    with pytest.raises(PacsError, match=r"status 400.*Its own log says why"):
        refreshed(datastore)
    assert sorted(datastore.get_unlabeled_images()) == sorted(uids)


def test_what_all_slices_said_of_being_synthetic_stays(refreshed, orthanc, opened, tiny_series, tmp_path) -> None:
    _, uid = tiny_series(tmp_path / "dicom", slices=4)
    ds = pydicom.dcmread(tmp_path / "dicom" / "0003.dcm")
    ds.add_new(0x0008001C, "CS", "YES")
    ds.save_as(tmp_path / "dicom" / "0003.dcm")
    orthanc.add(tmp_path / "dicom")
    datastore = refreshed(opened(orthanc.url))
    datastore.get_image_uri(uid)
    datastore.listing.look_for(uid)
    refreshed(datastore)
    assert uid not in datastore.get_unlabeled_images()
    # Also when the index and the listing are lost, and only its first header is looked at again.
    for name in ("datastore_v2.json", "listing.json"):
        (datastore.studies / name).unlink()
    assert uid not in refreshed(opened(orthanc.url)).get_unlabeled_images()


def test_a_full_disk_is_said_and_what_came_is_kept(refreshed, orthanc, opened, tiny_series, tmp_path) -> None:
    _, uid = tiny_series(tmp_path / "dicom")
    orthanc.add(tmp_path / "dicom")
    datastore = refreshed(opened(orthanc.url))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    # No file of this process may be as large as the volume; the slices may.
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        with pytest.raises(PacsError, match="could not be written"):
            datastore.get_image_uri(uid)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert len(list((datastore.studies / pacs_images.RETRIEVING / uid).glob("*.dcm"))) == 24
    assert sitk.ReadImage(datastore.get_image_uri(uid)).GetSize() == (96, 96, 24)


def test_slices_that_the_pacs_has_no_more_are_not_in_the_volume(orthanc, opened, tiny_series, tmp_path) -> None:
    _, uid = tiny_series(tmp_path / "dicom")
    datastore = opened(orthanc.url)
    staging = datastore.studies / pacs_images.RETRIEVING / uid
    staging.mkdir()
    # As after a retrieval that was cut off.
    removed = max((tmp_path / "dicom").iterdir())
    removed.rename(staging / f"{pydicom.dcmread(removed).SOPInstanceUID}.dcm")
    orthanc.add(tmp_path / "dicom")
    assert sitk.ReadImage(datastore.get_image_uri(uid)).GetSize()[2] == 23


def test_a_pacs_that_counts_otherwise_than_it_lists_is_asked_once(
    refreshed, orthanc, opened, tiny_series, tmp_path, monkeypatch
) -> None:
    _, uid = tiny_series(tmp_path / "dicom", slices=3)
    orthanc.add(tmp_path / "dicom")
    datastore = opened(orthanc.url)
    series = datastore.client.readable_series

    def counted(search):
        return [replace(one, instances=7) for one in series(search)[0]], 0

    monkeypatch.setattr(datastore.client, "readable_series", counted)
    made = Path(datastore.get_image_uri(uid)).stat().st_ino
    refreshed(datastore)
    assert Path(datastore.get_image_uri(uid)).stat().st_ino == made


def test_what_is_found_while_the_list_is_read_stays(refreshed, orthanc, opened, tiny_series, tmp_path, monkeypatch) -> None:
    _, uid = tiny_series(tmp_path / "dicom", slices=3)
    datastore = refreshed(opened(orthanc.url))
    series = datastore.client.readable_series

    def slow(search):
        found = series(search)
        if "SeriesInstanceUID" not in search:
            orthanc.add(tmp_path / "dicom")
            datastore.get_image_uri(uid)
        return found

    monkeypatch.setattr(datastore.client, "readable_series", slow)
    assert refreshed(datastore).get_image_info(uid)["pacs"] == LISTED


def test_images_come_and_go_on_the_pacs_only(orthanc, opened, tiny_ct, tmp_path) -> None:
    datastore = opened(orthanc.url)
    tiny_ct(tmp_path / "x.nii.gz")
    with pytest.raises(InputError, match="come from the PACS"):
        datastore.add_image("x", str(tmp_path / "x.nii.gz"), {})
    with pytest.raises(InputError, match="delete the series there"):
        datastore.remove_image("1.2.3")
