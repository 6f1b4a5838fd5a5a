import numpy as np
import pytest
import torch

from lesionlabel.lesions.errors import InputError
from lesionlabel.training.classifier import ClassifierConfig, train_classifier
from lesionlabel.training.hooks import DivergedError, StoppedError, part_of


def bright_and_dark(n: int = 48) -> tuple[torch.Tensor, torch.Tensor]:
    """Images whose class is how bright their middle is: easy to learn, and only from the pixels."""
    rng = np.random.default_rng(0)
    labels = np.arange(n) % 3
    images = 0.5 + 0.05 * rng.standard_normal((n, 1, 64, 64))
    images[:, :, 16:48, 16:48] += 0.25 * (labels - 1)[:, None, None, None]
    return torch.from_numpy(images.clip(0, 1).astype(np.float32)), torch.from_numpy(labels)


def quick(**changes) -> ClassifierConfig:
    return ClassifierConfig(**{"epochs": None, "steps": 6, "batch": 16, "device": "cpu", **changes})


def weights(trained) -> dict[str, torch.Tensor]:
    return trained.network.state_dict()


@pytest.mark.parametrize("precision", ["auto", "float32"])
def test_same_seed_gives_the_same_weights_bit_for_bit(precision):
    images, labels = bright_and_dark()
    torch.manual_seed(1)
    first = weights(train_classifier(images, labels, quick(seed=5, precision=precision)))
    torch.manual_seed(2)
    state = torch.random.get_rng_state()
    second = weights(train_classifier(images, labels, quick(seed=5, precision=precision)))
    assert torch.equal(state, torch.random.get_rng_state())
    assert all(torch.equal(first[name], second[name]) for name in first)
    other = weights(train_classifier(images, labels, quick(seed=6, precision=precision)))
    assert not torch.equal(first["head.weight"], other["head.weight"])


@pytest.mark.parametrize("precision", ["auto", "bfloat16"])
def test_it_learns_and_generalises_to_images_it_has_not_seen(precision):
    images, labels = bright_and_dark(96)
    trained = train_classifier(images[:48], labels[:48], quick(steps=60, learning_rate=0.01, precision=precision))
    with torch.inference_mode():
        right = trained.network(images[48:]).argmax(1) == labels[48:]
    assert float(right.float().mean()) == 1.0
    assert trained.losses[-1][1] < trained.losses[0][1]


def test_weights_and_answers_are_float32_whatever_the_arithmetic():
    images, labels = bright_and_dark(16)
    trained = train_classifier(images, labels, quick(precision="bfloat16"))
    assert {value.dtype for value in weights(trained).values()} == {torch.float32}
    assert trained.record()["precision"] == "bfloat16"
    assert float(trained.network.mean) == pytest.approx(float(images.mean()), abs=1e-6)


def test_one_epoch_sees_every_image_once():
    images, labels = bright_and_dark(48)
    by_epochs = train_classifier(images, labels, quick(epochs=2, steps=None))
    by_steps = train_classifier(images, labels, quick(steps=6))
    assert by_epochs.steps == by_steps.steps == 6
    assert all(torch.equal(weights(by_epochs)[n], weights(by_steps)[n]) for n in weights(by_steps))
    # The paper's "none": about 121 images in batches of 64 for 150 epochs.
    assert ClassifierConfig().total_steps(121) == 300


def test_first_step_is_nesterov_sgd_on_the_papers_loss():
    images, labels = bright_and_dark(16)
    before = train_classifier(images, labels, quick(steps=1, dropout=0, precision="float32", learning_rate=1e-12)).network
    after = train_classifier(images, labels, quick(steps=1, dropout=0, precision="float32", learning_rate=1e-3)).network
    before.zero_grad()
    torch.nn.functional.cross_entropy(before(images), labels).backward()
    # Nesterov's first step is learning rate × (1 + momentum) × gradient.
    gradient = before.head.weight.grad
    assert gradient is not None
    expected = before.head.weight - 1e-3 * 1.9 * gradient
    torch.testing.assert_close(after.head.weight, expected, atol=1e-7, rtol=1e-5)


def test_a_run_can_be_stopped_and_tells_how_far_it_is():
    images, labels = bright_and_dark(16)
    asked = iter([False, False, True])
    with pytest.raises(StoppedError, match="step 2 of 6"):
        train_classifier(images, labels, quick(), should_stop=lambda: next(asked))
    told: list[tuple[float, str]] = []
    train_classifier(images, labels, quick(steps=55), progress=part_of(lambda *a: told.append(a), 0.5, 1.0, "fold 1"))
    assert [share for share, _ in told] == [pytest.approx(0.5 + 0.5 * 50 / 55), 1.0]
    assert told[-1][1].startswith("fold 1: step 55 of 55, loss")


def test_a_diverging_run_is_not_kept():
    images, labels = bright_and_dark(16)
    with pytest.raises(DivergedError, match="learning rate"):
        train_classifier(images, labels, quick(steps=20, learning_rate=1e8))


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda x, y: (x[:, 0], y), "shape"),
        (lambda x, y: (x[:0], y[:0]), "shape"),
        (lambda x, y: (x * 100, y), r"\[0, 1\]"),
        (lambda x, y: (torch.full_like(x, float("nan")), y), r"\[0, 1\]"),
        (lambda x, y: (x, y[:-1]), "as many labels"),
        (lambda x, y: (x, y - 1), "class indices"),
        (lambda x, y: (x, y + 1), "class indices"),
    ],
)
def test_unusable_input_is_refused_before_any_work(change, why):
    images, labels = change(*bright_and_dark(6))
    with pytest.raises(InputError, match=why):
        train_classifier(images, labels, quick(), n_classes=3)


@pytest.mark.parametrize(
    "bad", [{"epochs": 3, "steps": 3}, {"epochs": None, "steps": None}, {"batch": 0}, {"momentum": 1.0}, {"learning_rate": 0}]
)
def test_impossible_settings_cannot_be_made(bad):
    with pytest.raises(InputError):
        quick(**bad)


def test_a_run_that_was_stopped_goes_on_to_the_same_weights(tmp_path):
    images, labels = bright_and_dark()
    whole = train_classifier(images, labels, quick(steps=12))
    checkpoint = tmp_path / "kept"
    # Stopped in the middle of the second pass of three batches: the rest of its order, momentum and dropout have to come back.
    asked = iter([False] * 5 + [True])
    with pytest.raises(StoppedError, match="stopped at step 5 of 12"):
        train_classifier(images, labels, quick(steps=12), checkpoint=checkpoint, should_stop=lambda: next(asked))
    told = []
    resumed = train_classifier(
        images, labels, quick(steps=12), checkpoint=checkpoint, should_stop=lambda: told.append(1) is not None
    )
    assert len(told) == 7
    assert all(torch.equal(value, weights(resumed)[name]) for name, value in weights(whole).items())
    assert resumed.losses == whole.losses
    with pytest.raises(InputError, match=r"another training .*images"):
        train_classifier(images[:20], labels[:20], quick(steps=12), checkpoint=checkpoint)
