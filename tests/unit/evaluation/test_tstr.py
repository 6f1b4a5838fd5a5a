import json

import numpy as np
import pytest

from lesionlabel.augment.classic import augment_cohort, originals
from lesionlabel.evaluation.tstr import train_on_synthetic
from lesionlabel.lesions.classes import DEFAULT_CLASSES
from lesionlabel.lesions.cohort import Cohort
from lesionlabel.lesions.errors import InputError, LeakError
from lesionlabel.training.classifier import ClassifierConfig
from lesionlabel.training.hooks import StoppedError

LEARNS = ClassifierConfig(epochs=None, steps=40, batch=9, learning_rate=0.01, device="cpu")
TINY = ClassifierConfig(epochs=None, steps=2, batch=6, device="cpu")


@pytest.fixture
def parts(cohort_of, lesion_of):
    """Training lesions, held-out lesions, and what perfect generators make: ROIs of other lesions, by class."""
    training, names = cohort_of(), cohort_of().class_names
    held_out = Cohort(tuple(lesion_of(100 + i, i % 3, f"h-{i // 2}") for i in range(24)), names)
    other = Cohort(tuple(lesion_of(200 + i, i % 3, f"o-{i}") for i in range(36)), names)
    return training, held_out, {name: originals(other)[other.labels == i] for i, name in enumerate(names)}


def test_good_synthetic_images_teach_what_real_ones_teach(parts):
    training, held_out, synthetic = parts
    result = train_on_synthetic(synthetic, training, held_out, DEFAULT_CLASSES, LEARNS)
    assert result.synthetic.accuracy.value > 0.9
    assert result.real.accuracy.value > 0.9
    assert result.difference.value == pytest.approx(result.synthetic.accuracy.value - result.real.accuracy.value)
    assert result.difference.low <= result.difference.value <= result.difference.high


def test_images_of_the_wrong_class_teach_to_call_metastases_benign(parts):
    training, held_out, synthetic = parts
    swapped = {**synthetic, "cyst": synthetic["metastasis"], "metastasis": synthetic["cyst"]}
    result = train_on_synthetic(swapped, training, held_out, DEFAULT_CLASSES, LEARNS)
    harm, floor = result.synthetic.figures.malignant_called_benign, result.real.figures.malignant_called_benign
    assert harm is not None
    assert floor is not None
    assert harm.value > 0.8 > 0.2 > floor.value
    assert harm.of == floor.of == 8
    assert result.difference.high < 0
    content = result.to_json()
    assert content["synthetic"]["sensitivity"]["cyst"]["value"] < 0.2 < 0.8 < content["real"]["sensitivity"]["cyst"]["value"]


def test_both_sides_get_as_many_images_of_each_class_and_as_many_steps(parts):
    training, held_out, synthetic = parts
    uneven = {**synthetic, "cyst": synthetic["cyst"][:7]}
    config = ClassifierConfig(epochs=1, batch=10, device="cpu")
    result = train_on_synthetic(uneven, training, held_out, DEFAULT_CLASSES, config)
    assert result.of_each_class == 7
    assert result.synthetic.training == result.real.training
    assert (result.real.training["images"], result.real.training["steps"]) == (21, 3)


def test_the_same_images_on_both_sides_give_no_difference(parts):
    """With the floor's own augmentations as synthetic images, weights, order and answers are the same."""
    training, held_out, _ = parts
    augment_seed = int(np.random.SeedSequence([TINY.seed, 3]).generate_state(1)[0])
    same = {
        name: augment_cohort(training.subset(np.flatnonzero(training.labels == i)), 4, augment_seed).images
        for i, name in enumerate(training.class_names)
    }
    result = train_on_synthetic(same, training, held_out, DEFAULT_CLASSES, TINY)
    assert np.array_equal(result.synthetic.figures.confusion, result.real.figures.confusion)
    assert result.synthetic.figures.log_loss == result.real.figures.log_loss
    assert (result.difference.low, result.difference.high) == (0, 0)


def test_only_lesions_decided_blind_are_tested(parts, lesion_of):
    training, held_out, synthetic = parts
    seen = tuple(lesion_of(300 + i, i, f"s-{i}", saw_model=saw) for i, saw in enumerate((True, None)))
    with_seen = Cohort((*held_out.lesions, *seen), held_out.class_names)
    result = train_on_synthetic(synthetic, training, with_seen, DEFAULT_CLASSES, TINY)
    assert (result.real.figures.lesions, result.saw_model) == (24, 2)
    assert "2 held-out lesion(s) decided after seeing" in result.to_markdown()
    with pytest.raises(InputError, match="none may be tested"):
        train_on_synthetic(synthetic, training, Cohort(seen, held_out.class_names), DEFAULT_CLASSES, TINY)


def test_reports_are_plain_state_sizes_and_name_no_patient(parts):
    training, held_out, synthetic = parts
    result = train_on_synthetic(synthetic, training, held_out, DEFAULT_CLASSES, TINY)
    content = json.loads(json.dumps(result.to_json(), allow_nan=False))
    assert content["training"] == {"lesions": 24, "patients": len(set(training.patients))}
    assert content["tested"] == {"lesions": 24, "patients": 12}
    assert content["statement"] is None
    text = result.to_markdown()
    assert "tested on 24 held-out lesions of 12 patients" in text
    assert "| malignant called benign |" in text
    assert "h-1" not in text + json.dumps(content)


def test_a_phantom_result_says_that_it_says_nothing_about_patients(lesion_of, parts):
    training, held_out = (
        Cohort(tuple(lesion_of(first + i, i % 3, f"phantom-{first}-{i}") for i in range(6)), parts[0].class_names)
        for first in (0, 50)
    )
    result = train_on_synthetic(parts[2], training, held_out, DEFAULT_CLASSES, TINY)
    assert "says nothing about patients" in result.to_markdown()
    assert "says nothing about patients" in result.to_json()["statement"]
    with pytest.raises(InputError, match="simulated"):
        train_on_synthetic(parts[2], training, parts[1], DEFAULT_CLASSES, TINY)


def test_leaks_and_missing_classes_are_refused(parts):
    training, held_out, synthetic = parts
    with pytest.raises(LeakError):
        train_on_synthetic(synthetic, training, training, DEFAULT_CLASSES, TINY)
    with pytest.raises(InputError, match="must all be of the classes"):
        train_on_synthetic({n: synthetic[n] for n in ("cyst", "metastasis")}, training, held_out, DEFAULT_CLASSES, TINY)
    with pytest.raises(InputError, match="'hemangioma' has 0 synthetic"):
        train_on_synthetic({**synthetic, "hemangioma": synthetic["cyst"][:0]}, training, held_out, DEFAULT_CLASSES, TINY)


def test_it_can_be_stopped_and_tells_how_far_it_is(parts):
    training, held_out, synthetic = parts
    with pytest.raises(StoppedError):
        train_on_synthetic(synthetic, training, held_out, DEFAULT_CLASSES, TINY, should_stop=lambda: True)
    told: list[tuple[float, str]] = []
    train_on_synthetic(synthetic, training, held_out, DEFAULT_CLASSES, TINY, progress=lambda *what: told.append(what))
    assert [share for share, _ in told] == [0.5, 1.0]
    assert told[0][1].startswith("learning from synthetic")
