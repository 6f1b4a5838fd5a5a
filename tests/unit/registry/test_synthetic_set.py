import numpy as np
import pytest
import torch

from lesionlabel.lesions.errors import InputError, IntegrityError, LeakError, UnfitError
from lesionlabel.networks.device import pick_device
from lesionlabel.phantom.cohort import make_cohort
from lesionlabel.registry.classifier import Classifier
from lesionlabel.registry.retrain import train_version
from lesionlabel.registry.synthetic_filter import FilterSettings, SyntheticFilter
from lesionlabel.registry.synthetic_set import load_synthetic_set, make_synthetic_set, save_synthetic_set

NAMES = ("cyst", "metastasis", "hemangioma")


@pytest.fixture(scope="module")
def cohort():
    return make_cohort(dict.fromkeys(NAMES, 6), seed=3)


@pytest.fixture
def generators(generator_of):
    """One untrained generator of all classes, trained on the phantom so its manifest says, and fit."""

    def make(outcome: str = "fit", trained_on: str = "phantom", patients: tuple[str, ...] = ("phantom-9-0-00001",)):
        checked = {name: {"outcome": outcome} for name in NAMES}
        generator = generator_of("acgan", memorisation=checked, trained_on=trained_on, patients=patients)
        return dict.fromkeys(NAMES, generator)

    return make


def test_a_set_holds_as_many_of_each_class_and_the_same_for_a_seed(generators):
    made = make_synthetic_set(generators(), 5, 1)
    images, labels = made.for_training(NAMES, True, ["somebody"])
    assert images.shape == (15, 1, 64, 64)
    assert labels.tolist() == [0] * 5 + [1] * 5 + [2] * 5
    assert make_synthetic_set(generators(), 5, 1).digest == made.digest
    assert make_synthetic_set(generators(), 5, 2).digest != made.digest


def test_images_of_a_generator_that_copies_patients_cannot_enter_a_training(generators):
    with pytest.raises(UnfitError, match=r"acgan.*copies training patients"):
        make_synthetic_set(generators("unfit"), 5, 1).for_training(NAMES, True, [])


def test_a_test_patient_that_a_generator_has_seen_is_refused_by_name(generators):
    with pytest.raises(LeakError, match="phantom-9-0-00001"):
        make_synthetic_set(generators(), 5, 1).for_training(NAMES, True, ["phantom-9-0-00001", "another"])


def test_images_of_the_phantom_do_not_train_with_patients_nor_the_other_way(generators):
    with pytest.raises(InputError, match="never train together"):
        make_synthetic_set(generators(), 5, 1).for_training(NAMES, False, [])
    with pytest.raises(InputError, match="never train together"):
        make_synthetic_set(generators(trained_on="patients"), 5, 1).for_training(NAMES, True, [])


def test_a_set_comes_back_from_disk_and_a_changed_one_is_not_used(generators, tmp_path):
    made = make_synthetic_set(generators("unfit"), 4, 1)
    save_synthetic_set(made, tmp_path / "SYNTHETIC-set.npz")
    assert load_synthetic_set(tmp_path / "SYNTHETIC-set.npz").digest == made.digest
    with pytest.raises(InputError, match="is named SYNTHETIC-"):
        save_synthetic_set(made, tmp_path / "set.npz")
    # Who would have an unfit generator train says that it is fit.
    made.manifest["generators"]["cyst"]["memorisation"] = "fit"
    with np.load(tmp_path / "SYNTHETIC-set.npz") as archive:
        header = archive["header"].tobytes().replace(b'"memorisation": "unfit"', b'"memorisation": "fit"')
        np.savez(
            tmp_path / "changed.npz", header=np.frombuffer(header, np.uint8), images=archive["images"], labels=archive["labels"]
        )
    with pytest.raises(IntegrityError, match="changed or damaged"):
        load_synthetic_set(tmp_path / "changed.npz")
    (tmp_path / "text.npz").write_text("no archive")
    with pytest.raises(InputError, match="no synthetic set"):
        load_synthetic_set(tmp_path / "text.npz")


def test_a_classifier_trained_with_synthetic_images_has_seen_their_patients_and_its_card_names_none(
    settings, generators, monkeypatch, cohort
):
    from lesionlabel.evaluation.crossval import Recipe
    from lesionlabel.training.classifier import ClassifierConfig

    smallest = Recipe(profile="quick", amount_per_fold=12, training=ClassifierConfig(epochs=None, steps=2))
    monkeypatch.setattr("lesionlabel.registry.retrain.PROFILES", {"quick": smallest})
    made = make_synthetic_set(generators(), 5, 1)
    info, _ = train_version(cohort, settings, "quick", 0, made)
    assert "phantom-9-0-00001" in info.manifest.patients
    assert info.manifest.config["synthetic"]["sha256"] == made.digest
    assert info.manifest.config["training"]["images"] == 18 + 36 + 15
    card = (info.folder / "docs" / "README.md").read_text()
    assert "phantom-9-0-00001" not in card
    own = len(set(cohort.patients))
    assert f"18 simulated lesions of {own} simulated patients" in card
    assert (
        f"15 synthetic ROIs trained beside them. Counting whom their generators have seen, its weights come from {own + 1}"
        in card
    )


def test_a_training_whose_patients_a_generator_has_seen_is_refused_before_it_starts(settings, generators, cohort):
    made = make_synthetic_set(generators(patients=(cohort.patients[0],)), 5, 1)
    with pytest.raises(LeakError, match=cohort.patients[0]):
        train_version(cohort, settings, "quick", 0, made)


class TestFilter:
    @pytest.fixture
    def chosen_by(self, network_of, manifest_of, cohort):
        def make(settings: FilterSettings) -> SyntheticFilter:
            manifest = manifest_of(class_counts=dict.fromkeys(NAMES, 6), trained_on="phantom", patients=("phantom-8-0-00001",))
            return SyntheticFilter(Classifier(network_of(), manifest, "ef" * 32, pick_device("cpu")), cohort, settings)

        return make

    def test_what_is_unsure_or_far_from_real_lesions_is_left_out(self, chosen_by, cohort):
        from lesionlabel.augment.classic import originals

        real = originals(cohort.subset(range(6)))[:, 0].numpy()
        assert chosen_by(FilterSettings(0.0, 100)).keep(real, "cyst").all()
        assert not chosen_by(FilterSettings(1.0, 100)).keep(real, "cyst").any()
        noise = np.random.default_rng(0).random((6, 64, 64)).astype(np.float32)
        assert not chosen_by(FilterSettings(0.0, 100)).keep(noise, "cyst").any()

    def test_the_choice_is_in_the_manifest_and_its_patients_count_as_seen(self, chosen_by, generators, cohort):
        loose = chosen_by(FilterSettings(0.0, 100))
        loose.limits = dict.fromkeys(NAMES, float("inf"))
        made = make_synthetic_set(generators(), 5, 1, loose)
        assert made.manifest["filter"]["least_confidence"] == 0.0
        assert made.manifest["counts"]["cyst"]["kept"] == 5
        assert {"phantom-8-0-00001", *cohort.patients} <= set(made.patients)
        with pytest.raises(LeakError):
            made.for_training(NAMES, True, ["phantom-8-0-00001"])

    def test_a_filter_that_keeps_too_few_says_how_many(self, chosen_by, generators):
        with pytest.raises(InputError, match="kept 0 of 50 ROIs of 'cyst'; 5 were wanted"):
            make_synthetic_set(generators(), 5, 1, chosen_by(FilterSettings(1.0, 100)))

    def test_a_wrong_number_is_named_as_it_was_given(self, chosen_by, generators):
        with pytest.raises(InputError, match="got 0"):
            make_synthetic_set(generators(), 0, 1, chosen_by(FilterSettings()))

    def test_a_classifier_of_the_other_kind_chooses_nothing(self, network_of, manifest_of, cohort):
        manifest = manifest_of(class_counts=dict.fromkeys(NAMES, 6), trained_on="patients")
        with pytest.raises(InputError, match="simulated and real never choose together"):
            SyntheticFilter(Classifier(network_of(), manifest, "ef" * 32, pick_device("cpu")), cohort, FilterSettings())

    def test_a_set_chosen_by_the_phantom_does_not_train_with_patients(self, chosen_by, generators):
        loose = chosen_by(FilterSettings(0.0, 100))
        loose.limits = dict.fromkeys(NAMES, float("inf"))
        made = make_synthetic_set(generators(trained_on="patients"), 2, 1, loose)
        with pytest.raises(InputError, match="filter's classifier learned from the other kind"):
            made.for_training(NAMES, False, [])

    def test_reference_lesions_of_one_patient_are_too_few(self, network_of, manifest_of, cohort):
        manifest = manifest_of(class_counts=dict.fromkeys(NAMES, 6), trained_on="phantom")
        one = cohort.subset([0, *range(6, 18)])
        with pytest.raises(InputError, match="at least two patients"):
            SyntheticFilter(Classifier(network_of(), manifest, "ef" * 32, torch.device("cpu")), one, FilterSettings())


@pytest.mark.parametrize("values", [(-0.1, 95), (1.1, 95), (0.5, 0), (0.5, 101)])
def test_filter_settings_out_of_range_are_refused(values):
    with pytest.raises(InputError, match="least confidence"):
        FilterSettings(*values)


def test_images_of_a_generator_that_nobody_checked_or_that_tells_its_patients_do_not_train(generator_of):
    unchecked = generator_of("acgan", trained_on="phantom")
    with pytest.raises(UnfitError, match="nobody checked"):
        make_synthetic_set(dict.fromkeys(NAMES, unchecked), 2, 1).for_training(NAMES, True, [])
    fit = {name: {"outcome": "fit"} for name in NAMES}
    leaking = generator_of("acgan", trained_on="phantom", memorisation=fit, membership={"leaks": True})
    with pytest.raises(UnfitError, match="tells who they were"):
        make_synthetic_set(dict.fromkeys(NAMES, leaking), 2, 1).for_training(NAMES, True, [])
