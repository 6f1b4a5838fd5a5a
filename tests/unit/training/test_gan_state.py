from pathlib import Path

import pytest
import torch

from lesionlabel.lesions.errors import InputError, IntegrityError
from lesionlabel.networks.gans import ARMS
from lesionlabel.training.checkpoint import load_checkpoint, save_checkpoint
from lesionlabel.training.gan import train_gan
from lesionlabel.training.gan_config import GanConfig
from lesionlabel.training.gan_state import GanState
from lesionlabel.training.hooks import StoppedError

CPU = torch.device("cpu")


def config(**changes) -> GanConfig:
    return GanConfig(**{"arm": "dcgan", "width": 16, "steps": 4, "batch": 8, "device": "cpu", "precision": "float32", **changes})


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    return torch.rand(24, 1, 1, 1, generator=torch.Generator().manual_seed(0)).expand(-1, 1, 64, 64).contiguous()


def stopped(images: torch.Tensor, file: Path, settings: GanConfig, labels: torch.Tensor | None = None) -> None:
    asked = iter([False, False, True])
    with pytest.raises(StoppedError, match="at step 2 of 4"):
        train_gan(images, labels, settings, n_classes=3, checkpoint=file, should_stop=lambda: next(asked))


def weights(trained) -> dict[str, torch.Tensor]:
    return trained.generator.state_dict()


def test_whether_to_stop_is_asked_before_every_step(images):
    asked = []
    train_gan(images, None, config(), should_stop=lambda: bool(asked.append(None)))
    assert len(asked) == 4


def test_a_run_that_keeps_itself_all_the_time_ends_the_same(images, tmp_path, monkeypatch):
    alone = train_gan(images, None, config())
    monkeypatch.setattr("lesionlabel.training.gan.KEEP_EVERY_S", 0.0)
    kept = []

    def look() -> bool:
        kept.append((tmp_path / "run.checkpoint").exists())
        return False

    watched = train_gan(images, None, config(), checkpoint=tmp_path / "run.checkpoint", should_stop=look)
    assert kept == [False, True, True, True]
    assert [path.name for path in tmp_path.iterdir()] == ["run.checkpoint"]
    assert all(torch.equal(weights(alone)[name], value) for name, value in weights(watched).items())


def test_the_acgan_needs_the_classes_and_the_others_do_not_look_at_them(images):
    with pytest.raises(InputError, match="needs labels"):
        train_gan(images, None, config(arm="acgan"))
    with pytest.raises(InputError, match="class indices from 0 to 1"):
        train_gan(images, torch.arange(24) % 3, config(arm="acgan"), n_classes=2)
    without, with_labels = (train_gan(images, labels, config()) for labels in (None, torch.arange(24) % 3))
    assert all(torch.equal(weights(without)[name], value) for name, value in weights(with_labels).items())


def test_the_acgans_classes_are_learned_from_their_own_images(images):
    one, other = (train_gan(images, labels, config(arm="acgan")) for labels in (torch.arange(24) % 3, torch.arange(24) // 8))
    assert one.n_classes == other.n_classes == 3
    assert not torch.equal(one.generator.state_dict()["embedding.weight"], other.generator.state_dict()["embedding.weight"])


def test_images_that_are_all_the_same_are_refused(images):
    for same in (images[:1], images[:1].repeat(9, 1, 1, 1)):
        with pytest.raises(InputError, match="all the same"):
            train_gan(same, None, config())


@pytest.mark.parametrize(
    ("changes", "differs"),
    [
        ({"precision": "bfloat16"}, "config, precision"),
        ({"width": 32}, "config"),
        ({"steps": 5}, "config, steps"),
        ({"learning_rate": 1e-3}, "config"),
    ],
)
def test_a_checkpoint_of_another_training_says_in_what_it_differs_and_stays(images, tmp_path, changes, differs):
    file = tmp_path / "run.checkpoint"
    stopped(images, file, config())
    before = file.read_bytes()
    with pytest.raises(InputError, match=rf"differs in {differs}\)\. Delete it first"):
        train_gan(images, None, config(**changes), checkpoint=file)
    assert file.read_bytes() == before


def test_a_checkpoint_of_other_classes_is_refused(images, tmp_path):
    file, settings, labels = tmp_path / "run.checkpoint", config(arm="acgan"), torch.arange(24) % 3
    stopped(images, file, settings, labels)
    with pytest.raises(InputError, match="differs in classes"):
        train_gan(images, labels, settings, n_classes=4, checkpoint=file)
    with pytest.raises(InputError, match="differs in images"):
        train_gan(images, labels.flip(0), settings, n_classes=3, checkpoint=file)


@pytest.mark.parametrize("lost", ["generator.dense.weight", "stream.inputs", "queue", "summed"])
def test_a_checkpoint_that_lacks_a_part_is_damaged(images, tmp_path, lost):
    file = tmp_path / "run.checkpoint"
    stopped(images, file, config())
    kept = load_checkpoint(file)
    assert kept is not None
    tensors, record = kept
    del tensors[lost]
    save_checkpoint(file, tensors, record)
    with pytest.raises(IntegrityError, match="damaged"):
        train_gan(images, None, config(), checkpoint=file)


def test_every_image_is_used_once_before_any_is_used_again():
    state = GanState.start(config(), 1, CPU)
    order = torch.cat([state.next_batch(10, 4) for _ in range(10)])
    for epoch in order.split(10):
        assert sorted(epoch.tolist()) == list(range(10))
    assert not torch.equal(order[:10], order[10:20])


def test_only_the_modern_arm_averages_its_weights_and_slowly():
    for arm in ARMS:
        state = GanState.start(config(arm=arm), 3, CPU)
        assert (state.averaged is state.generator) == (arm != "modern")
    state = GanState.start(config(arm="modern"), 1, CPU)
    with torch.no_grad():
        for value in state.averaged.parameters():
            value.fill_(1.0)
        for value in state.generator.parameters():
            value.fill_(3.0)
        for value in state.generator.buffers():
            value.fill_(5)
    state.average(0.75)
    assert all(torch.equal(value, torch.full_like(value, 1.5)) for value in state.averaged.parameters())
    assert all(torch.equal(value, torch.full_like(value, 5)) for value in state.averaged.buffers())


def test_an_unknown_precision_is_refused():
    with pytest.raises(InputError, match=r"'float16'\. Allowed: auto, float32, bfloat16"):
        config(precision="float16")


def test_the_trained_generator_is_ready_to_sample_and_says_how_it_was_made(images):
    trained = train_gan(images, None, config(precision="bfloat16"))
    assert not trained.generator.training
    for value in trained.generator.parameters():
        assert value.dtype == torch.float32
        assert not value.requires_grad
        assert value.is_contiguous()
    record = trained.record()
    said = {"images": 24, "steps": 4, "precision": "bfloat16", "device": "cpu", "learning_rate": 2e-4, "width": 16}
    assert said.items() <= record.items()
    assert record["diversity"] == trained.diversity[-1][1]
