"""Readers' decisions on their way to a real Orthanc that is away, comes back, and is asked what it holds."""

from __future__ import annotations

import io
import json
import os
import subprocess
import time
from typing import Any

import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from typer.testing import CliRunner

from lesionlabel.cli.main import app as cli
from lesionlabel.datastore import outbox as outbox_module
from lesionlabel.datastore.curated import CuratedDatastore
from lesionlabel.datastore.pacs import pacs_folder
from lesionlabel.datastore.result_documents import report_of_answers, segmentation_of_voxels
from lesionlabel.datastore.result_setup import check_results, open_cases, open_results, results_client, results_folder
from lesionlabel.infers.desk import Desk
from lesionlabel.lesions.errors import InputError
from lesionlabel.lesions.volume import Volume
from lesionlabel.settings import Settings

NOW = 1_800_000_000.0
SENDING = {"LESIONLABEL_STORE_RESULTS": "true"}
CLOSED = "Chooses only among cyst, metastasis and hemangioma; HCC, abscess, FNH and others will be misnamed."


pytestmark = pytest.mark.usefixtures("impatient")

CYST = ("cyst", (35, 45, 12), 14.0)
METASTASIS = ("metastasis", (62, 50, 10), 10.0)


def answer(volume: Volume, centre: tuple[int, int, int], **changes: Any) -> dict[str, Any]:
    """An answer as /infer gives it, on a square around a voxel of the series' own grid."""
    i, j, k = centre
    corners = [(i - 4.5, j - 4.5, k), (i + 4.5, j - 4.5, k), (i + 4.5, j + 4.5, k), (i - 4.5, j + 4.5, k)]
    said = {
        "prediction": [
            {"idx": 0, "label": "cyst", "score": 0.8812},
            {"idx": 1, "label": "metastasis", "score": 0.1187},
            {"idx": 2, "label": "hemangioma", "score": 0.0001},
        ],
        "display": "cyst, about 90 %",
        "lesion": {
            "outlined_by": "segmented from a click",
            "diameter_mm": 25.5,
            "contour_lps": np.round(volume.native.to_lps(corners), 2).tolist(),
        },
        "model": {"version": "20260101T000000Z-00000000", "sha256": "5e" * 32, "trained_on": "phantom"},
        "closed_set": CLOSED,
        "warnings": ["Trained on simulated images only."],
        "reader_notes": [CLOSED, "In the lesion 8 ± 9 HU."],
    }
    return {**said, **changes}


def words(ds: Any) -> str:
    return json.dumps(ds.to_json_dict(), ensure_ascii=False)


def test_what_is_submitted_while_the_pacs_is_down_arrives_once_when_it_is_back(site: Any, caplog) -> None:
    site.orthanc.kill()
    site.submit(CYST, METASTASIS)
    assert len(site.datastore.get_label_info(site.uid, "final")["lesions"]) == 2
    assert site.results.work(NOW) == (0, 1)
    (waits,) = site.results.waiting()
    assert (waits["state"], waits["tries"]) == ("to be made", 1)
    assert "cannot be reached" in waits["problem"]
    assert site.results.work(NOW + 1) == (0, 1), "not due yet"
    assert site.results.waiting()[0]["tries"] == 1
    shown = CliRunner().invoke(cli, ["results", "list"], env={"LESIONLABEL_HOME": str(site.settings.home)})
    assert "cannot be reached" in shown.output
    site.orthanc.start()
    site.datastore.close()
    site.open()  # the server was restarted as well
    assert site.results.work(NOW + 60) == (1, 0)
    assert [ds.Modality for ds in site.stored()] == ["SEG", "SR"]
    assert site.results.work(NOW + 120) == (0, 0)
    assert site.results.waiting() == []
    (sent,) = site.results.outbox.list(sent=True)
    assert not sent.files, "files that name the patient are not kept"
    for told in (caplog.text, shown.output, json.dumps(waits), json.dumps(sent.to_json())):
        assert not any(word in told for word in (site.uid, "R-1", "Größe", str(site.settings.home)))


def test_documents_wait_when_the_pacs_goes_between_making_and_sending(site: Any, monkeypatch) -> None:
    monkeypatch.setattr(outbox_module, "FIRST_PAUSE_S", 1.0)
    site.submit(CYST)
    site.results._stow = lambda paths: site.orthanc.kill() or site.datastore.client.stow(paths)
    assert site.results.work(NOW) == (0, 1)
    (waits,) = site.results.waiting()
    assert (waits["state"], waits["documents"]) == ("waiting", ["reader's outlines", "reader's decision"])
    uids = {document["sop_uid"] for document in site.results.outbox.list()[0].record["documents"]}
    site.orthanc.start()
    sent = CliRunner().invoke(cli, ["results", "send"], env=SENDING | {"LESIONLABEL_HOME": str(site.settings.home)})
    assert sent.output == "1 sent, 0 still wait.\n"
    assert {str(ds.SOPInstanceUID) for ds in site.stored()} == uids


def test_the_pacs_holds_what_the_reader_drew_on_the_pixels_where_it_was_drawn(site: Any) -> None:
    site.submit(CYST, METASTASIS)
    site.results.work(NOW)
    seg, sr = site.stored()
    drawn = sitk.GetArrayFromImage(sitk.ReadImage(str(site.label(CYST, METASTASIS))))
    frames = seg.pixel_array
    for at, frame in enumerate(seg.PerFrameFunctionalGroupsSequence):
        number = frame.SegmentIdentificationSequence[0].ReferencedSegmentNumber
        place = [float(v) for v in frame.PlanePositionSequence[0].ImagePositionPatient]
        k = round(float(site.volume.native.to_voxel(place)[2]))
        np.testing.assert_array_equal(frames[at], drawn[k] == number)
    assert len(frames) == sum(int((drawn == n).any(axis=(1, 2)).sum()) for n in (1, 2))
    assert [s.SegmentLabel for s in seg.SegmentSequence] == ["cyst (Lesion 1)", "metastasis (Lesion 2)"]
    assert {s.SegmentAlgorithmType for s in seg.SegmentSequence} == {"MANUAL"}
    for ds in (seg, sr):
        assert (str(ds.PatientName), ds.PatientID, ds.AccessionNumber, ds.StudyDescription) == (
            "Größe^Änne",
            "R-1",
            "A-17",
            "Abdomen",
        )
        assert ds.SeriesDescription.startswith("RESEARCH reader's ")
    text = words(sr)
    assert "Dr. A" in text
    assert str(seg.SOPInstanceUID) in text
    measured = {
        str(item.TrackingUID): round(int((drawn == n).sum()) * float(np.prod(site.volume.native.spacing)))
        for n, item in enumerate(seg.SegmentSequence, start=1)
    }
    groups = site.report(sr).content.get_volumetric_roi_measurement_groups()
    assert {group.tracking_uid: group.get_measurements()[0].value for group in groups} == measured


def test_a_correction_replaces_and_the_same_again_changes_nothing(site: Any) -> None:
    site.submit(CYST, METASTASIS)
    site.results.work(NOW)
    first_seg, first = site.stored()
    site.submit(CYST, METASTASIS)
    assert site.results.work(NOW) == (0, 0)
    assert len(site.stored()) == 2
    site.submit(("hemangioma", *CYST[1:]))
    site.results.work(NOW)
    _, second_seg, _, second = site.stored()
    before = second.PredecessorDocumentsSequence[0].ReferencedSeriesSequence[0].ReferencedSOPSequence[0]
    assert before.ReferencedSOPInstanceUID == first.SOPInstanceUID
    assert (second.SeriesInstanceUID, second.InstanceNumber) == (first.SeriesInstanceUID, 2)
    assert second_seg.ReferencedInstanceSequence[0].ReferencedSOPInstanceUID == first_seg.SOPInstanceUID
    assert second_seg.SegmentSequence[0].TrackingUID == first_seg.SegmentSequence[0].TrackingUID, "the same lesion"
    assert second_seg.SegmentSequence[0].SegmentLabel == "hemangioma (Lesion 1)"
    site.submit(("liver", *CYST[1:]))
    site.results.work(NOW)
    (*_, third) = site.stored()
    assert "Taken back" in words(third)
    assert third.PredecessorDocumentsSequence[0].ReferencedSeriesSequence[0].ReferencedSOPSequence[
        0
    ].ReferencedSOPInstanceUID == (second.SOPInstanceUID)


def test_what_the_model_had_said_is_a_document_of_its_own(site: Any) -> None:
    elsewhere = answer(site.volume, (80, 20, 5))
    site.results.answers.keep(site.uid, {"lesions": [answer(site.volume, CYST[1], display="older"), elsewhere]})
    site.results.answers.keep(site.uid, answer(site.volume, CYST[1]))
    site.submit(CYST, METASTASIS)
    site.results.work(NOW)
    decision_seg, decision, seg, sr = site.stored()
    assert [
        ds.SeriesDescription.removeprefix("RESEARCH ").removesuffix(" (not for clinical use)")
        for ds in (decision_seg, decision, seg, sr)
    ] == [
        "reader's outlines",
        "reader's decision",
        "model's outlines",
        "model's prediction",
    ]
    (segment,) = seg.SegmentSequence
    assert segment.TrackingUID == decision_seg.SegmentSequence[0].TrackingUID
    assert (segment.SegmentAlgorithmType, int(seg.pixel_array.sum())) == ("SEMIAUTOMATIC", 81)
    text = words(sr)
    assert all(word in text for word in (CLOSED, "cyst, about 90 %", "In the lesion 8 ± 9 HU.", "20260101T000000Z-00000000"))
    assert "older" not in text
    (drawn,) = [g for g in site.report(sr).content.get_planar_roi_measurement_groups() if len(g.get_measurements()) > 1]
    assert [(m.name.meaning, m.value) for m in drawn.get_measurements()] == [
        ("Long axis", 25.5),
        ("Probability of cyst", 90),
        ("Probability of metastasis", 10),
        ("Probability of hemangioma", 5),
    ]
    assert "Probability" not in words(decision)


def test_an_outline_that_the_reader_left_as_it_was_is_not_called_drawn(site: Any) -> None:
    square = answer(site.volume, CYST[1])
    site.results.answers.keep(site.uid, square)
    mask = np.zeros(site.volume.native.shape, dtype=np.uint8)
    mask[12, 41:50, 31:40] = 1
    mask[13, 42:49, 32:39] = 1  # of a whole outline the answer tells one slice
    image = sitk.ReadImage(str(site.label(CYST)))
    copied = sitk.GetImageFromArray(mask)
    copied.CopyInformation(image)
    sitk.WriteImage(copied, str(site.scratch / "copied.nrrd"))
    with site.results.submitting(site.uid, "final"):
        info = {"label_info": [{"name": "cyst", "idx": 1}], "client_id": "Dr. A"}
        site.datastore.save_label(site.uid, str(site.scratch / "copied.nrrd"), "final", info)
    site.results.work(NOW)
    assert site.stored()[0].SegmentSequence[0].SegmentAlgorithmType == "SEMIAUTOMATIC"


def test_a_lesion_with_a_core_of_another_segment_is_stored_as_curation_took_it(site: Any) -> None:
    site.submit(METASTASIS, ("necrosis", METASTASIS[1], 8.5))
    (lesion,) = site.datastore.get_label_info(site.uid, "final")["lesions"]
    site.results.work(NOW)
    seg, sr = site.stored()
    drawn = sitk.GetArrayFromImage(sitk.ReadImage(str(site.label(METASTASIS, ("necrosis", METASTASIS[1], 8.5)))))
    rim, core = int((drawn == 1).sum()), int((drawn == 2).sum())
    assert core > rim
    assert int(seg.pixel_array.sum()) == rim
    (group,) = site.report(sr).content.get_volumetric_roi_measurement_groups()
    assert group.get_measurements()[0].value == round(lesion["volume_mm3"])


def test_an_error_about_a_file_that_is_called_after_the_series_names_no_series(site: Any, caplog) -> None:
    site.submit(CYST)
    (site.datastore.studies / f"{site.uid}.series.json").write_text("{")
    assert site.results.work(NOW) == (0, 1)
    (waits,) = site.results.waiting()
    assert "The sidecar (UID)" in waits["problem"]
    shown = CliRunner().invoke(cli, ["results", "list"], env={"LESIONLABEL_HOME": str(site.settings.home)})
    kept = "".join(path.read_text() for path in site.results.outbox.folder.rglob("tries.json"))
    assert not any(site.uid in text for text in (json.dumps(waits), shown.output, caplog.text, kept))


def test_results_wait_for_the_address_that_they_were_made_for(site: Any, monkeypatch) -> None:
    site.submit(CYST)
    site.results.work(NOW)
    first = site.stored()
    archive = "http://127.0.0.1:9/research"  # nobody is there
    site.settings = site.settings.model_copy(update={"results_url": archive})
    site.datastore.close()
    site.open()
    site.submit(("hemangioma", *CYST[1:]))
    assert site.results.work(NOW + 60) == (0, 1)
    (waits,) = site.results.outbox.list()
    home = {"LESIONLABEL_HOME": str(site.settings.home)}
    off = CliRunner().invoke(cli, ["results", "send"], env=home)
    assert "LESIONLABEL_STORE_RESULTS is not set" in str(off.exception)
    elsewhere = CliRunner().invoke(cli, ["results", "send"], env=home | SENDING)
    assert elsewhere.output == "0 sent, 1 still wait.\n"
    assert archive in CliRunner().invoke(cli, ["results", "list"], env=home).output
    assert len(site.stored()) == len(first)
    made = [pydicom.dcmread(path) for path in waits.files]
    assert not any("PredecessorDocumentsSequence" in ds or "ReferencedInstanceSequence" in ds for ds in made)
    assert made[0].SegmentSequence[0].TrackingUID == first[0].SegmentSequence[0].TrackingUID
    assert made[0].SeriesInstanceUID != first[0].SeriesInstanceUID


def test_each_of_two_submits_before_results_are_made_is_stored(site: Any) -> None:
    site.submit(CYST)
    site.submit(("hemangioma", *CYST[1:]), reader="Dr. B")
    assert site.results.work(NOW) == (2, 0)
    outlines = [ds for ds in site.stored() if ds.Modality == "SEG"]
    assert [ds.SegmentSequence[0].SegmentLabel for ds in outlines] == ["cyst (Lesion 1)", "hemangioma (Lesion 1)"]


def test_a_prediction_is_not_taken_back_because_old_answers_are_gone(site: Any) -> None:
    site.results.answers.keep(site.uid, answer(site.volume, CYST[1]))
    site.submit(CYST)
    site.results.work(NOW)
    for file in (site.results.outbox.folder / "answers").iterdir():
        file.unlink()
    site.submit(("hemangioma", *CYST[1:]))
    site.results.work(NOW)
    said = [ds for ds in site.stored() if "prediction" in ds.SeriesDescription]
    assert [ds.InstanceNumber for ds in said] == [1]


def test_files_that_a_killed_process_left_go_at_the_next_start(site: Any) -> None:
    folder = results_folder(site.settings, site.datastore.studies)
    for name, age in ((".headers-old", 7200), (".new-old", 7200), (".new-now", 0)):
        (folder / name).mkdir()
        (folder / name / "patient.dcm").write_bytes(b"name")
        then = time.time() - age
        os.utime(folder / name, (then, then))
    site.datastore.close()
    site.open()
    assert [path.parent.name for path in folder.rglob("patient.dcm")] == [".new-now"]


def test_a_password_for_https_does_not_go_over_http(tmp_path) -> None:
    settings = Settings(home=tmp_path, dicomweb_username="reader", dicomweb_password="open sesame")  # type: ignore[arg-type]
    studies = pacs_folder("https://pacs/dicom-web", settings)
    for url, shown in (("https://pacs/research", True), ("http://pacs/research", False)):
        client = results_client(settings.model_copy(update={"results_url": url}), studies)
        assert (client._http.auth is not None) == shown
        client.close()


def test_a_submit_that_a_crash_cut_off_is_made_good_later(site: Any) -> None:
    def cut_off() -> None:
        with site.results.submitting(site.uid, "final"):
            info = {"label_info": [{"name": "cyst", "idx": 1}], "client_id": "Dr. A"}
            site.datastore.save_label(site.uid, str(site.label(CYST)), "final", info)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cut_off()
    began = site.results.drafts.list()[0].began
    assert site.results.work(began + 1) == (0, 0), "it may still be under way"
    assert site.results.work(began + 601)[0] == 1
    with pytest.raises(InputError), site.results.submitting(site.uid, "final"):
        site.datastore.save_label(site.uid, str(site.label(CYST)), "fi/nal", {})
    assert site.results.work(began + 3600) == (0, 0)
    assert site.results.drafts.list() == []
    assert len(site.stored()) == 2


def test_an_answer_can_be_had_as_seg_and_sr_without_being_stored(site: Any, tmp_path) -> None:
    said = answer(site.volume, CYST[1])
    voxels = np.array([[30, 40, 11], [31, 40, 11], [31, 40, 12]])
    with site.cases.of(site.uid) as (case, _):
        report, kept = report_of_answers(case, [said]), io.BytesIO()
        report.save_as(kept, write_like_original=False)
        segmentation = segmentation_of_voxels(case, [("cyst, model's outline", voxels)], by_model=True)
    assert CLOSED in words(pydicom.dcmread(io.BytesIO(kept.getvalue())))
    assert segmentation.pixel_array.sum() == 3
    assert site.stored() == []
    left = list(results_folder(site.settings, site.datastore.studies).rglob("*.dcm"))
    assert left == [], "slices whose headers were read are not kept"


def test_results_on_files_are_refused_with_the_reason(tmp_path) -> None:
    settings = Settings(home=tmp_path / "home", store_results=True)
    (tmp_path / "studies").mkdir()
    datastore = CuratedDatastore(tmp_path / "studies")
    assert open_cases(settings, datastore, Desk(settings).open) is None
    with pytest.raises(InputError, match="needs --studies http"):
        open_results(settings, datastore, None)
    with pytest.raises(InputError, match="needs --studies http"):
        check_results(settings, on_pacs=False)
    with pytest.raises(InputError, match=r"LESIONLABEL_RESULTS_URL: .* looks like http"):
        check_results(settings.model_copy(update={"results_url": "orthanc:8042"}), on_pacs=True)


@pytest.mark.real_ct
def test_the_real_ct_gives_results_that_the_checkers_accept(real_ct, pacs, new_site, tmp_path, dciodvfy, dicom_validator) -> None:
    orthanc, _, _ = pacs
    orthanc.add(real_ct / "PATIENT_DICOM")
    uid = str(pydicom.dcmread(next((real_ct / "PATIENT_DICOM").iterdir()), stop_before_pixels=True).SeriesInstanceUID)
    site = new_site(orthanc, Settings(home=tmp_path / "home", store_results=True), uid, tmp_path)
    site.open()
    site.results.answers.keep(uid, answer(site.volume, (180, 240, 60)))
    site.submit(("metastasis", (180, 240, 60), 20.0))
    assert site.results.work(NOW) == (1, 0)
    stored = [ds for ds in site.stored() if str(ds.PatientName) == "liver_17^patient"]
    assert len(stored) == 4
    for ds in stored:
        assert (ds.PatientID, str(ds.PatientName)) == ("", "liver_17^patient")
        path = tmp_path / "checked.dcm"
        ds.save_as(path)
        printed = subprocess.run([dciodvfy, str(path)], capture_output=True, text=True, check=False)
        assert [line for line in (printed.stdout + printed.stderr).splitlines() if line.startswith("Error")] == []
        assert dicom_validator(path) == []
    site.datastore.close()
