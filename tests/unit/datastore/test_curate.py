import numpy as np
import pytest

from lesionlabel.datastore.curate import Curator
from lesionlabel.datastore.segments import LabelError
from lesionlabel.imaging.same_voxels import voxels_digest
from lesionlabel.lesions.classes import DEFAULT_CLASSES


@pytest.fixture
def curate(tmp_path, store, answers, tiny_ct, tiny_label):
    tiny_ct(tmp_path / "ct.nii.gz")
    curator = Curator(store.open, DEFAULT_CLASSES, answers)

    def run(values, image=None, **info):
        tiny_label(tmp_path / "label.nii.gz", values)
        return curator("ct", image or tmp_path / "ct.nii.gz", tmp_path / "label.nii.gz", info)

    return run


def named(*names):
    return [{"name": name, "idx": position} for position, name in enumerate(names, start=1)]


def test_each_component_of_a_class_becomes_a_lesion_with_reader_time_and_proof(curate):
    result = curate(
        {"cyst": 1, "metastasis": 2}, label_info=named("Cyst", "METASTASIS", "hemangioma"), client_id="r", proof="pathology"
    )
    first, second = result["lesions"]
    assert (first["label"], second["label"]) == ("cyst", "metastasis")
    assert first["diameter_mm"] == pytest.approx(28, abs=4)
    assert (first["slice"], second["slice"]) == (12, 10)
    assert np.mean(first["contour"], axis=0) == pytest.approx([35, 45], abs=0.5)
    assert (first["reader"], first["proof"], first["saw_model"]) == ("r", "pathology", False)
    assert first["curated_at"].endswith("+00:00")
    assert len({first["lesion_id"], second["lesion_id"]}) == 2
    assert result["curation_problem"] is None


def test_other_names_are_kept_and_reported_not_trained(curate):
    result = curate({"cyst": 1, "metastasis": 2}, label_info=named("cyst", "Abscess"))
    assert [lesion["label"] for lesion in result["lesions"]] == ["cyst"]
    assert [entry["name"] for entry in result["not_curated"]] == ["Abscess"]


@pytest.mark.parametrize("name", ["Other / none of these", "other", "None of  these"])
def test_none_of_the_classes_is_a_readers_decision(curate, name):
    result = curate({"cyst": 1, "metastasis": 2}, label_info=named("cyst", name))
    assert [lesion["label"] for lesion in result["lesions"]] == ["cyst", "other"]
    assert result["not_curated"] == []


def test_segments_without_names_are_reported_or_take_the_class_given_for_all(curate):
    assert curate({"cyst": 4})["not_curated"][0]["value"] == 4
    assert [lesion["label"] for lesion in curate({"cyst": 4}, **{"class": "hemangioma"})["lesions"]] == ["hemangioma"]


def test_a_part_below_five_millimetres_is_a_question(curate):
    result = curate({"dot": 1}, label_info=named("cyst"))
    assert result["lesions"] == []
    assert result["questions"][0]["label"] == "cyst"
    assert result["questions"][0]["slice"] == 12


@pytest.mark.parametrize(
    "info", [{"proof": "hearsay"}, {"label_info": "x"}, {"label_info": [{"name": "cyst", "idx": float("inf")}]}]
)
def test_what_cannot_be_curated_is_said_and_not_raised(curate, info):
    result = curate({"cyst": 1}, **info)
    assert result["lesions"] == []
    assert result["curation_problem"] or result["not_curated"]


def test_what_is_no_segmentation_on_the_images_grid_is_raised(curate):
    with pytest.raises(LabelError, match="no segment"):
        curate({})


def test_an_image_that_is_no_ct_is_said(curate, tmp_path):
    (tmp_path / "broken.nii.gz").write_bytes(b"x")
    assert "stored" in curate({"cyst": 1}, image=tmp_path / "broken.nii.gz")["curation_problem"]


def test_that_the_answer_was_seen_is_known_or_stated_and_that_it_was_not_is_never_taken_on_a_clients_word(curate, answers):
    assert curate({"cyst": 1}, client_id="r")["saw_model"] is False
    assert curate({"cyst": 1}, client_id="r", saw_model=False)["saw_model"] is False
    assert curate({"cyst": 1}, client_id="r", saw_model=True)["saw_model"] is True
    answers.record("ct", "other reader", "v1", 0.4)
    assert curate({"cyst": 1}, client_id="r")["saw_model"] is None
    assert curate({"cyst": 1}, client_id="r", saw_model=False)["saw_model"] is None
    answers.record("ct", "r", "v1", 0.4)
    assert curate({"cyst": 1}, client_id="r")["saw_model"] is True
    assert curate({"cyst": 1}, client_id="r", saw_model=False)["saw_model"] is True


def test_a_damaged_sidecar_is_said_without_the_servers_folders_and_never_raised(curate, tmp_path):
    (tmp_path / "ct.series.json").write_text("{ half")
    result = curate({"cyst": 1}, label_info=named("cyst"))
    assert result["lesions"] == []
    assert "stored" in result["curation_problem"]
    assert str(tmp_path) not in curate({"cyst": 1}, image=tmp_path / "gone.nii.gz")["curation_problem"]


def test_an_answer_seen_before_the_image_was_stored_counts_as_seen(curate, answers, store, tmp_path):
    voxels = voxels_digest(store.open(tmp_path / "ct.nii.gz"))
    answers.unstored.record(voxels, "other reader", "v1", 0.4)
    assert curate({"cyst": 1}, label_info=named("cyst"), client_id="r")["saw_model"] is None
    answers.unstored.record(voxels, "r", "v1", 0.4)
    assert curate({"cyst": 1}, label_info=named("cyst"), client_id="r")["lesions"][0]["saw_model"] is True
