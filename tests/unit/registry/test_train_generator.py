from dataclasses import replace

import numpy as np
import pytest
import torch

from lesionlabel.lesions.errors import InputError
from lesionlabel.phantom.cohort import make_cohort
from lesionlabel.registry import train_generator as module
from lesionlabel.registry.generator_training import PROFILES, GeneratorRecipe, check_cohort, train_unmeasured, training_images
from lesionlabel.registry.generators import GeneratorVersions
from lesionlabel.registry.train_generator import train_generator, train_starter_generator
from lesionlabel.training.classifier import ClassifierConfig
from lesionlabel.training.hooks import StoppedError

NAMES = ("cyst", "metastasis", "hemangioma")
SMALLEST = GeneratorRecipe(
    "quick", width=16, steps=4, amount_per_fold=120, measuring=ClassifierConfig(epochs=None, steps=40, learning_rate=4e-3)
)


@pytest.fixture(scope="module")
def cohort():
    # Enough that each of three folds holds four patients of a class.
    return make_cohort(dict.fromkeys(NAMES, 21), seed=5)


@pytest.fixture
def smallest(monkeypatch):
    monkeypatch.setattr(module, "PROFILES", {"quick": SMALLEST})
    # As many synthetic ROIs as a check needs, instead of 300: a fifth of the time.
    monkeypatch.setattr("lesionlabel.evaluation.generator_report.MEASURED", 60)


def test_a_candidate_names_whom_it_has_seen_and_was_measured_against_others(settings, cohort, smallest):
    told = []
    info, made = train_generator(
        cohort, settings, "metastasis", "modern", seed=1, progress=lambda share, what: told.append((share, what))
    )
    manifest = info.manifest
    assert (manifest.name, manifest.arm, manifest.class_names) == ("gan_metastasis", "modern", ("metastasis",))
    # No metastasis of a held-out patient has trained, and all that trained are named.
    assert set(manifest.patients).isdisjoint(manifest.held_out)
    of_class = {lesion.patient for lesion in cohort if lesion.label == "metastasis"}
    assert set(manifest.patients) == of_class - set(manifest.held_out)
    assert manifest.trained_on == "phantom"
    # Too few lesions for a verdict on copies: that is what it says, never that it passed.
    assert manifest.outcome in ("cannot be tested", "unfit")
    assert {"kid", "precision", "recall", "coverage"} <= set(manifest.quality["metastasis"]["figures"])
    assert manifest.membership is not None
    assert made.pictures.startswith(b"\x89PNG")
    card = (info.folder / "docs" / "README.md").read_text()
    assert "Membership AUC" in card
    assert "Trained on synthetic, tested on real" in card
    assert not any(patient in card for patient in manifest.patients)
    assert told[-1][0] == 1.0
    assert GeneratorVersions(settings, "metastasis").of(info.version).sample_all(3, 0).shape == (3, 64, 64)


def test_a_run_that_was_stopped_leaves_no_version_and_goes_on_later(settings, cohort, smallest):
    calls = iter(range(10_000))
    with pytest.raises(StoppedError):
        train_generator(cohort, settings, "cyst", "dcgan", should_stop=lambda: next(calls) >= 2)
    assert GeneratorVersions(settings, "cyst").list() == ()
    [checkpoint] = (settings.home / "training").glob("*.checkpoint")
    resumed = train_unmeasured(cohort, settings, "cyst", "dcgan", SMALLEST, 0)
    assert resumed.checkpoint == checkpoint
    checkpoint.unlink()
    never_stopped = train_unmeasured(cohort, settings, "cyst", "dcgan", SMALLEST, 0)
    assert torch.equal(resumed.rois["cyst"], never_stopped.rois["cyst"])


def test_a_run_that_was_stopped_while_it_was_measured_does_not_train_again(settings, cohort, smallest, monkeypatch):
    def stopped(*_: object, **__: object) -> None:
        raise StoppedError("measuring was stopped")

    with monkeypatch.context() as patch:
        patch.setattr(module, "measure_generator", stopped)
        with pytest.raises(StoppedError):
            train_generator(cohort, settings, "cyst", "dcgan")
    told = []
    again = train_unmeasured(cohort, settings, "cyst", "dcgan", SMALLEST, 0, progress=lambda _, what: told.append(what))
    assert not [what for what in told if "step" in what]
    assert again.gan.steps == SMALLEST.steps


def test_a_fold_that_could_not_be_measured_is_refused_before_the_training(settings, cohort, monkeypatch):
    # All patients of cysts but three fall into one fold, as they may where patients have lesions of several classes.
    folds = np.zeros(len(cohort), dtype=np.int64)
    cysts = [lesion.patient for lesion in cohort if lesion.label == "cyst"]
    folds[[lesion.patient in set(cysts) - set(cysts[:3]) for lesion in cohort]] = 1
    monkeypatch.setattr("lesionlabel.registry.generator_training.patient_folds", lambda *_: folds)
    with pytest.raises(InputError, match=r"'cyst' would have \d patient\(s\) held out; at least 4"):
        train_unmeasured(cohort, settings, "cyst", "dcgan", SMALLEST, 0, progress=lambda *_: pytest.fail("it has begun"))


def test_the_training_images_are_classic_augmentations_in_equal_shares_of_the_lesions(cohort):
    images, labels = training_images(cohort, ("hemangioma",), 630, 3)
    assert images.shape == (210, 1, 64, 64)
    assert set(labels.tolist()) == {0}
    images, labels = training_images(cohort, NAMES, 630, 3)
    assert images.shape == (630, 1, 64, 64)
    assert [int((labels == n).sum()) for n in range(3)] == [210, 210, 210]


def test_too_few_lesions_are_refused_with_how_many_are_needed(settings):
    few = make_cohort({"cyst": 5, "metastasis": 21, "hemangioma": 21}, seed=5)
    with pytest.raises(
        InputError, match=r"'cyst' has 5 lesion\(s\) of \d patient\(s\); gan_cyst needs lesions of at least 12 patients"
    ):
        check_cohort(few, settings, "gan_cyst", "dcgan", ("cyst",))
    # Enough of its own class and a few of the others, which it is measured beside.
    check_cohort(few, settings, "gan_metastasis", "dcgan", ("metastasis",))


@pytest.mark.parametrize(("name", "arm"), [("gan_cyst", "acgan"), ("acgan", "dcgan"), ("acgan", "modern")])
def test_a_network_for_all_classes_does_not_make_one_nor_the_other_way(settings, cohort, name, arm):
    with pytest.raises(InputError, match="the network"):
        check_cohort(cohort, settings, name, arm, NAMES)


def test_a_starter_is_never_trained_on_patients(settings, cohort, tmp_path):
    patients = replace(
        cohort, lesions=tuple(replace(lesion, patient=lesion.patient.removeprefix("phantom-")) for lesion in cohort)
    )
    with pytest.raises(InputError, match="never on patients"):
        train_starter_generator(patients, settings, "cyst", "modern", tmp_path / "starter")


def test_an_unknown_profile_is_refused(settings, cohort):
    with pytest.raises(InputError, match=r"Unknown profile 'huge'\. Allowed: paper, quick"):
        train_generator(cohort, settings, "cyst", "modern", "huge")


def test_the_paper_profile_is_the_papers():
    dcgan, acgan = (PROFILES["paper"].training(arm, 0, "cpu") for arm in ("dcgan", "acgan"))
    assert (dcgan.width, dcgan.batch, dcgan.rate, dcgan.beta1, dcgan.total_steps(64 * 50)) == (1024, 64, 2e-4, 0.5, 70 * 50)
    assert (acgan.rate, acgan.total_steps(64 * 50)) == (1e-4, 50 * 50)
