from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.dataset import FileDataset
from pydicom.uid import ImplicitVRLittleEndian, generate_uid

from lesionlabel.imaging.importer import ImportReport
from lesionlabel.imaging.read import read_volume
from lesionlabel.imaging.sidecar import read_sidecar, read_sidecars
from lesionlabel.lesions.errors import InputError, IntegrityError, NotFoundError


def reasons(report: ImportReport) -> str:
    return "\n".join(f"{refusal.what}: {refusal.reason}" for refusal in report.refused)


def snapshot(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {str(p.relative_to(folder)): (p.read_bytes(), p.stat().st_mtime_ns) for p in folder.rglob("*") if p.is_file()}


def synthetic(dataset: FileDataset, number: int) -> None:
    dataset.add_new(0x0008001C, "CS", "YES")


def test_a_series_imported_with_another_pseudonym_key_does_not_become_a_second_patient(
    tmp_path: Path, write_series: Callable[..., Any], run: Callable[..., ImportReport]
) -> None:
    write_series("in/one")
    assert len(run(tmp_path / "in").imported) == 1
    (tmp_path / "home" / "pseudonym.key").rename(tmp_path / "home" / "old.key")
    again = run(tmp_path / "in")
    assert not again.imported
    assert "another pseudonym key" in reasons(again)


def test_a_series_becomes_an_image_with_its_sidecar(
    tmp_path: Path, write_series: Callable[..., Any], run: Callable[..., ImportReport]
) -> None:
    # No patient ID of digits alone: a random UID may hold it.
    series = write_series("in/a", SeriesDescription="Muster^Erika portal venous", PatientID="MRN4711")
    report = run(tmp_path / "in")
    assert not report.refused
    (image,) = report.imported
    assert (image.slices, image.simulated, image.already) == (6, False, False)
    assert image.spacing == pytest.approx((0.75, 0.75, 2.5))
    studies = tmp_path / "studies"
    sidecar = read_sidecar(studies, image.image_id)
    assert read_sidecars(studies) == [sidecar]
    by_place = sorted((dcmread(path) for path in series.files), key=lambda d: float(d.ImagePositionPatient[2]))
    assert sidecar.source == {
        "study_uid": series.study_uid,
        "series_uid": series.series_uid,
        "frame_of_reference_uid": series.study_uid,
        "sop_class_uid": "1.2.840.10008.5.1.4.1.1.2",
        "sop_instance_uids": [d.SOPInstanceUID for d in by_place],
    }
    volume, dicom = read_volume(studies / f"{image.image_id}.nii.gz"), read_volume(series.folder)
    np.testing.assert_array_equal(volume.voxels, dicom.voxels)
    np.testing.assert_array_equal(volume.geometry.affine, dicom.geometry.affine)
    assert volume.info["phase"] == "portal-venous"
    assert volume.info["slices"] == 6
    for path in studies.rglob("*.json"):
        assert path.stat().st_mode & 0o777 == 0o600
        assert not any(word in path.read_text() for word in ("MRN4711", "Muster", "Erika"))
    assert "MRN4711" not in image.image_id


def test_importing_again_changes_nothing(
    tmp_path: Path, write_series: Callable[..., Any], write_file: Callable[..., Path], run: Callable[..., ImportReport]
) -> None:
    write_series("in/a")
    write_file("in/case.nii.gz")
    first = run(tmp_path / "in")
    before = snapshot(tmp_path / "studies")
    again = run(tmp_path / "in")
    assert snapshot(tmp_path / "studies") == before
    assert [image.image_id for image in again.imported] == [image.image_id for image in first.imported]
    assert all(image.already for image in again.imported)


def test_a_series_that_grew_is_refused_and_the_image_stays(
    tmp_path: Path, write_series: Callable[..., Any], run: Callable[..., ImportReport]
) -> None:
    series = write_series("in/a")
    shutil.move(series.files[5], tmp_path / "late")
    run(tmp_path / "in")
    before = snapshot(tmp_path / "studies")
    shutil.move(tmp_path / "late", series.files[5])
    report = run(tmp_path / "in")
    assert not report.imported
    assert "from other slices (5, now 6)" in reasons(report)
    assert snapshot(tmp_path / "studies") == before


def test_mixed_series_scouts_captures_and_junk(
    tmp_path: Path, write_series: Callable[..., Any], run: Callable[..., ImportReport], body: NDArray[np.int16]
) -> None:
    good = [write_series(f"in/{n}", hu=body - n, PatientID=f"{n}") for n in range(2)]
    write_series("in/scout", hu=body[:1], ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
    write_series("in/save", hu=body[:1], ImageType=["DERIVED", "SECONDARY", "SCREEN SAVE"])
    write_series("in/mip", ImageType=["DERIVED", "SECONDARY", "MIP"])
    write_series("in/mr", Modality="MR", SOPClassUID="1.2.840.10008.5.1.4.1.1.4")
    write_series("in/capture", hu=body[:1], SOPClassUID="1.2.840.10008.5.1.4.1.1.7", Modality="OT")
    write_series("in/bytes", BitsStored=8)
    write_series("in/iodine", RescaleType="MGML")
    write_series("in/one", hu=body[:1])
    write_series("in/offset", hu=body + 1024)
    write_series("in/homeless", change=lambda dataset, _: dataset.pop("ImagePositionPatient"))
    (tmp_path / "in" / "notes.txt").write_text("no image")
    (tmp_path / "in" / "empty").write_bytes(b"")
    mixed = tmp_path / "in" / "mixed"
    mixed.mkdir()
    for n, series in enumerate(good):
        for path in series.files:
            shutil.move(path, mixed / f"{random.Random(path.name).random()}{n}")
    report = run(tmp_path / "in")
    assert len(report.imported) == 2
    assert len({image.patient for image in report.imported}) == 2
    told = reasons(report)
    for words in (
        "scout/IM_0000: It is a scout",
        "save/IM_0000: It is a secondary capture",
        "mip/IM_0000: It is a projection",
        "mr/IM_0000: Its modality is MR",
        "capture/IM_0000: Its modality is OT",
        "bytes/IM_0000: It is an 8-bit picture",
        "iodine/IM_0000: Its values are MGML",
        "(one/IM_0000 …): It has 1 usable slice(s)",
        "(offset/IM_0000 …): Its values run from 24 to",
        "a missing rescale intercept?",
        "homeless/IM_0000: Its header lacks ImagePositionPatient",
        "notes.txt: It is no DICOM, NIfTI or NRRD file",
        "empty: It is no DICOM, NIfTI or NRRD file",
    ):
        assert words in told


def test_scouts_in_the_series_itself_are_left_out(
    tmp_path: Path, write_series: Callable[..., Any], run: Callable[..., ImportReport], body: NDArray[np.int16]
) -> None:
    uid, study = generate_uid(), generate_uid()
    write_series("in/axial", series_uid=uid, study_uid=study)
    write_series("in/other", hu=body[:2], series_uid=uid, study_uid=study, orientation=(0, 1, 0, 0, 0, -1))
    report = run(tmp_path / "in")
    assert [image.slices for image in report.imported] == [6]
    assert "not that of its series" in reasons(report)


def test_two_stacks_in_one_series_are_refused(
    tmp_path: Path, write_series: Callable[..., Any], run: Callable[..., ImportReport], body: NDArray[np.int16]
) -> None:
    uid, study = generate_uid(), generate_uid()
    write_series("in/a", series_uid=uid, study_uid=study)
    write_series("in/b", hu=body[:, :16], series_uid=uid, study_uid=study)
    assert "several matrices or orientations (6 of 24 × 20 at 0.75 mm, 6 of 24 × 16" in reasons(run(tmp_path / "in"))


def test_files_found_twice_count_once(tmp_path: Path, write_series: Callable[..., Any], run: Callable[..., ImportReport]) -> None:
    series = write_series("in/a")
    shutil.copytree(series.folder, tmp_path / "in" / "copy")
    report = run(tmp_path / "in")
    assert [image.slices for image in report.imported] == [6]
    assert not report.refused


def test_patients_without_an_id_stay_apart(
    tmp_path: Path, write_series: Callable[..., Any], run: Callable[..., ImportReport]
) -> None:
    for n in range(2):
        write_series(f"in/{n}", PatientID="")
    assert len({image.patient for image in run(tmp_path / "in").imported}) == 2


def test_series_of_one_patient_share_the_pseudonym(
    tmp_path: Path, write_series: Callable[..., Any], run: Callable[..., ImportReport]
) -> None:
    for n in range(2):
        write_series(f"in/{n}")
    report = run(tmp_path / "in")
    assert len(report.imported) == 2
    assert len({image.patient for image in report.imported}) == 1


def test_simulated_and_real_series_are_never_taken_for_each_other(
    tmp_path: Path, write_series: Callable[..., Any], run: Callable[..., ImportReport]
) -> None:
    write_series("in/real")
    simulated = write_series("in/simulated", change=synthetic)
    report = run(tmp_path / "in")
    assert [image.image_id[:3] for image in report.imported] == ["ct-"]
    assert "Synthetic Data (0008,001C)" in reasons(report)
    report = run(tmp_path / "in", phantom=True)
    (image,) = report.imported
    assert image.image_id.startswith("phantom-")
    assert image.patient.startswith("phantom-")
    sidecar = read_sidecar(tmp_path / "studies", image.image_id)
    assert sidecar.simulated
    assert sidecar.source["series_uid"] == simulated.series_uid
    assert "not marked as Synthetic Data" in reasons(report)


def test_a_series_with_one_simulated_slice_is_neither_a_patients_nor_the_phantoms(
    tmp_path: Path, write_series: Callable[..., Any], run: Callable[..., ImportReport]
) -> None:
    write_series("in", change=lambda dataset, number: synthetic(dataset, number) if number == 2 else None)
    for phantom in (False, True):
        report = run(tmp_path / "in", phantom=phantom)
        assert not report.imported
        assert "Synthetic Data (0008,001C)" in reasons(report)


def test_synthetic_marks_in_implicit_vr_are_seen(
    tmp_path: Path, write_series: Callable[..., Any], run: Callable[..., ImportReport]
) -> None:
    def change(dataset: FileDataset, number: int) -> None:
        synthetic(dataset, number)
        dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
        dataset.is_implicit_VR = True

    write_series("in/simulated", change=change)
    assert "Synthetic Data (0008,001C)" in reasons(run(tmp_path / "in"))


def test_files_without_the_dicom_preamble_are_read(
    tmp_path: Path, write_series: Callable[..., Any], run: Callable[..., ImportReport]
) -> None:
    series = write_series("in/a")
    for path in series.files:
        dataset = dcmread(path)
        del dataset.file_meta
        dataset.preamble = None
        dataset.is_implicit_VR = True
        dataset.save_as(path, write_like_original=True)
        assert path.read_bytes()[:2] == b"\x08\x00"
    (image,) = run(tmp_path / "in").imported
    np.testing.assert_array_equal(read_volume(tmp_path / "studies" / f"{image.image_id}.nii.gz").voxels, series.hu)


def test_masks_of_the_ircad_layout_come_along(
    tmp_path: Path, write_series: Callable[..., Any], run: Callable[..., ImportReport], body: NDArray[np.int16]
) -> None:
    patient = "in/3Dircadb1.99"
    write_series(f"{patient}/PATIENT_DICOM", PatientID="")
    liver, tumour = np.zeros_like(body), np.zeros_like(body)
    liver[1:5, 4:14, 4:14], tumour[2:4, 5:8, 6:10] = 255, 255
    masks = {"liver": liver, "livertumor1": tumour, "bone": liver, "livertumor2": np.zeros_like(body)}
    for name, mask in masks.items():

        def change(dataset: FileDataset, number: int, mask: NDArray[np.int16] = mask) -> None:
            dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit, dataset.PixelRepresentation = 8, 8, 7, 0
            dataset.PixelData = mask[number].astype(np.uint8).tobytes()

        write_series(f"{patient}/MASKS_DICOM/{name}", change=change)
    write_series(f"{patient}/MASKS_DICOM/livercyst", hu=liver[:4], BitsStored=8)
    write_series(f"{patient}/LABELLED_DICOM", hu=liver)
    report = run(tmp_path / "in")
    (image,) = report.imported
    assert image.segments == ("liver", "livertumor1")
    told = reasons(report)
    assert "MASKS_DICOM/livertumor2: The mask is empty" in told
    assert "MASKS_DICOM/livercyst: The mask's grid (4, 20, 24) is not the CT's (6, 20, 24)" in told
    assert len(report.refused) == 2
    folder = tmp_path / "studies" / "labels" / "original"
    names = json.loads((folder / f"{image.image_id}.segments.json").read_text())["segments"]
    assert names == [{"name": "liver", "value": 1}, {"name": "livertumor1", "value": 2}]
    import SimpleITK as sitk

    label = sitk.ReadImage(str(folder / f"{image.image_id}.nii.gz"))
    np.testing.assert_array_equal(sitk.GetArrayFromImage(label), np.where(tumour > 0, 2, np.where(liver > 0, 1, 0)))
    ct = sitk.ReadImage(str(tmp_path / "studies" / f"{image.image_id}.nii.gz"))
    assert label.GetOrigin() == ct.GetOrigin()
    assert label.GetSpacing() == ct.GetSpacing()
    assert run(tmp_path / "in").imported[0].segments == image.segments


def test_studies_inside_the_source_are_not_imported_again(
    tmp_path: Path, write_series: Callable[..., Any], run: Callable[..., ImportReport]
) -> None:
    write_series("a")
    run(tmp_path)
    assert len(run(tmp_path).imported) == 1


def test_an_image_without_a_sidecar_is_its_own_patient_and_a_damaged_one_is_not(tmp_path: Path) -> None:
    assert read_sidecar(tmp_path, "case7").patient == "image-case7"
    lost = read_sidecar(tmp_path, "phantom-1")
    assert lost.simulated
    assert lost.patient == "phantom-image-phantom-1"
    (tmp_path / "case7.series.json").write_text("{")
    with pytest.raises(IntegrityError):
        read_sidecar(tmp_path, "case7")
    for name in ("../case7", ".case7", "", "a" * 129, "a/b", "a\n"):
        with pytest.raises(InputError, match="no image id"):
            read_sidecar(tmp_path, name)


def test_nothing_at_the_source(tmp_path: Path, run: Callable[..., ImportReport]) -> None:
    with pytest.raises(NotFoundError):
        run(tmp_path / "missing")
    (tmp_path / "in").mkdir()
    report = run(tmp_path / "in")
    assert not report.imported
    assert "holds no files" in reasons(report)


def test_damaged_files_beside_a_good_series_never_stop_the_import(
    tmp_path: Path, write_series: Callable[..., Any], run: Callable[..., ImportReport], body: NDArray[np.int16]
) -> None:
    write_series("in/good")
    source = write_series("source").files[0].read_bytes()
    chance = random.Random(3)
    bad = tmp_path / "in" / "bad"
    bad.mkdir()
    for n in range(150):
        content = bytearray(source[: chance.randrange(1, len(source))] if n % 2 else source)
        for _ in range(chance.randrange(1, 12)):
            content[chance.randrange(len(content))] = chance.randrange(256)
        (bad / f"{n}").write_bytes(bytes(content))
    report = run(tmp_path / "in")
    assert len(report.imported) == 1
    assert report.imported[0].slices == 6
    assert len(report.refused) > 50
