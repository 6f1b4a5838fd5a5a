"""The click segmenter in the box is whole, was trained on simulated scenes only, and says what it can do."""

import shutil

import pytest

from lesionlabel.clicks.measure import BANDS_MM
from lesionlabel.clicks.training import ClickConfig
from lesionlabel.lesions.errors import InputError, IntegrityError, NoModelError
from lesionlabel.registry.manifest import read_manifest
from lesionlabel.registry.segmenter_bundle import SegmenterManifest, load_segmenter
from lesionlabel.registry.train_segmenter import SegmenterRecipe, train_starter_segmenter
from lesionlabel.registry.versions import starter_folder

FOLDER = starter_folder("lesion_segmenter")


def test_it_has_seen_no_patient_and_its_card_has_its_figures():
    manifest = read_manifest(FOLDER, SegmenterManifest)
    assert manifest.trained_on == "phantom"
    assert manifest.patients == ()
    card = (FOLDER / "docs" / "README.md").read_text()
    assert "not for clinical use" in card.lower()
    assert "says nothing about patients" in card
    assert set(manifest.evaluation["dice"]) == {f"{low:.0f}-{high:.0f} mm" for low, high in BANDS_MM}
    assert len(manifest.snapshot) == 64
    # In a few scenes too little of the lesion lies in the slice to be clicked.
    scenes = manifest.config["abdomens"] * manifest.config["scenes_each"]
    assert 0.98 * scenes < manifest.class_counts["lesion"] <= scenes
    for band, figures in manifest.evaluation["dice"].items():
        [row] = [line for line in card.splitlines() if line.startswith(f"| {band.replace('-', '–')} | {figures['clicks']} | ")]
        assert float(row.split("|")[3]) == pytest.approx(figures["median_dice"], abs=0.006)
    assert sum(path.stat().st_size for path in FOLDER.rglob("*") if path.is_file()) < 4e6


def test_changed_weights_are_not_used(tmp_path):
    folder = tmp_path / "segmenter"
    shutil.copytree(FOLDER, folder)
    weights = folder / "models" / "model.safetensors"
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(IntegrityError, match=r"model.safetensors does not match"):
        load_segmenter(folder)


def test_none_is_made_up_where_there_is_none(tmp_path):
    with pytest.raises(NoModelError, match="install LesionLabel again"):
        load_segmenter(tmp_path)


def test_its_one_command_makes_a_bundle_that_loads_and_says_how_it_was_measured(tmp_path):
    training = ClickConfig(epochs=1, batch=4, width=6, device="cpu")
    tiny = SegmenterRecipe(abdomens=1, scenes_each=2, measured=1, measured_scenes=2, training=training)
    manifest = train_starter_segmenter(tmp_path / "segmenter", tiny)
    assert load_segmenter(tmp_path / "segmenter").version == manifest.version
    assert manifest.config["training"]["steps"] >= 1
    said = manifest.evaluation["said"]
    assert {entry["there"] for entry in said} <= {"lesion", "vessel", "liver", "outside the liver"}
    assert 2 <= sum(entry["clicks"] for entry in said) <= 8


def test_it_is_never_measured_on_what_it_trained_on():
    with pytest.raises(InputError, match="both trains and measures"):
        SegmenterRecipe(seed=900)
    with pytest.raises(InputError, match="both trains and measures"):
        SegmenterRecipe(seed=899, abdomens=33)
