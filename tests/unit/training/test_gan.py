import json

import pytest
import torch

from lesionlabel.lesions.errors import InputError, IntegrityError
from lesionlabel.networks.gans import ARMS, Arm
from lesionlabel.training.checkpoint import load_checkpoint, save_checkpoint
from lesionlabel.training.gan import train_gan
from lesionlabel.training.gan_config import GanConfig
from lesionlabel.training.gan_losses import discriminator_loss, generator_loss, gradient_penalty
from lesionlabel.training.guards import CollapsedError, CollapseGuard, diversity, require_finite
from lesionlabel.training.hooks import DivergedError, StoppedError


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    """Discs of different sizes and greys on a grey ground."""
    rng = torch.Generator().manual_seed(0)
    y, x = torch.meshgrid(torch.arange(64.0), torch.arange(64.0), indexing="ij")
    radius = ((x - 31.5) ** 2 + (y - 31.5) ** 2).sqrt()
    sizes, greys = torch.rand(2, 24, generator=rng)
    return torch.stack([torch.where(radius < 8 + 16 * s, g, torch.tensor(0.5)) for s, g in zip(sizes, greys, strict=True)])[
        :, None
    ]


@pytest.fixture(scope="module")
def labels() -> torch.Tensor:
    return torch.arange(24) % 3


def config(arm: Arm, steps: int = 6, **changes) -> GanConfig:
    return GanConfig(arm=arm, width=16, steps=steps, batch=8, device="cpu", precision="float32", **changes)


def train(arm: Arm, images, labels, **hooks):
    return train_gan(images, labels if arm == "acgan" else None, config(arm), **hooks)


def same(one, other) -> bool:
    left, right = one.generator.state_dict(), other.generator.state_dict()
    return all(torch.equal(left[name], right[name]) for name in left)


@pytest.mark.parametrize("arm", ARMS)
def test_the_same_seed_gives_the_same_weights_and_touches_nothing_else(arm, images, labels):
    before, state = images.clone(), torch.get_rng_state()
    one, again = train(arm, images, labels), train(arm, images, labels)
    assert same(one, again)
    assert one.losses == again.losses
    assert torch.equal(images, before)
    assert torch.equal(torch.get_rng_state(), state)
    other = train_gan(images, labels if arm == "acgan" else None, config(arm, seed=1))
    assert not same(one, other)


@pytest.mark.parametrize("arm", ARMS)
def test_a_run_that_was_stopped_goes_on_to_the_same_weights(arm, images, labels, tmp_path):
    whole = train_gan(images, labels if arm == "acgan" else None, config(arm, 20))
    file = tmp_path / "run.checkpoint"
    asked = iter(range(100))
    with pytest.raises(StoppedError, match="stopped at step 9 of 20"):
        train_gan(
            images,
            labels if arm == "acgan" else None,
            config(arm, 20),
            checkpoint=file,
            should_stop=lambda: next(asked) >= 9,
        )
    resumed = train_gan(images, labels if arm == "acgan" else None, config(arm, 20), checkpoint=file)
    assert same(whole, resumed)
    assert whole.losses == resumed.losses
    assert whole.diversity == resumed.diversity
    # Its end is kept until whoever asked has the result: asking again trains nothing.
    again = train_gan(
        images,
        labels if arm == "acgan" else None,
        config(arm, 20),
        checkpoint=file,
        should_stop=lambda: pytest.fail("it trains again"),
    )
    assert same(whole, again)


def test_a_checkpoint_of_another_training_or_a_damaged_one_is_refused(images, labels, tmp_path):
    file = tmp_path / "run.checkpoint"
    with pytest.raises(StoppedError):
        train_gan(images, None, config("dcgan"), checkpoint=file, should_stop=lambda: True)
    with pytest.raises(InputError, match="another training"):
        train_gan(images, None, config("dcgan", seed=3), checkpoint=file)
    with pytest.raises(InputError, match="differs in images"):
        train_gan(images.flip(0), None, config("dcgan"), checkpoint=file)
    file.write_bytes(b"\x80\x04K\x01.")
    with pytest.raises(IntegrityError, match="damaged"):
        train_gan(images, None, config("dcgan"), checkpoint=file)


def test_it_learns_what_the_pictures_have_in_common(images):
    made = train_gan(images, None, config("dcgan", 150))
    with torch.inference_mode():
        z = torch.rand(32, 100, generator=torch.Generator().manual_seed(1)) * 2 - 1
        rois = (made.generator(z) + 1) / 2
    # The ground is 0.5 in every picture; an untrained generator's is 0.5 by chance, but it has no discs.
    assert (rois[:, 0, :6, :6].mean() - 0.5).abs() < 0.15
    assert rois[:, 0, 28:36, 28:36].std() > 0.03


def test_progress_is_told_to_the_end(images):
    told = []
    train_gan(images, None, config("dcgan", 60), progress=lambda share, what: told.append((share, what)))
    assert [share for share, _ in told] == [50 / 60, 1.0]
    assert "diversity" in told[-1][1]


def test_images_that_cannot_be_trained_on_are_refused(images):
    with pytest.raises(InputError, match=r"in \[0, 1\]"):
        train_gan(images * 2, None, config("dcgan"))
    with pytest.raises(InputError, match="shape"):
        train_gan(images[:, 0], None, config("dcgan"))
    with pytest.raises(InputError, match="as many labels"):
        train_gan(images, torch.zeros(3), config("acgan"))


@pytest.mark.parametrize(
    "wrong",
    [{"epochs": 1, "steps": 1}, {"steps": 0}, {"batch": 1}, {"seed": -1}, {"learning_rate": 0.0}, {"ema": 1.0}, {"width": 20}],
)
def test_settings_that_cannot_be_are_refused(wrong):
    with pytest.raises(InputError):
        GanConfig(**wrong)


def test_weights_that_blow_up_end_the_run(images):
    with pytest.raises(DivergedError):
        train_gan(images, None, config("dcgan", 60, learning_rate=1e30))


def test_a_generator_that_makes_one_picture_only_ends_the_run(images):
    # With a rate this small it stays as it began: all its pictures are alike.
    stuck = GanConfig(arm="dcgan", width=16, steps=250, batch=2, learning_rate=1e-12, device="cpu", least_diversity=0.9)
    with pytest.raises(CollapsedError, match=r"at step 250 of 250 its pictures have \d+% of the diversity"):
        train_gan(images, None, stuck)


def test_the_guard_forgives_a_single_look_and_the_beginning(images):
    guard = CollapseGuard(images, 0.5, 100, [])
    alike, different = images[:1].repeat(8, 1, 1, 1), images[:8]
    for step, shown in ((10, alike), (20, alike), (30, alike), (50, alike), (60, different), (70, alike), (80, alike)):
        guard.look(step, shown)
    with pytest.raises(CollapsedError):
        guard.look(90, alike)


def test_diversity_does_not_count_the_noise_of_single_pixels():
    rng = torch.Generator().manual_seed(0)
    noise = torch.rand(16, 1, 64, 64, generator=rng)
    greys = torch.rand(16, 1, 1, 1, generator=rng).expand(-1, -1, 64, 64)
    assert diversity(noise) < 0.5 * diversity(greys)


def test_a_loss_that_is_no_number_is_named():
    with pytest.raises(DivergedError, match="generator"):
        require_finite(3, {"discriminator": 1.0, "generator": float("nan")})


def test_losses_have_their_known_values():
    sure = (torch.full((4,), 50.0), torch.zeros(4, 0))
    unsure = (torch.zeros(4), torch.zeros(4, 0))
    assert discriminator_loss("dcgan", unsure, unsure, None, None).item() == pytest.approx(2 * 0.6931, abs=1e-3)
    assert discriminator_loss("dcgan", sure, (-sure[0], sure[1]), None, None).item() == pytest.approx(0, abs=1e-6)
    assert generator_loss("dcgan", sure, None).item() == pytest.approx(0, abs=1e-6)
    kinds = torch.tensor([0, 1, 2, 0])
    right = (torch.zeros(4), torch.nn.functional.one_hot(kinds, 3) * 50.0)
    assert generator_loss("acgan", right, kinds).item() == pytest.approx(0.6931, abs=1e-3)
    assert generator_loss("acgan", right, (kinds + 1) % 3).item() == pytest.approx(50.6931, abs=1e-2)


def test_the_penalty_is_half_the_squared_slope():
    images = torch.zeros(5, 1, 4, 4, requires_grad=True)
    slope = torch.arange(16.0).view(1, 4, 4)
    assert gradient_penalty(images, (images * slope).sum((1, 2, 3)), 3.0).item() == pytest.approx(1.5 * (slope**2).sum().item())


def test_a_checkpoint_comes_back_as_it_was(tmp_path):
    tensors = {"a": torch.rand(2, 3, 4, 4).contiguous(memory_format=torch.channels_last), "state": torch.Generator().get_state()}
    save_checkpoint(tmp_path / "c", tensors, {"step": 3})
    kept = load_checkpoint(tmp_path / "c")
    assert kept is not None
    assert all(torch.equal(kept[0][name], tensors[name]) for name in tensors)
    assert json.dumps(kept[1]) == '{"step": 3}'
    assert load_checkpoint(tmp_path / "none") is None
