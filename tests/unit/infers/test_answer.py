import dataclasses
import re
import shutil

import pytest
import SimpleITK as sitk
import torch

from lesionlabel.infers.answer import answer
from lesionlabel.infers.asked import read_request
from lesionlabel.infers.desk import Desk
from lesionlabel.lesions.errors import InputError, IntegrityError, NoModelError, OutsideVolumeError
from lesionlabel.lesions.phase import Phase
from lesionlabel.lesions.roi import cut_context, cut_roi
from lesionlabel.networks.paper_cnn import PaperCNN
from lesionlabel.registry.classifier import Classifier
from lesionlabel.settings import Settings

CYST = {"point": [35, 45, 12], "diameter_mm": 28}


def test_the_answer_is_the_serving_models_for_the_one_roi(desk, ct):
    given = desk.answer(ct, read_request(CYST))
    scores = [entry["score"] for entry in given.json["prediction"]]
    roi = cut_roi(cut_context(given.volume, given.contour))
    assert scores == pytest.approx(desk.versions.champion().probabilities(roi[None])[0].tolist(), abs=1e-6)
    assert sum(scores) == pytest.approx(1)
    assert [(entry["idx"], entry["label"]) for entry in given.json["prediction"]] == [
        (0, "cyst"),
        (1, "metastasis"),
        (2, "hemangioma"),
    ]
    assert given.json["model"]["version"] == desk.versions.champion().version
    assert given.json["model"]["sha256"] == desk.versions.champion().sha256


@pytest.mark.parametrize(
    "request_",
    [
        CYST,
        {"center_lps": [-26.0, -6.0, 66.0], "diameter_mm": 28},
        {"points": [[28, 45, 12], [42, 45, 12]]},
        {"points": [[35, 38, 12.3], [35, 52, 12]]},
    ],
)
def test_every_way_of_giving_a_diameter_is_the_same_lesion(desk, ct, request_):
    lesion = desk.answer(ct, read_request(request_)).json["lesion"]
    assert lesion["diameter_mm"] == pytest.approx(28, abs=0.1)
    assert lesion["centre_voxel"] == pytest.approx([35, 45, 12], abs=0.01)
    assert lesion["centre_lps"] == pytest.approx([-26, -6, 66], abs=0.01)
    assert lesion["slice"] == 12


def test_a_click_alone_is_outlined_by_the_segmenter(desk, ct):
    lesion = desk.answer(ct, read_request({"foreground": [[36, 46, 12]]})).json["lesion"]
    assert lesion["outlined_by"] == "segmented from a click"
    assert lesion["diameter_mm"] == pytest.approx(28, abs=5)


def test_native_indices_of_a_flipped_file_mean_the_same_place(desk, ct, tmp_path):
    straight = sitk.ReadImage(str(ct))
    sitk.WriteImage(sitk.DICOMOrient(straight, "RPS"), str(tmp_path / "flipped.nii.gz"))
    other = desk.answer(tmp_path / "flipped.nii.gz", read_request({"point": [60, 45, 12], "diameter_mm": 28})).json
    first = desk.answer(ct, read_request(CYST)).json
    assert other["lesion"]["centre_lps"] == first["lesion"]["centre_lps"]
    assert other["prediction"] == first["prediction"]
    assert other["lesion"]["centre_voxel"] == pytest.approx([60, 45, 12], abs=0.01)


@pytest.mark.parametrize(
    ("request_", "named"),
    [
        ({"point": [0, 0, 0], "diameter_mm": 20}, "in air"),
        ({"point": [500, 0, 0], "diameter_mm": 20}, "outside the volume"),
        ({"center_lps": [0, 0, 5000], "diameter_mm": 20}, "outside the volume"),
        ({"points": [[-50, 0, 12], [42, 45, 12]]}, "outside the volume"),
    ],
)
def test_a_point_outside_or_in_air_is_refused(desk, ct, request_, named):
    with pytest.raises(OutsideVolumeError, match=named):
        desk.answer(ct, read_request(request_))


def test_two_points_in_different_slices_are_refused(desk, ct):
    with pytest.raises(InputError, match=r"different axial slices \(12 and 15\)"):
        desk.answer(ct, read_request({"points": [[28, 45, 12], [42, 45, 15]]}))


def test_a_small_lesion_gets_no_type_but_its_measurements(desk, ct):
    found = desk.answer(ct, read_request({"point": [35, 45, 12], "diameter_mm": 9.4})).json
    assert found["prediction"] == []
    assert found["answered"] is False
    assert "too small to characterise" in found["why_not"]
    assert found["densities"]["mean_hu"] == pytest.approx(8, abs=5)


def test_every_answer_says_what_the_evidence_demands(desk, ct):
    found = desk.answer(ct, read_request(CYST)).json
    notes = found["reader_notes"]
    assert notes[0] == "Chooses only among cyst, metastasis and hemangioma; HCC, abscess, FNH and others will be misnamed."
    text = " ".join(notes)
    assert "not for clinical use" in text
    assert "trained on simulated images only" in text
    assert "diameter 28.0 mm, slice 12" in text
    assert "cyst 33 %, metastasis 33 %, hemangioma 33 %" in text
    assert found["densities"]["mean_hu"] == pytest.approx(8, abs=4)
    assert re.search(r"about (35|40) %", found["display"])


def test_another_phase_is_refused_until_the_reader_overrides_it(desk, ct):
    volume = desk.open(ct).volume
    arterial = Phase("arterial", "The scan looks arterial.", 300.0)
    classifier = desk.versions.champion()
    refused = answer(volume, read_request(CYST), classifier, desk.segmenter, arterial)
    assert refused.json["prediction"] == []
    assert "looks arterial" in refused.json["why_not"]
    assert refused.label is None
    overridden = answer(volume, read_request({**CYST, "override_phase": True}), classifier, desk.segmenter, arterial)
    assert len(overridden.json["prediction"]) == 3
    assert any("overridden" in note and "arterial" in note for note in overridden.json["reader_notes"])


def brightness_classifier(manifest, limit):
    """A real network whose weights are set by hand: metastasis where the ROI's middle is brighter than limit, else cyst."""
    network = PaperCNN(3)
    middle = torch.zeros(6, 6)
    middle[2:4, 2:4] = 0.25
    with torch.no_grad():
        for layer in (network.conv1, network.conv2, network.conv3):
            layer.weight[0, 0, 1, 1] = 1.0
        network.dense.weight[0, :36] = middle.flatten()
        network.head.weight[1, 0] = 100.0
        network.head.bias[1] = -100.0 * limit
    return Classifier(network, manifest, "0" * 64, torch.device("cpu"))


def test_an_outline_full_of_air_gets_no_type_but_the_shares_and_its_measurements(desk, ct):
    # At the body's edge: the middle is tissue, half of the circle is air.
    given = desk.answer(ct, read_request({"point": [88, 48, 12], "diameter_mm": 40}))
    assert given.json["prediction"] == []
    assert given.json["answered"] is False
    assert re.search(r"Of the outlined pixels \d\d % are below -200 HU \(lung, air\) and 0 % above", given.json["why_not"])
    assert given.json["why_not"] in given.json["reader_notes"]
    assert given.json["display"] == "no type: lung, air or bone in the outline"
    assert given.json["lesion"]["diameter_mm"] == pytest.approx(40, abs=0.1)


def test_changes_with_slice_when_a_neighbouring_slice_disagrees(desk, ct):
    image = desk.open(ct)
    classifier = brightness_classifier(desk.versions.champion().manifest, 0.48)
    # At the cyst's upper end the next slice holds liver again.
    at_end = read_request({"point": [35, 45, 16], "diameter_mm": 12})
    found = answer(image.volume, at_end, classifier, desk.segmenter, image.phase).json
    assert found["changes_with_slice"] is True
    assert any(note.startswith("Changes with slice") for note in found["reader_notes"])
    middle = answer(image.volume, read_request(CYST), classifier, desk.segmenter, image.phase).json
    assert middle["changes_with_slice"] is False


def test_a_phantoms_image_is_called_simulated(desk, ct):
    image = desk.open(ct)
    found = answer(image.volume, read_request(CYST), desk.versions.champion(), desk.segmenter, image.phase, simulated=True).json
    assert found["simulated"] is True
    assert "This image is simulated or synthetic: it is no patient's." in found["reader_notes"]


def test_without_a_model_nothing_is_answered(ct, tmp_path):
    with pytest.raises(NoModelError):
        Desk(Settings(home=tmp_path, allow_starter=False)).answer(ct, read_request(CYST))


def test_a_changed_champion_is_named_and_not_used(ct, tmp_path, promote_untrained):
    settings = Settings(home=tmp_path, device="cpu")
    version = promote_untrained(settings)
    weights = next((settings.versions_folder / version).rglob("*.safetensors"))
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(bytes(content))
    with pytest.raises(IntegrityError, match=version):
        Desk(settings).answer(ct, read_request(CYST))


def test_a_promotion_is_seen_without_a_restart(ct, tmp_path, promote_untrained):
    settings = Settings(home=tmp_path, device="cpu", allow_starter=False)
    desk = Desk(settings)
    with pytest.raises(NoModelError):
        desk.answer(ct, read_request(CYST))
    version = promote_untrained(settings)
    assert desk.answer(ct, read_request(CYST)).json["model"]["version"] == version


def test_a_replaced_image_is_opened_anew(desk, tmp_path, tiny_ct):
    tiny_ct(tmp_path / "a.nii.gz", seed=1)
    first = desk.answer(tmp_path / "a.nii.gz", read_request(CYST)).json
    tiny_ct(tmp_path / "b.nii.gz", seed=2)
    (tmp_path / "b.nii.gz").replace(tmp_path / "a.nii.gz")
    assert desk.answer(tmp_path / "a.nii.gz", read_request(CYST)).json["densities"] != first["densities"]


def test_answers_are_immutable_records(desk, ct):
    with pytest.raises(dataclasses.FrozenInstanceError):
        desk.answer(ct, read_request(CYST)).label = "cyst"


def test_a_file_may_have_any_name(desk, ct, tmp_path):
    shutil.copy(ct, tmp_path / "my ct (1).nii.gz")
    assert desk.answer(tmp_path / "my ct (1).nii.gz", read_request(CYST)).json["answered"]


def test_a_folder_of_dicom_files_marked_as_synthetic_is_called_simulated(desk, ct, tmp_path, monkeypatch):
    volume = desk.open(ct).volume
    marked = dataclasses.replace(volume, info={"simulated": True})
    monkeypatch.setattr(desk.store, "open", lambda path: marked)
    assert desk.answer(tmp_path, read_request(CYST)).json["simulated"] is True


@pytest.mark.parametrize(("diameter_mm", "told"), [(36, False), (60, True)])
def test_the_edge_is_told_only_where_the_roi_itself_reaches_outside(desk, ct, diameter_mm, told):
    notes = desk.answer(ct, read_request({"point": [20, 48, 12], "diameter_mm": diameter_mm})).json["reader_notes"]
    assert any("edge of the image" in note for note in notes) == told
