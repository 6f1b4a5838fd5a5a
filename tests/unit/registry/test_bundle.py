import json
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from monai.bundle.config_parser import ConfigParser
from scipy.special import softmax

from lesionlabel.lesions.errors import InputError, IntegrityError, NoModelError
from lesionlabel.registry.bundle import load_classifier, save_bundle
from lesionlabel.registry.manifest import Manifest, read_manifest


@pytest.fixture
def bundle(tmp_path, network, manifest):
    save_bundle(tmp_path / "bundle", network, manifest, "Accuracy 80 % [70, 90].")
    return tmp_path / "bundle"


@pytest.fixture
def rois():
    return np.random.default_rng(0).random((7, 64, 64), dtype=np.float32)


def test_probabilities_are_the_networks_logits_divided_by_the_temperature(bundle, network, rois):
    classifier = load_classifier(bundle)
    logits = network(torch.from_numpy(rois)[:, None]).detach().double().numpy()
    probabilities = classifier.probabilities(rois)
    np.testing.assert_allclose(probabilities, softmax(logits / 2.0, axis=1), atol=1e-7)
    assert probabilities.dtype == np.float64
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-12)
    name, score = classifier.predict(rois[0])[0]
    assert name == classifier.class_names[probabilities[0].argmax()]
    assert score == pytest.approx(probabilities[0].max(), abs=1e-6)
    assert classifier.class_mix == {"cyst": 0.2, "metastasis": 0.5, "hemangioma": 0.3}
    assert classifier.features(rois).shape == (7, 256)


def test_many_rois_at_once_are_answered_as_one_by_one(bundle):
    rois = np.random.default_rng(1).random((300, 64, 64), dtype=np.float32)
    classifier = load_classifier(bundle)
    with ThreadPoolExecutor(4) as pool:
        single = np.concatenate(list(pool.map(lambda roi: classifier.probabilities(roi[None]), rois[::20])))
    np.testing.assert_allclose(classifier.probabilities(rois)[::20], single, atol=1e-6)
    assert classifier.probabilities(rois[:0]).shape == (0, 3)


@pytest.mark.parametrize(
    "name", ["models/model.safetensors", "configs/metadata.json", "configs/inference.json", "docs/README.md", "LICENSE"]
)
def test_a_changed_file_is_named_and_nothing_is_used(bundle, name):
    content = bytearray((bundle / name).read_bytes())
    content[len(content) // 2] ^= 1
    (bundle / name).write_bytes(content)
    with pytest.raises(IntegrityError, match=name):
        load_classifier(bundle)


def test_a_missing_file_is_named(bundle):
    (bundle / "models/model.safetensors").unlink()
    with pytest.raises(IntegrityError, match=r"model\.safetensors"):
        load_classifier(bundle)


def test_a_manifest_that_reaches_outside_or_leaves_out_the_weights_is_refused(bundle):
    content = json.loads((bundle / "manifest.json").read_text())
    content["files"]["../other"] = "00"
    (bundle / "manifest.json").write_text(json.dumps(content))
    with pytest.raises(IntegrityError, match=r"\.\./other"):
        load_classifier(bundle)
    del content["files"]["../other"], content["files"]["models/model.safetensors"]
    (bundle / "manifest.json").write_text(json.dumps(content))
    with pytest.raises(IntegrityError, match=r"does not list models/model\.safetensors"):
        load_classifier(bundle)
    (bundle / "manifest.json").write_text("{}")
    with pytest.raises(IntegrityError, match="not complete"):
        load_classifier(bundle)


def test_no_bundle_is_no_model(tmp_path):
    with pytest.raises(NoModelError, match="train classifier"):
        load_classifier(tmp_path / "nothing")


def test_weights_for_other_classes_are_refused(tmp_path, network_of, manifest_of, bundle):
    with pytest.raises(InputError, match="2 classes"):
        save_bundle(tmp_path / "two", network_of(n_classes=2), manifest_of())
    save_bundle(tmp_path / "two", network_of(n_classes=2), manifest_of(class_counts={"a": 1, "b": 1}))
    # The same weights under a manifest with three classes, hashes right: the strict load must still refuse.
    three = json.loads((tmp_path / "two/manifest.json").read_text())
    three["class_names"], three["class_counts"] = ["a", "b", "c"], {"a": 1, "b": 1, "c": 1}
    (tmp_path / "two/manifest.json").write_text(json.dumps(three))
    with pytest.raises(IntegrityError, match="does not fit"):
        load_classifier(tmp_path / "two")


def test_nan_weights_are_never_kept(tmp_path, network, manifest):
    with torch.no_grad():
        network.head.bias[0] = float("nan")
    with pytest.raises(InputError, match="NaN"):
        save_bundle(tmp_path / "bad", network, manifest)
    assert list(tmp_path.iterdir()) == []


def test_a_bundle_is_replaced_only_when_asked_and_leaves_nothing_behind(tmp_path, bundle, network_of, manifest_of):
    with pytest.raises(InputError, match="never overwritten"):
        save_bundle(bundle, network_of(1), manifest_of("second"))
    save_bundle(bundle, network_of(1), manifest_of("second"), over=True)
    assert load_classifier(bundle).version == "second"
    assert [p.name for p in tmp_path.iterdir()] == ["bundle"]


@pytest.mark.parametrize(
    "rois", [np.zeros((64, 64)), np.zeros((1, 32, 64)), np.full((1, 64, 64), np.nan), np.full((1, 64, 64), 40.0)]
)
def test_what_is_no_roi_is_refused(bundle, rois):
    with pytest.raises(InputError, match="ROIs must"):
        load_classifier(bundle).probabilities(rois.astype(np.float32))


def test_manifest_survives_the_disk_and_the_card_lists_no_patient(bundle, manifest):
    read = read_manifest(bundle, Manifest)
    assert (read.patients, read.class_names, read.temperature) == (manifest.patients, manifest.class_names, 2.0)
    assert set(read.files) == {str(p.relative_to(bundle)) for p in bundle.rglob("*") if p.is_file()} - {"manifest.json"}
    card = (bundle / "docs/README.md").read_text()
    assert "secret-pseudonym" not in card
    for needed in (
        "not for clinical use",
        "HCC, abscess, FNH",
        "Trained on patients: 100 lesions of 2 patients",
        "80 % [70, 90]",
    ):
        assert needed in card


def test_phantom_card_says_that_it_says_nothing_about_patients(tmp_path, network, manifest_of):
    save_bundle(tmp_path / "b", network, manifest_of(trained_on="phantom"))
    card = (tmp_path / "b/docs/README.md").read_text()
    assert "Trained on the phantom" in card
    assert "says nothing about patients" in card
    assert "not evaluated" in card


@pytest.mark.filterwarnings("ignore:NvImgCodecPydicomReader:UserWarning")
def test_monai_runs_the_bundle_to_the_same_probabilities(bundle, rois, tmp_path):
    folder = tmp_path / "rois"
    folder.mkdir()
    for number, roi in enumerate(rois[:3]):
        np.save(folder / f"{number}.npy", roi)
    parser = ConfigParser()
    parser.read_config(str(bundle / "configs/inference.json"))
    parser.read_meta(str(bundle / "configs/metadata.json"))
    parser["bundle_root"], parser["dataset_dir"], parser["output_dir"] = str(bundle), str(folder), str(tmp_path / "out")
    parser.get_parsed_content("run")
    rows = (tmp_path / "out/predictions.csv").read_text().splitlines()
    written = np.array([[float(v) for v in row.split(",")[1:]] for row in rows])
    np.testing.assert_allclose(written, load_classifier(bundle).probabilities(rois[:3]), atol=1e-5)
    assert parser.get_parsed_content("_meta_::network_data_format::outputs::pred::channel_def")["1"] == "metastasis"
