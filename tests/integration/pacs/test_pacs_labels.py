"""Labels on series of a real Orthanc: which slices they were drawn on stays certain, whatever the PACS does meanwhile."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pydicom
import pytest
import SimpleITK as sitk
from pydicom.uid import generate_uid

from lesionlabel.datastore import pacs_images
from lesionlabel.imaging.sidecar import read_sidecar, sidecar_path
from lesionlabel.lesions.errors import InputError, IntegrityError, PacsError

pytestmark = pytest.mark.usefixtures("impatient")


@pytest.fixture
def respaced(orthanc, tmp_path):
    """Puts the series whose slices lie in tmp_path/dicom on the PACS anew, with the same pixels at twice the spacing."""

    def respaced() -> None:
        for path in (tmp_path / "dicom").iterdir():
            ds = pydicom.dcmread(path)
            orthanc.remove(str(ds.SOPInstanceUID))
            ds.PixelSpacing = [2 * float(mm) for mm in ds.PixelSpacing]
            ds.save_as(path)
        orthanc.add(tmp_path / "dicom")

    return respaced


@pytest.fixture
def labelled(refreshed, orthanc, opened, tiny_series, tmp_path, tiny_label):
    """A datastore with a labelled series, whose slices lie in tmp_path/dicom, and its UID."""
    _, uid = tiny_series(tmp_path / "dicom", slices=24)
    orthanc.add(tmp_path / "dicom")
    datastore = refreshed(opened(orthanc.url))
    tiny_label(tmp_path / "label.nrrd", {"cyst": 1})
    datastore.save_label(uid, str(tmp_path / "label.nrrd"), "final", {})
    return datastore, uid


def test_a_label_never_goes_to_a_patient_who_came_under_the_same_uid_while_it_was_drawn(
    two_studies, refreshed, orthanc, tmp_path
) -> None:
    datastore, uid, (first, _) = two_studies
    for sop_uid in first:
        orthanc.remove(sop_uid)
    refreshed(datastore)
    with pytest.raises(InputError, match=r"slices are no longer those.*kept in labels/history"):
        datastore.save_label(uid, str(tmp_path / "label.nrrd"), "final", {})
    assert datastore.history.labels("final", uid)[-1].event == "refused"
    assert uid not in datastore.get_labeled_images()


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
    with pytest.raises(InputError, match="slices are no longer those"):
        datastore.save_label(uid, str(tmp_path / "label.nrrd"), "final", {"reader": "first"})
    last = datastore.history.labels("final", uid)[-1]
    assert (last.event, last.info["reader"]) == ("refused", "first")
    assert uid not in datastore.get_labeled_images()
    assert sitk.ReadImage(datastore.get_image_uri(uid)).GetSize() == (32, 32, 6)


def test_a_label_is_not_saved_on_slices_that_came_with_its_saving(arriving, refreshed, orthanc, tmp_path, tiny_label) -> None:
    datastore, uid, late = arriving(5)
    datastore.get_image_uri(uid)
    orthanc.add(late)  # while a reader draws
    refreshed(datastore)
    tiny_label(tmp_path / "label.nrrd", {"cyst": 1})
    with pytest.raises(InputError, match="slices are no longer those"):
        datastore.save_label(uid, str(tmp_path / "label.nrrd"), "original", {})
    assert datastore.history.labels("original", uid)[-1].event == "refused"
    # Whoever has looked again can save.
    datastore.save_label(uid, str(tmp_path / "label.nrrd"), "original", {})
    assert datastore.history.labels("original", uid)[-1].event == "saved"


def test_voxels_without_a_position_are_not_laid_on_slices_that_came_with_them(arriving, refreshed, orthanc) -> None:
    datastore, uid, late = arriving(5)
    datastore.get_image_uri(uid)
    orthanc.add(late)
    with pytest.raises(InputError, match="slices are no longer those"):
        refreshed(datastore).open_for_label(uid)
    path, _ = datastore.open_for_label(uid)
    assert sitk.ReadImage(path).GetSize() == (32, 32, 6)


def test_another_spacing_that_comes_while_a_label_is_saved_is_noticed(
    refreshed, orthanc, opened, tiny_series, tiny_label, respaced, tmp_path, monkeypatch
) -> None:
    _, uid = tiny_series(tmp_path / "dicom", slices=4, side=32)
    orthanc.add(tmp_path / "dicom")
    datastore = refreshed(opened(orthanc.url))

    def look(_id: str, image: Path, *_) -> dict:
        image.unlink()
        respaced()
        refreshed(datastore).get_image_uri(uid)
        return {}

    monkeypatch.setattr(datastore, "_curate", look)
    tiny_label(tmp_path / "label.nrrd", {"cyst": 1})
    with pytest.raises(InputError, match="slices are no longer those"):
        datastore.save_label(uid, str(tmp_path / "label.nrrd"), "final", {})
    assert uid not in datastore.get_labeled_images()


def test_a_save_during_which_the_series_takes_too_long_keeps_what_was_sent_and_says_to_look_again(
    arriving, refreshed, orthanc, tmp_path, tiny_label, monkeypatch
) -> None:
    datastore, uid, late = arriving(5)
    datastore.get_image_uri(uid)
    orthanc.add(late)
    refreshed(datastore)
    monkeypatch.setattr(datastore._images, "_wait_s", 0.0)
    tiny_label(tmp_path / "label.nrrd", {"cyst": 1})
    with pytest.raises(PacsError, match=r"Open the image again.*kept in labels/history"):
        datastore.save_label(uid, str(tmp_path / "label.nrrd"), "final", {})
    assert datastore.history.labels("final", uid)[-1].event == "refused"


def test_the_same_pixels_at_another_spacing_are_no_slices_that_labels_were_drawn_on(labelled, refreshed, respaced) -> None:
    datastore, uid = labelled
    Path(datastore.get_image_uri(uid)).unlink()
    respaced()
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
