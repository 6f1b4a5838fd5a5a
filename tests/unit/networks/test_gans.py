import pytest
import torch
from torch import nn

from lesionlabel.lesions.errors import InputError
from lesionlabel.networks.diff_augment import apply_augmentation, draw_augmentation
from lesionlabel.networks.gans import ARMS, build_discriminator, build_generator, require_arm
from lesionlabel.networks.noise import draw_inputs


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def parameters(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


def test_the_dcgan_is_the_papers_at_its_width():
    generator, discriminator = build_generator("dcgan", 1024, 1), build_discriminator("dcgan", 1024, 1)
    # Dense 100 to 4 × 4 × 1024, then 5 × 5 kernels to 512, 256, 128, 1, each with its bias; batch norm but at the output.
    convs = 25 * (1024 * 512 + 512 * 256 + 256 * 128 + 128) + 512 + 256 + 128 + 1
    assert parameters(generator) == 101 * 16384 + convs + 2 * (1024 + 512 + 256 + 128) == 18_865_921
    assert [(c.in_channels, c.out_channels, c.kernel_size, c.stride) for c in generator.convs] == [
        (1024, 512, (5, 5), (2, 2)),
        (512, 256, (5, 5), (2, 2)),
        (256, 128, (5, 5), (2, 2)),
        (128, 1, (5, 5), (2, 2)),
    ]
    # 5 × 5 kernels to 64, 128, 256, 512, dense 1; batch norm but at the first and last layer.
    convs = 25 * (64 + 64 * 128 + 128 * 256 + 256 * 512) + 64 + 128 + 256 + 512
    assert parameters(discriminator) == convs + 2 * (128 + 256 + 512) + 512 * 16 + 1 == 4_313_345
    norms = [m for m in discriminator.modules() if isinstance(m, nn.BatchNorm2d)]
    assert [norm.num_features for norm in norms] == [128, 256, 512]


@pytest.mark.parametrize("arm", ARMS)
def test_every_generator_makes_rois_and_its_discriminator_judges_them(arm):
    generator, discriminator = build_generator(arm, 16, 3, rng(1)), build_discriminator(arm, 16, 3, rng(2))
    labels = torch.tensor([0, 1, 2, 0, 1])
    made = generator(*draw_inputs(generator, 5, rng(3), labels))
    assert made.shape == (5, 1, 64, 64)
    assert made.abs().max() <= 1
    real, classes = discriminator(made)
    assert real.shape == (5,)
    assert classes.shape == (5, 3 if arm == "acgan" else 0)


@pytest.mark.parametrize("arm", ARMS)
def test_weights_come_from_the_passed_generator_only(arm):
    torch.manual_seed(5)
    before = torch.get_rng_state()
    one, same, other = (build_generator(arm, 16, 3, rng(seed)).state_dict() for seed in (1, 1, 2))
    build_discriminator(arm, 16, 3, rng(1))
    assert torch.equal(before, torch.get_rng_state())
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert any(not torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("arm", ["dcgan", "acgan"])
def test_the_papers_weights_start_from_a_normal_of_sd_0_02_with_zero_biases(arm):
    for network in (build_generator(arm, 128, 3, rng(1)), build_discriminator(arm, 128, 3, rng(1))):
        for module in network.modules():
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
                assert module.weight.std().item() == pytest.approx(0.02, rel=0.1)
                assert module.bias is not None
                assert not module.bias.any()
            if isinstance(module, nn.BatchNorm2d):
                assert torch.equal(module.weight, torch.ones_like(module.weight))


@pytest.mark.parametrize("arm", ARMS)
def test_a_network_that_nobody_trained_has_no_weights(arm):
    for name, value in build_generator(arm, 16, 3).named_parameters():
        assert not value.any() or "norm" in name


def test_the_papers_noise_is_uniform_and_the_modern_arms_normal():
    z = draw_inputs(build_generator("dcgan", 16, 1), 500, rng()).z
    assert z.min() >= -1
    assert z.max() <= 1
    assert z.std().item() == pytest.approx(3**-0.5, rel=0.02)
    inputs = draw_inputs(build_generator("modern", 16, 1), 500, rng(), truncation=0.5)
    assert inputs.z.std().item() == pytest.approx(0.5, rel=0.02)
    assert [picture.shape[-1] for picture in inputs.noise] == [8, 16, 32, 64]


def test_the_acgans_class_and_the_modern_arms_noise_change_the_picture():
    acgan = build_generator("acgan", 16, 3, rng(1)).eval()
    z = draw_inputs(acgan, 1, rng(2)).z
    assert not torch.equal(acgan(z, torch.tensor([0])), acgan(z, torch.tensor([2])))
    modern = build_generator("modern", 16, 1, rng(1)).eval()
    for name, parameter in modern.named_parameters():
        if "strengths" in name:
            parameter.data.fill_(1.0)
    z, _, noise = draw_inputs(modern, 1, rng(2))
    assert not torch.equal(modern(z, None, noise), modern(z, None, [torch.zeros_like(n) for n in noise]))


def test_the_modern_discriminator_sees_whether_a_batch_is_all_alike():
    discriminator = build_discriminator("modern", 16, 1, rng(1)).eval()
    one, other = torch.rand(2, 1, 64, 64, generator=rng(2)) * 2 - 1
    alike, mixed = torch.stack([one, one]), torch.stack([one, other])
    assert discriminator(alike)[0][0] != discriminator(mixed)[0][0]


@pytest.mark.parametrize("width", [0, 8, 24, 8192, -16])
def test_a_width_that_no_network_can_have_is_refused(width):
    with pytest.raises(InputError, match="multiple of 16"):
        build_generator("dcgan", width, 1)


def test_an_unknown_network_is_refused_by_name():
    with pytest.raises(InputError, match=r"'stylegan'. Allowed: dcgan, acgan, modern"):
        require_arm("stylegan")


def test_the_discriminators_view_is_shifted_and_cut_and_changes_no_grey():
    images = torch.rand(40, 1, 64, 64, generator=rng(1)) * 0.5 + 0.25
    images.requires_grad_()
    drawn = draw_augmentation(40, 64, rng(2))
    seen = apply_augmentation(images, drawn)
    assert torch.equal(seen, apply_augmentation(images, drawn))
    kept = seen != 0
    assert 0.6 < kept.float().mean() < 0.98
    for before, after, shown in zip(images.detach(), seen.detach(), kept, strict=True):
        assert torch.isin(after[shown], before).all()
    seen.sum().backward()
    # Each shown pixel is one pixel of the image, once.
    assert images.grad is not None
    assert images.grad.sum().item() == kept.sum().item()
    assert images.grad.max() == 1
