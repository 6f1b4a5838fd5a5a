from dataclasses import replace

import numpy as np
import pytest
import torch

from lesionlabel.evaluation.crossval import Recipe
from lesionlabel.lesions.errors import InputError, LeakError
from lesionlabel.networks.gans import build_generator
from lesionlabel.registry.fold_generators import asked_generators, find_made, join, make_asked
from lesionlabel.registry.generators import GeneratorVersions, generator_of
from lesionlabel.registry.joined import images_for
from lesionlabel.registry.manifest import code_version
from lesionlabel.registry.retrain import keep_version, run_parts
from lesionlabel.registry.training_plan import TrainingPlan, make_plan
from lesionlabel.registry.versions import Versions
from lesionlabel.training.classifier import ClassifierConfig

NAMES = ("cyst", "metastasis", "hemangioma")
TINY = Recipe("tiny", 6, 3, ClassifierConfig(epochs=None, steps=3, batch=8, device="cpu"))


@pytest.fixture
def plan(settings, cohort_of):
    return make_plan(cohort_of(90), settings, TINY, 4)


@pytest.fixture
def stored(settings, plan, manifest_for):
    """A function that stores an untrained generator that answers an ask, as if it had been measured."""

    def store(ask, outcome="fit", **changes):
        cohort = plan.cohort(settings)
        folds = plan.folds(cohort)
        label = next(label for label in NAMES if generator_of(label) == ask.name)
        learned = [x.patient for x, fold in zip(cohort, folds, strict=True) if fold != ask.fold and x.label == label]
        values = {
            "version": f"2026010{ask.fold + 1}T000000Z-bbbbbbbb",
            "name": ask.name,
            "class_counts": {label: len(learned)},
            "patients": tuple(sorted(learned)),
            "snapshot": plan.training,
            "seed": ask.seed,
            "config": {"profile": ask.profile, "fold_held_out": ask.fold},
            "memorisation": {label: {"outcome": outcome}},
            "quality": {label: {}},
            "code_version": code_version(),
        }
        manifest = manifest_for(**{**values, **changes})
        network = build_generator("dcgan", 16, 1, torch.Generator().manual_seed(ask.fold))
        return GeneratorVersions(settings, ask.name).add(network, manifest, "A report.", b"a page").version

    return store


def test_each_class_has_a_generator_for_each_fold_and_made_ones_are_taken_up(settings, plan, stored):
    asks = asked_generators(settings, plan, "dcgan", "trial")
    assert [(ask.name, ask.fold) for ask in asks] == [(generator_of(name), fold) for fold in range(3) for name in NAMES]
    first = asks[0]
    assert find_made(settings, first, plan.training) is None
    version = stored(first)
    # Nothing is trained where one was made as asked.
    assert make_asked(settings, plan, first) == {"version": version}
    for other in (
        replace(first, seed=5),
        replace(first, fold=1),
        replace(first, profile="quick"),
        replace(first, network="modern"),
    ):
        assert find_made(settings, other, plan.training) is None
    assert find_made(settings, first, "other lesions") is None
    other_code = asks[3]
    stored(other_code, code_version="0.0.9+000000000000")
    assert find_made(settings, other_code, plan.training) is None
    GeneratorVersions(settings, first.name).retire(version, "an admin", "a drill")
    assert find_made(settings, first, plan.training) is None


def test_one_that_copies_keeps_all_out_and_is_named(settings, plan, stored):
    asks = asked_generators(settings, plan, "dcgan", "trial")
    versions = [stored(ask, "unfit" if ask is asks[4] else "fit") for ask in asks]
    made = [make_asked(settings, plan, ask) for ask in asks]
    joined, note = join(settings, plan.cohort(settings), asks, made)
    assert joined is None
    assert note == f"Synthetic images were left out: {asks[4].name} {versions[4]}, which has not seen fold 2, copies patients."


def test_images_of_a_fold_are_of_generators_that_have_not_seen_it(settings, plan, stored):
    cohort = plan.cohort(settings)
    folds = plan.folds(cohort)
    asks = asked_generators(settings, plan, "dcgan", "trial")
    made = [{"version": stored(ask)} for ask in asks]
    joined, _ = join(settings, cohort, asks, made)
    assert joined is not None
    full = replace(plan, joined=joined)
    assert TrainingPlan.from_json(full.to_json()) == full
    tested = [patient for patient, fold in zip(cohort.patients, folds, strict=True) if fold == 0]
    pair = images_for(full, settings, NAMES, False, 0, tested)
    assert pair is not None
    # 30 for each of the two folds that train, in equal shares of the classes; for all lesions, 30 for each of three.
    assert np.bincount(pair[1].numpy()).tolist() == [20, 20, 20]
    last = images_for(full, settings, NAMES, False, 3, [])
    assert last is not None
    assert np.bincount(last[1].numpy()).tolist() == [30, 30, 30]
    # The same for whoever does the part.
    again = images_for(TrainingPlan.from_json(full.to_json()), settings, NAMES, False, 0, tested)
    assert again is not None
    assert torch.equal(pair[0], again[0])
    # With another fold's generators the part would be tested on patients that they have seen: it is refused by name.
    swapped = replace(joined, versions=(joined.versions[1], *joined.versions[1:]))
    with pytest.raises(LeakError):
        images_for(replace(plan, joined=swapped), settings, NAMES, False, 0, tested)

    run_parts(settings, full)
    info, trained = keep_version(settings, full, ("A note.",))
    assert trained.manifest.config["training"]["images"] == 90 + 18 + 90
    assert len(trained.manifest.parents) == 9
    assert trained.manifest.config["synthetic"]["network"] == "dcgan"
    card = (info.folder / "docs" / "README.md").read_text()
    assert "90 synthetic ROIs trained beside them" in card
    assert "A note." in card
    assert "p12" not in card
    # Kept twice, it is the same version.
    assert keep_version(settings, full)[0].version == info.version
    assert len(Versions(settings).list()) == 1


def test_too_few_patients_are_said_before_anything_is_trained(settings, cohort_of):
    plan = make_plan(cohort_of(12), settings, TINY, 0)
    with pytest.raises(InputError, match="needs lesions of at least"):
        asked_generators(settings, plan, "dcgan", "trial")
