import numpy as np
import pytest

from lesionlabel.registry.generators import GeneratorVersions
from lesionlabel.settings import Settings

NAMES = ("gan_cyst", "gan_metastasis", "gan_hemangioma", "acgan")


@pytest.fixture
def versions(tmp_path):
    return lambda name: GeneratorVersions(Settings(home=tmp_path / "home", device="cpu"), name)


@pytest.mark.parametrize("name", NAMES)
def test_each_starter_serves_until_another_is_promoted_and_says_that_it_was_trained_on_the_phantom(versions, name):
    store = versions(name)
    manifest = store.champion().manifest
    assert manifest.trained_on == "phantom"
    assert set(manifest.patients).isdisjoint(manifest.held_out)
    assert set(manifest.quality) == set(manifest.memorisation) == set(manifest.class_names)
    card = (store.starter_folder() / "docs" / "README.md").read_text()
    assert "says nothing about patients" in card
    assert f"Copies of patients: {manifest.outcome}" in card
    assert not any(patient in card for patient in manifest.patients)
    assert sum(path.stat().st_size for path in store.starter_folder().rglob("*") if path.is_file()) < 4e6


def test_the_starters_cysts_are_dark_in_the_middle_as_cysts_are(versions):
    rois = versions("gan_cyst").champion().sample_all(64, 1)
    middle, corner = rois[:, 24:40, 24:40].mean(axis=(1, 2)), rois[:, :8, :8].mean(axis=(1, 2))
    hu = middle * 340 - 100
    assert np.median(hu) < 40
    assert np.mean(middle < corner) > 0.5
