import base64
import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lesionlabel.datastore.answers import AnswerLog
from lesionlabel.datastore.curate import Curator
from lesionlabel.datastore.curated import CuratedDatastore
from lesionlabel.infers import similar as module
from lesionlabel.infers.desk import Desk
from lesionlabel.infers.explain import Explainer
from lesionlabel.infers.similar import NONE_CURATED, PATIENT_UNKNOWN, SimilarLesions
from lesionlabel.lesions.errors import InputError
from lesionlabel.lesions.roi import cut_context, cut_roi
from lesionlabel.settings import Settings

NAMED = [{"name": "cyst", "idx": 1}, {"name": "metastasis", "idx": 2}]
CYST = {"point": [35, 45, 12], "diameter_mm": 28, "override_phase": True}
#: image -> (pseudonym, simulated)
IMAGES = {
    "asked": ("p-1", False),
    "same_patient": ("p-1", False),
    "other_a": ("p-2", False),
    "other_b": ("p-3", False),
    "generated": ("p-4", False),
    "phantom-1": ("phantom-1", True),
}


@pytest.fixture(scope="module")
def site(tmp_path_factory, tiny_ct, tiny_label, promote_untrained):
    folder = tmp_path_factory.mktemp("similar")
    settings = Settings(home=folder / "home", device="cpu")
    promote_untrained(settings)
    desk, studies = Desk(settings), folder / "studies"
    answers = AnswerLog.of_studies(studies)
    for seed, (image, (patient, simulated)) in enumerate(IMAGES.items()):
        tiny_ct(studies / f"{image}.nii.gz", seed=seed)
        record = {"image": image, "patient": patient, "simulated": simulated, "info": {}, "source": {}}
        (studies / f"{image}.series.json").write_text(json.dumps(record))
    datastore = CuratedDatastore(studies, Curator(desk.store.open, settings.classes, answers))
    tiny_label(folder / "label.nii.gz", {"cyst": 1, "metastasis": 2})
    for image in IMAGES:
        info = {"label_info": NAMED, "proof": "follow-up", "reader": "reader-1"}
        datastore.save_label(image, str(folder / "label.nii.gz"), "final", info)
    # A second reader calls both lesions of one image cysts, with less proof.
    second = {"label_info": [{"name": "cyst", "idx": 1}, {"name": "cyst", "idx": 2}], "reader": "reader-2"}
    datastore.save_label("other_b", str(folder / "label.nii.gz"), "final", second)
    datastore.update_image_info("generated", {"synthetic": True})
    return desk, datastore


@pytest.fixture
def explainer(site):
    desk, datastore = site
    return Explainer(desk, SimilarLesions(datastore, desk.store, desk.settings.classes), datastore.studies)


def ask(explainer, site, image="asked", **more):
    found, _ = explainer.similar(image, Path(site[1].get_image_uri(image)), {**CYST, "count": 10, **more})
    return found


def test_only_curated_lesions_of_other_real_patients_are_shown_nearest_first(explainer, site):
    found = ask(explainer, site)
    assert {entry["image"] for entry in found["similar"]} == {"other_a", "other_b"}
    assert (found["curated"], found["compared"]) == (4, 4)
    assert PATIENT_UNKNOWN not in found["sentence"]
    distances = [entry["distance"] for entry in found["similar"]]
    assert distances == sorted(distances)
    # The tiny CT's cysts look alike whatever the noise, and unlike its metastases.
    by_class = {entry["centre_lps"][0] for entry in found["similar"][:2]}
    assert all(x == pytest.approx(-26, abs=1) for x in by_class)


def test_proof_readers_and_disagreement_come_with_each(explainer, site):
    entries = {(entry["image"], round(entry["centre_lps"][0], -1)): entry for entry in ask(explainer, site)["similar"]}
    clear, disputed = entries["other_a", -30], entries["other_b", 30]
    assert (clear["class"], clear["proof"], clear["disputed"], clear["said"]) == ("cyst", "follow-up", False, {"cyst": 1})
    assert (disputed["class"], disputed["agreement"]) == ("metastasis", "by proof")
    assert disputed["said"] == {"metastasis": 1, "cyst": 1}
    assert "reader-1" not in json.dumps(disputed)


def test_the_picture_is_the_roi(explainer, site):
    desk, datastore = site
    entry = ask(explainer, site)["similar"][0]
    picture = Image.open(io.BytesIO(base64.b64decode(entry["picture"])))
    lesion = next(
        settled.lesion for settled in datastore.readings.settled(entry["image"]) if settled.lesion.lesion_id == entry["lesion_id"]
    )
    roi = cut_roi(cut_context(desk.store.open(Path(datastore.get_image_uri(entry["image"]))), lesion.contour))
    assert np.array_equal(np.asarray(picture), np.rint(roi * 255).astype(np.uint8))


def test_simulated_lesions_are_never_shown_beside_real_ones(explainer, site):
    found = ask(explainer, site, "phantom-1")
    assert found["simulated"] is True
    assert found["similar"] == []
    assert found["sentence"] == NONE_CURATED
    assert not any(entry["simulated"] for entry in ask(explainer, site)["similar"])


def test_the_same_pixels_under_another_pseudonym_are_not_another_patient(explainer, site, tiny_ct):
    _, datastore = site
    tiny_ct(datastore.studies / "copy.nii.gz", seed=list(IMAGES).index("other_a"))
    try:
        found = ask(explainer, site, "copy")
        assert {entry["image"] for entry in found["similar"]} == {"asked", "same_patient", "other_b"}
        assert PATIENT_UNKNOWN in found["sentence"]
    finally:
        (datastore.studies / "copy.nii.gz").unlink()


def test_what_could_not_be_compared_in_time_is_said_and_compared_the_next_time(explainer, site, monkeypatch):
    monkeypatch.setattr(module, "PATIENCE_S", -1.0)
    assert "0 of 4 could be compared so far" in ask(explainer, site)["sentence"]
    monkeypatch.undo()
    assert ask(explainer, site)["compared"] == 4
    monkeypatch.setattr(module, "PATIENCE_S", -1.0)
    assert ask(explainer, site)["compared"] == 4


def test_a_heat_map_is_of_the_class_that_is_asked_for_and_of_no_other(explainer, site):
    path = Path(site[1].get_image_uri("asked"))
    made, given, label = explainer.heat_map(path, CYST)
    other, _, named = explainer.heat_map(path, {**CYST, "class": "hemangioma"})
    try:
        assert (label, named) == (given.label, "hemangioma")
        assert "NOT-EVIDENCE" in made.name
        assert b"NOT EVIDENCE" in made.read_bytes()[:4096]
        assert made.read_bytes() != other.read_bytes()
    finally:
        made.unlink()
        other.unlink()
    with pytest.raises(InputError, match="'abscess' is no class"):
        explainer.heat_map(path, {**CYST, "class": "abscess"})


@pytest.mark.parametrize("request_", [{"point": [35, 45, 12], "diameter_mm": 6, "override_phase": True}])
def test_where_no_type_is_given_there_is_nothing_to_explain(explainer, site, request_):
    path = Path(site[1].get_image_uri("asked"))
    with pytest.raises(InputError, match=r"nothing to explain.*too small to characterise"):
        explainer.heat_map(path, request_)
    with pytest.raises(InputError, match="nothing to explain"):
        explainer.similar("asked", path, request_)


@pytest.mark.parametrize("count", [0.5, 11, "many"])
def test_a_count_that_is_none_is_refused(explainer, site, count):
    with pytest.raises(InputError, match="count must be"):
        ask(explainer, site, count=count)
