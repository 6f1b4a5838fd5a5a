import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from lesionlabel.evaluation.outcome import Outcome
from lesionlabel.lesions.errors import InputError, IntegrityError, NoModelError, NotFoundError, UnknownClassError
from lesionlabel.networks.gans import build_generator
from lesionlabel.registry.bundle_folder import WEIGHTS_NAME
from lesionlabel.registry.generator_bundle import load_generator, save_generator
from lesionlabel.registry.generators import GeneratorVersions, generator_for, generator_names
from lesionlabel.settings import Settings


def test_every_configured_class_has_a_generator_and_all_have_one_together(settings):
    assert list(generator_names(settings)) == ["gan_cyst", "gan_metastasis", "gan_hemangioma", "acgan"]
    assert generator_for(settings, "Cyst") == generator_for(settings, "gan_cyst") == "gan_cyst"
    with pytest.raises(NotFoundError, match=r"No generator 'abscess'.*gan_cyst"):
        generator_for(settings, "abscess")


def test_classes_with_blanks_and_slashes_have_generators_too(tmp_path):
    def named(*names: str) -> Settings:
        tables = (f'[[class]]\nname = "{n}"\nsnomed = "1"\nmeaning = "x"\nbenign = true\ncolour = [1, 2, 3]\n' for n in names)
        (tmp_path / "classes.toml").write_text("".join(tables))
        return Settings(home=tmp_path, class_file=tmp_path / "classes.toml")

    settings = named("simple cyst", "FNH/adenoma")
    assert list(generator_names(settings)) == ["gan_simple_cyst", "gan_FNH_adenoma", "acgan"]
    assert generator_for(settings, "simple cyst") == generator_for(settings, "gan_simple_cyst") == "gan_simple_cyst"
    assert GeneratorVersions(settings, "FNH/adenoma").folder.parent == settings.generators_folder
    with pytest.raises(InputError, match="must differ in their letters"):
        generator_names(named("a b", "a/b"))


@pytest.mark.parametrize("arm", ["dcgan", "modern", "acgan"])
def test_the_same_seed_gives_the_same_rois_and_a_larger_n_only_adds_to_them(generator_of, arm):
    generator = generator_of(arm)
    few, many = generator.sample_all(3, 7, "cyst"), generator.sample_all(70, 7, "cyst")
    assert few.shape == (3, 64, 64)
    assert few.dtype == np.float32
    assert few.min() >= 0
    assert few.max() <= 1
    np.testing.assert_array_equal(few, many[:3])
    np.testing.assert_array_equal(few, generator.sample_all(3, 7, "cyst"))
    assert np.abs(few - generator.sample_all(3, 8, "cyst")).max() > 0


def test_what_was_written_makes_the_same_rois_when_it_is_loaded(generator_of, manifest_for, tmp_path):
    generator = generator_of("modern")
    network = build_generator("modern", 16, 1, torch.Generator().manual_seed(1))
    save_generator(tmp_path / "version", network, manifest_for("modern"), "text", b"page")
    np.testing.assert_array_equal(load_generator(tmp_path / "version").sample_all(5, 3), generator.sample_all(5, 3))


def test_a_lower_truncation_gives_rois_that_are_more_alike(generator_of):
    generator = generator_of("dcgan")
    wide, narrow = generator.sample_all(40, 1), generator.sample_all(40, 1, truncation=0.3)
    assert narrow.std(axis=0).mean() < wide.std(axis=0).mean()


def test_classes_of_one_generator_differ(generator_of):
    generator = generator_of("acgan")
    assert np.abs(generator.sample_all(2, 0, "cyst") - generator.sample_all(2, 0, "hemangioma")).max() > 0
    with pytest.raises(UnknownClassError, match="no class was named"):
        generator.sample(2, 0)


@pytest.mark.parametrize(
    ("n", "seed", "truncation", "words"),
    [
        (0, 0, 1.0, "from 1 to"),
        (-3, 0, 1.0, "from 1 to"),
        (1_000_000, 0, 1.0, "from 1 to 20000, got 1000000"),
        (4, -1, 1.0, "seed"),
        (4, 0, 0.0, "truncation"),
        (4, 0, 1.5, "truncation"),
        (4, 0, float("nan"), "truncation"),
    ],
)
def test_what_cannot_be_made_is_refused_before_anything_is(generator_of, n, seed, truncation, words):
    with pytest.raises(InputError, match=words):
        generator_of("dcgan").sample(n, seed, truncation=truncation)


def test_a_class_that_it_does_not_make_is_refused_by_name(generator_of):
    with pytest.raises(UnknownClassError, match=r"gan_cyst makes cyst; it was asked for 'hemangioma'"):
        generator_of("dcgan").sample(4, 0, "hemangioma")


def test_changed_weights_are_never_used(store, tmp_path):
    info = store()
    path = info.folder / WEIGHTS_NAME
    path.write_bytes(path.read_bytes()[:-1] + b"\x01")
    with pytest.raises(IntegrityError, match="does not match the hash"):
        load_generator(info.folder)


def test_nothing_serves_until_somebody_says_so_and_then_it_does(settings, store):
    versions = GeneratorVersions(replace_starter(settings), "gan_cyst")
    info = store()
    with pytest.raises(NoModelError, match="train gan"):
        versions.champion()
    versions.promote(info.version, "an admin", "fits")
    assert versions.champion().version == info.version
    assert versions.of(info.version).version == info.version


def test_a_version_that_was_never_trained_is_named(settings):
    with pytest.raises(NotFoundError, match=r"No version '20990101'"):
        GeneratorVersions(settings, "gan_cyst").of("20990101")


def test_one_that_copies_patients_is_not_promoted_and_one_that_nobody_checked_neither(settings, store):
    versions = GeneratorVersions(settings, "gan_cyst")
    unfit = store("20260101T000000Z-unfit", outcome=Outcome.UNFIT)
    with pytest.raises(InputError, match="unfit: it copies training patients"):
        versions.promote(unfit.version, "an admin", "please")
    unchecked = store("20260101T000000Z-unchecked", outcome=None)
    with pytest.raises(InputError, match="never checked for copies"):
        versions.promote(unchecked.version, "an admin", "please")


def test_a_generator_is_as_fit_as_its_worst_class(manifest_for):
    manifest = manifest_for("acgan")
    fit = {name: {"outcome": Outcome.FIT} for name in manifest.class_names}
    assert replace(manifest, memorisation=fit).outcome == Outcome.FIT
    assert (
        replace(manifest, memorisation={**fit, "cyst": {"outcome": Outcome.CANNOT_BE_TESTED}}).outcome == Outcome.CANNOT_BE_TESTED
    )
    assert (
        replace(
            manifest,
            memorisation={**fit, "cyst": {"outcome": Outcome.CANNOT_BE_TESTED}, "metastasis": {"outcome": Outcome.UNFIT}},
        ).outcome
        == Outcome.UNFIT
    )
    assert replace(manifest, memorisation={"cyst": {"outcome": Outcome.FIT}}).outcome == Outcome.CANNOT_BE_TESTED


def test_the_card_counts_patients_and_names_none(store):
    info = store()
    card = (info.folder / "docs" / "README.md").read_text()
    assert "2 patients" in card
    assert "p-1" not in card
    assert "synthetic" in card
    assert json.loads((info.folder / "manifest.json").read_text())["patients"] == ["p-1", "p-2"]


def replace_starter(settings: Settings) -> Settings:
    return settings.model_copy(update={"allow_starter": False})
