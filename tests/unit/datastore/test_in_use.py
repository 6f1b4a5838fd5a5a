from dataclasses import replace

import pytest
import torch

from lesionlabel.datastore.answers import AnswerLog
from lesionlabel.datastore.curate import Curator
from lesionlabel.datastore.curated import CuratedDatastore
from lesionlabel.datastore.in_use import in_use
from lesionlabel.imaging.sidecar import read_sidecar
from lesionlabel.imaging.store import VolumeStore
from lesionlabel.lesions.errors import InputError
from lesionlabel.networks.paper_cnn import PaperCNN
from lesionlabel.registry.versions import Versions
from lesionlabel.settings import Settings

CANDIDATE = "20260102T000000Z-11111111"


@pytest.fixture
def site(tmp_path, tiny_ct, tiny_label, promote_untrained):
    """Settings and a datastore with five cases, two lesions each; what serves always says cyst, the candidate metastasis."""
    settings = Settings(home=tmp_path / "home", device="cpu")
    promote_untrained(settings)
    versions = Versions(settings)
    manifest = replace(versions.champion().manifest, trained_on="patients", files={})
    for index, version in enumerate(("20260101T120000Z-00000001", CANDIDATE)):
        network = PaperCNN(3, torch.Generator().manual_seed(1))
        network.head.weight.data.zero_()
        network.head.bias.data.copy_(torch.eye(3)[index] * 5)
        versions.add(network, replace(manifest, version=version, created=f"2026-01-0{index + 1}T00:00:00+00:00"))
    versions.promote("20260101T120000Z-00000001", "a test", "always says cyst", override=True)
    store, answers = VolumeStore(settings.volumes_folder, 2**30), AnswerLog(tmp_path / "answers")
    for number in range(5):
        tiny_ct(tmp_path / "studies" / f"case{number}.nii.gz", seed=number)
    tiny_label(tmp_path / "label.nii.gz", {"cyst": 1, "metastasis": 2})
    datastore = CuratedDatastore(tmp_path / "studies", Curator(store.open, settings.classes, answers))
    for number in range(5):
        info = {"label_info": [{"name": "cyst", "idx": 1}, {"name": "metastasis", "idx": 2}], "saw_model": number == 1}
        datastore.save_label(f"case{number}", str(tmp_path / "label.nii.gz"), "final", info)
    return settings, datastore


def test_only_blind_cases_count_that_no_model_chose_of_patients_that_nobody_has_seen(site, tmp_path):
    settings, datastore = site
    # case1 was decided with the answer in sight, case2 was offered by active learning, the patient of case3 has trained.
    datastore.update_image_info("case2", {"strategy": {"most_informative": {"ts": 1}}})
    datastore.update_image_info("case0", {"strategy": {"random": {"ts": 1}}})
    versions = Versions(settings)
    seen = read_sidecar(tmp_path / "studies", "case3").patient
    loaded = versions.get(CANDIDATE)
    newer = replace(loaded.manifest, version="20260103T000000Z-22222222", patients=(seen,), files={})
    versions.add(versions.load(loaded.folder)._network, newer)

    found = in_use(settings, tmp_path / "studies", newer.version)
    assert (found.lesions, found.patients, found.left_out) == (4, 2, 2)
    assert found.right is not None
    assert [interval.value for interval in found.right] == [0.5, 0.5]
    assert {name: test.difference for name, test in found.classes.items()} == {"cyst": -1.0, "metastasis": 1.0}
    # What serves calls both metastases cysts.
    assert found.malignant_called_benign == (0, 2)
    assert "of 2 patients decided blind" in found.to_text()
    assert found.to_json()["right"]["champion"]["value"] == 0.5


def test_a_reader_who_gives_in_to_the_answer_is_still_counted_as_decided_before_it(site, tmp_path):
    """Or what the model gets wrong would leave the evidence as soon as its reader believes it."""
    settings, datastore = site
    info = {"label_info": [{"name": "cyst", "idx": 1}, {"name": "cyst", "idx": 2}], "saw_model": True}
    datastore.save_label("case0", str(tmp_path / "label.nii.gz"), "final", info)
    found = in_use(settings, tmp_path / "studies", CANDIDATE)
    assert (found.lesions, found.right and found.right[1].value) == (8, 0.5)


def test_lesions_from_before_the_candidate_do_not_count(site, tmp_path):
    settings, _ = site
    versions = Versions(settings)
    loaded = versions.get(CANDIDATE)
    newer = replace(loaded.manifest, version="20990101T000000Z-33333333", created="2099-01-01T00:00:00+00:00", files={})
    versions.add(versions.load(loaded.folder)._network, newer)
    found = in_use(settings, tmp_path / "studies", newer.version)
    assert (found.lesions, found.right) == (0, None)
    assert "no lesion was decided blind" in found.to_text()


def test_what_serves_is_not_compared_with_itself(site, tmp_path):
    settings, _ = site
    with pytest.raises(InputError, match="serves already"):
        in_use(settings, tmp_path / "studies", "20260101T120000Z-00000001")
