import json

import numpy as np
import pytest
import torch
from torch.nn import functional

from lesionlabel.augment.classic import augment_cohort
from lesionlabel.evaluation.feature_network import fold_features
from lesionlabel.evaluation.gan_quality import FIGURES, Figure, Quality, measure_quality
from lesionlabel.lesions.cohort import Cohort
from lesionlabel.lesions.errors import InputError, LeakError
from lesionlabel.phantom.cohort import make_cohort
from lesionlabel.training.classifier import ClassifierConfig
from lesionlabel.training.hooks import StoppedError

ROIS = 96


def coarse(images: torch.Tensor) -> np.ndarray:
    """Features that need no training: an 8 × 8 picture."""
    return functional.avg_pool2d(images, 8).flatten(1).double().numpy()


def too_late(images: torch.Tensor) -> np.ndarray:
    pytest.fail("the input was used before it was checked")


def of_class(cohort: Cohort, label: str) -> Cohort:
    return cohort.subset([i for i, lesion in enumerate(cohort) if lesion.label == label])


@pytest.fixture(scope="module")
def metastases() -> tuple[Cohort, Cohort]:
    """Lesions to learn from and held out ones, of other patients of the same phantom."""
    cohort = make_cohort({"metastasis": 36}, seed=100)
    first = sorted(set(cohort.patients))[: 6 * len(set(cohort.patients)) // 10]
    mine = np.array([lesion.patient in first for lesion in cohort])
    return cohort.subset(np.flatnonzero(mine)), cohort.subset(np.flatnonzero(~mine))


@pytest.fixture(scope="module")
def others() -> Cohort:
    return make_cohort({"cyst": 20, "metastasis": 36}, seed=101)


def views(cohort: Cohort, amount: int = ROIS) -> torch.Tensor:
    return augment_cohort(cohort, amount, 7).images


def quick(synthetic: torch.Tensor, metastases: tuple[Cohort, Cohort], seed: int = 0, **changes) -> Quality:
    return measure_quality(synthetic, *metastases, coarse, seed, **{"views": 4, "resamples": 40, **changes})


@pytest.fixture(scope="module")
def ideal(metastases, others) -> Quality:
    return quick(views(of_class(others, "metastasis")), metastases)


def apart(figure: Figure) -> bool:
    return figure.generator.low > figure.floor.high or figure.generator.high < figure.floor.low


def test_fresh_lesions_as_an_ideal_generator_score_like_the_noise_floor(ideal):
    assert set(ideal.figures) == set(FIGURES)
    assert not any(apart(figure) for figure in ideal.figures.values())
    kid = ideal.figures["kid"]
    assert kid.generator.low < 0 < kid.generator.high
    assert kid.floor.low < 0 < kid.floor.high
    assert ideal.figures["pixel_diversity"].generator.value == pytest.approx(1, abs=0.25)


def test_cysts_posing_as_metastases_score_clearly_worse(ideal, metastases, others):
    wrong = quick(views(of_class(others, "cyst")), metastases)
    # Not by precision: one metastasis like a cyst has a ball that holds most cysts.
    for name in ("kid", "coverage"):
        assert apart(wrong.figures[name]), name
        assert not ideal.figures[name].generator.low < wrong.figures[name].generator.value < ideal.figures[name].generator.high
    assert wrong.figures["density"].generator.value < 0.5 * ideal.figures["density"].generator.value
    assert wrong.figures["recall"].generator.value < 0.5 * ideal.figures["recall"].generator.value
    assert wrong.figures["radiomics"].generator.value > 2 * ideal.figures["radiomics"].generator.value
    # The floor is of the training lesions: it does not change with the generator.
    assert wrong.figures["precision"].floor == ideal.figures["precision"].floor


def test_a_generator_of_one_image_has_no_diversity(metastases):
    one = quick(views(metastases[0], 24)[:1].repeat(ROIS, 1, 1, 1), metastases)
    for name in ("feature_diversity", "pixel_diversity"):
        assert one.figures[name].generator.value == pytest.approx(0, abs=1e-4)
        assert apart(one.figures[name])
    assert one.figures["recall"].generator.value == 0
    assert apart(one.figures["coverage"])


def test_a_generator_of_three_lesions_is_precise_and_reaches_less(ideal, metastases):
    few = quick(views(metastases[0].subset([0, 5, 10])), metastases)
    for name in ("coverage", "recall"):
        assert few.figures[name].generator.value < ideal.figures[name].generator.value, name
    assert few.figures["precision"].generator.value > 0.5


def test_the_seed_draws_everything_that_is_drawn(ideal, metastases, others):
    synthetic = views(of_class(others, "metastasis"))
    assert quick(synthetic, metastases).to_json() == ideal.to_json()
    assert quick(synthetic, metastases, seed=1).to_json()["figures"] != ideal.to_json()["figures"]


def test_sample_sizes_are_stated_in_both_forms_and_no_patient_is(ideal, metastases):
    training, held_out = metastases
    content = json.loads(json.dumps(ideal.to_json(), allow_nan=False))
    assert content["synthetic"] == content["floor_rois"] == ROIS
    assert (content["training_lesions"], content["training_patients"]) == (len(training), len(set(training.patients)))
    assert (content["held_out_lesions"], content["held_out_patients"]) == (len(held_out), len(set(held_out.patients)))
    # Not as in the JSON, which has six digits.
    raw, log = ideal.figures["radiomics"].floor, ideal.figures["log_radiomics"].floor
    assert np.log([raw.low, raw.value, raw.high]) == pytest.approx([log.low, log.value, log.high])
    assert {"radiomics", "log_radiomics"} <= content["figures"].keys()
    assert content["figures"]["kid"]["floor"]["value"] == pytest.approx(ideal.figures["kid"].floor.value, rel=1e-5)
    text = ideal.to_markdown()
    for part in (f"{ROIS} synthetic ROIs", f"{len(training)} training lesions", f"each of {len(held_out)} held-out lesions"):
        assert part in text
    assert "| figure | generator | real against held-out real |" in text
    assert "says nothing about patients" in text
    assert "phantom-" not in text + json.dumps(content)


def test_patients_on_both_sides_or_seen_by_the_features_are_refused(metastases):
    training, held_out = metastases
    synthetic = views(training)
    with pytest.raises(LeakError):
        measure_quality(synthetic, training, Cohort((*held_out.lesions, training.lesions[0]), held_out.class_names), coarse, 0)
    config = ClassifierConfig(epochs=None, steps=2, batch=8, device="cpu")
    saw_one = fold_features(Cohort((*training.lesions, held_out.lesions[0]), training.class_names), config, 0)
    with pytest.raises(LeakError, match=held_out.lesions[0].patient):
        measure_quality(synthetic, training, held_out, saw_one, 0)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda s, t, h, o: (s, t, of_class(o, "cyst")), "one class"),
        (lambda s, t, h, o: (s[:, 0], t, h), "shape"),
        (lambda s, t, h, o: (s * 2, t, h), r"\[0, 1\]"),
        (lambda s, t, h, o: (s[: len(t) - 1], t, h), "make more"),
        (lambda s, t, h, o: (s, t, h.subset([0, 1])), "at least 4"),
        (lambda s, t, h, o: (s, t, h.subset([])), "one class"),
    ],
)
def test_unusable_input_is_refused_before_any_work(change, why, metastases, others):
    training, held_out = metastases
    synthetic, training, held_out = change(views(training), training, held_out, others)
    with pytest.raises(InputError, match=why):
        measure_quality(synthetic, training, held_out, too_late, 0)


def test_simulated_and_real_lesions_are_never_compared(metastases, lesion_of):
    training, _ = metastases
    lesions = [lesion_of(i, 1, f"p-{i}") for i in range(6)]
    real = Cohort(tuple(lesions), training.class_names)
    with pytest.raises(InputError, match="simulated"):
        measure_quality(views(training), training, real, coarse, 0)


def test_features_that_tell_nothing_apart_are_refused(metastases):
    training, held_out = metastases
    with pytest.raises(InputError, match="learned nothing"):
        measure_quality(views(training), training, held_out, lambda images: np.zeros((len(images), 5)), 0)


def test_it_can_be_stopped_and_tells_how_far_it_is(metastases):
    with pytest.raises(StoppedError):
        quick(views(metastases[0]), metastases, should_stop=lambda: True)
    told: list[float] = []
    quick(views(metastases[0]), metastases, resamples=2, progress=lambda share, what: told.append(share))
    assert told == sorted(told)
    assert told[-1] == pytest.approx(1)
