"""Synthetic images over REST and as 3D Slicer's stock client asks for them, against a real server."""

import io
import json
import zipfile
from pathlib import Path

import httpx
import numpy as np
import pydicom
import pytest
import SimpleITK as sitk
from PIL import Image

pytestmark = [
    pytest.mark.acceptance,
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


def ask(server, model: str, params: dict, output: str = "image") -> httpx.Response:
    return httpx.post(f"{server.url}/infer/{model}?output={output}", data={"params": json.dumps(params)}, timeout=60)


@pytest.mark.parametrize(("format", "ending"), [("nifti", ".nii.gz"), ("png", ".png"), ("npy", ".npy"), ("dicom", ".zip")])
def test_each_format_comes_as_a_file_named_synthetic(server, format, ending):
    response = ask(server, "generate_cyst", {"n": 5, "seed": 7, "format": format})
    assert response.status_code == 200, response.text
    name = response.headers["content-disposition"]
    assert 'filename="SYNTHETIC-cyst-gan-cyst' in name
    assert ending in name
    content = io.BytesIO(response.content)
    if format == "png":
        assert "SYNTHETIC" in str(Image.open(content).info)
    if format == "npy":
        rois = np.load(content, allow_pickle=False)
        assert rois.shape == (5, 64, 64)
        assert 0 <= rois.min() < rois.max() <= 1
    if format == "dicom":
        with zipfile.ZipFile(content) as archive:
            assert len(archive.namelist()) == 5
            first = pydicom.dcmread(io.BytesIO(archive.read(archive.namelist()[0])))
        assert first[0x0008, 0x001C].value in ("YES", b"YES")
        assert first.ImageType[:2] == ["DERIVED", "SECONDARY"]


def test_the_same_seed_and_version_give_the_same_images(server):
    asked = {"n": 4, "seed": 11, "format": "npy"}
    first, again = (ask(server, "generate_metastasis", asked).content for _ in range(2))
    assert first == again
    assert ask(server, "generate_metastasis", {**asked, "seed": 12}).content != first
    assert ask(server, "generate_metastasis", {**asked, "version": "20260101T000000Z-00000000"}).content == first


def test_the_json_says_that_it_is_synthetic_and_how_the_generator_did(server):
    found = ask(server, "generate", {"label": "hemangioma", "n": 2, "seed": 1}, "json").json()
    assert found["synthetic"] is True
    assert found["label"] == "hemangioma"
    assert found["memorisation"] == "fit"
    assert any("no patient's" in note for note in found["reader_notes"])
    assert "pseudonym" not in json.dumps(found)


@pytest.mark.parametrize(
    ("model", "params", "status", "words"),
    [
        ("generate_cyst", {"n": 0}, 422, "n must be a whole number from 1 to 1000"),
        ("generate_cyst", {"n": -4}, 422, "n must be a whole number from 1 to 1000"),
        ("generate_cyst", {"n": 1_000_000}, 422, "n must be a whole number from 1 to 1000"),
        ("generate_cyst", {"n": "many"}, 422, "n must be a whole number"),
        ("generate_cyst", {"seed": 1.5}, 422, "seed must be a whole number"),
        ("generate_cyst", {"seed": "x"}, 422, "seed must be a whole number"),
        ("generate_cyst", {"truncation": 3}, 422, "truncation"),
        ("generate_cyst", {"format": "jpeg"}, 422, "Allowed: nifti, png, npy, dicom"),
        ("generate_cyst", {"label": "metastasis"}, 422, "makes cyst"),
        ("generate", {}, 422, "no class was named"),
        ("generate", {"label": "abscess"}, 422, "abscess"),
        ("generate_cyst", {"version": "20990101"}, 404, "No version"),
        ("generate_abscess", {}, 404, "No model"),
    ],
)
def test_what_cannot_be_made_is_refused_in_words(server, model, params, status, words):
    response = ask(server, model, params)
    assert response.status_code == status, response.text
    assert words in response.text


def test_weights_that_do_not_match_their_hash_are_not_used(server):
    weights = server.home / "generators" / "gan_hemangioma" / "20260101T000000Z-00000000" / "models" / "model.safetensors"
    content = weights.read_bytes()
    manifest = weights.parents[1] / "manifest.json"
    before = manifest.stat()
    try:
        weights.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        # As a restore from a damaged backup would: the file is newer, so the server looks at it again.
        manifest.touch()
        response = ask(server, "generate_hemangioma", {"n": 1})
        assert response.status_code == 503
        assert "does not match the hash" in response.text
    finally:
        weights.write_bytes(content)
        manifest.touch()
    assert ask(server, "generate_hemangioma", {"n": 1}).status_code == 200
    assert before.st_size == manifest.stat().st_size


def test_stock_slicer_gets_a_file_from_the_generators_also_where_it_asks_for_a_mask(client):
    file, found = client.infer("generate_cyst", "", {"n": 3, "seed": 2, "result_extension": ".nrrd", "result_dtype": "uint8"})
    assert found["synthetic"] is True
    volume = sitk.ReadImage(file, imageIO="NiftiImageIO")
    assert volume.GetSize() == (64, 64, 3)
    assert volume.GetMetaData("descrip").startswith("SYNTHETIC")


def test_stock_slicers_next_sample_opens_a_synthetic_volume_that_is_counted_and_trained_on_nowhere(
    client, server, tmp_path, tiny_label
):
    before = client.info()["datastore"]
    sample = client.next_sample("synthesise_cyst", {"n": 6})
    assert sample["id"].startswith("SYNTHETIC-")
    assert sample["synthetic"] is True
    assert sample["name"].endswith(".nii.gz")
    downloaded = httpx.get(f"{server.url}/datastore/image?image={sample['id']}")
    assert downloaded.content == Path(sample["path"]).read_bytes()
    assert sitk.ReadImage(sample["path"]).GetSize() == (64, 64, 6)
    other = client.next_sample("synthesise_cyst", {"n": 6})
    assert other["id"] != sample["id"]
    chosen = client.next_sample("synthesise_cyst", {"n": 6, "seed": sample["seed"]})
    assert chosen["id"] == sample["id"]

    after = client.info()["datastore"]
    assert (after["total"], after["completed"]) == (before["total"], before["completed"])
    listed = httpx.get(f"{server.url}/datastore/?output=all").json()
    assert sample["id"] not in json.dumps(listed)
    for strategy in ("random", "first", "uncertainty", "diversity", "uncertainty_and_diversity"):
        assert not client.next_sample(strategy, {})["id"].startswith("SYNTHETIC")

    tiny_label(tmp_path / "label.nii.gz", {"cyst": 1})
    saved = httpx.put(
        f"{server.url}/datastore/label?image={sample['id']}",
        files={"label": ("a.nii.gz", (tmp_path / "label.nii.gz").read_bytes())},
    )
    assert saved.status_code == 422
    assert "never taken as patient data" in saved.text
    again = httpx.put(
        f"{server.url}/datastore/image?image=renamed", files={"file": ("renamed.nii.gz", downloaded.content)}, timeout=30
    )
    assert again.status_code == 422
    assert "synthetic" in again.text


def test_a_synthetic_volume_that_lost_its_header_is_still_not_taken(server, client, tmp_path):
    sample = client.next_sample("synthesise_metastasis", {"n": 4, "seed": 5})
    volume = sitk.ReadImage(sample["path"])
    plain = sitk.GetImageFromArray(sitk.GetArrayFromImage(volume))
    sitk.WriteImage(plain, str(tmp_path / "saved.nrrd"))
    response = httpx.put(
        f"{server.url}/datastore/image?image=saved", files={"file": ("saved.nrrd", (tmp_path / "saved.nrrd").read_bytes())}
    )
    assert response.status_code == 422
    assert "synthetic" in response.text


def test_all_training_means_the_classifiers_unless_a_generator_is_named(server):
    response = httpx.post(f"{server.url}/train/gan_cyst", json={"network": "stylegan"})
    assert response.status_code == 422
    assert "network must be one of dcgan, modern" in response.text
    assert httpx.post(f"{server.url}/train/gan_abscess", json={}).status_code == 404
