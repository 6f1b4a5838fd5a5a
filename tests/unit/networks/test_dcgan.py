import torch
from torch.nn import functional

from lesionlabel.networks.acgan import ACGANDiscriminator, ACGANGenerator
from lesionlabel.networks.dcgan import DCGANDiscriminator, DCGANGenerator


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def louder(network):
    """A network whose first weights matter: at N(0, 0.02) and this width all pictures are nearly 0."""
    for weight in network.parameters():
        if weight.dim() > 1:
            weight.data *= 8
    return network.train()


def test_a_picture_follows_the_papers_layers():
    network = louder(DCGANGenerator(16, rng(1)))
    weights = network.state_dict()
    z = torch.rand(6, 100, generator=rng(2)) * 2 - 1
    x = (z @ weights["dense.weight"].T + weights["dense.bias"]).view(6, 16, 4, 4)
    for layer in range(4):
        x = functional.relu(functional.batch_norm(x, None, None, training=True))
        kernel, bias = weights[f"convs.{layer}.weight"], weights[f"convs.{layer}.bias"]
        x = functional.conv_transpose2d(x, kernel, bias, stride=2, padding=2, output_padding=1)
    made = network(z)
    assert made.abs().max() > 0.5
    torch.testing.assert_close(made, torch.tanh(x), atol=1e-5, rtol=1e-4)


def test_a_judgement_follows_the_papers_layers():
    network = louder(DCGANDiscriminator(16, rng(1)))
    weights = network.state_dict()
    images = torch.rand(6, 1, 64, 64, generator=rng(2)) * 2 - 1
    x = images
    for layer in range(4):
        x = functional.conv2d(x, weights[f"convs.{layer}.weight"], weights[f"convs.{layer}.bias"], stride=2, padding=2)
        # Batch norm but at the first layer.
        x = functional.batch_norm(x, None, None, training=True) if layer else x
        x = torch.where(x > 0, x, 0.2 * x)
    logits = x.flatten(1) @ weights["dense.weight"].T + weights["dense.bias"]
    judged, classes = network(images)
    assert judged.std() > 0.01
    torch.testing.assert_close(judged, logits[:, 0], atol=1e-5, rtol=1e-4)
    assert classes.shape == (6, 0)


def test_the_acgan_is_the_dcgan_with_the_class_joined_to_the_noise_and_to_the_answer():
    acgan, dcgan = louder(ACGANGenerator(3, 16, rng(1))), louder(DCGANGenerator(16, conditions=50))
    dcgan.load_state_dict({name: value for name, value in acgan.state_dict().items() if name != "embedding.weight"})
    z, labels = torch.rand(6, 100, generator=rng(2)) * 2 - 1, torch.tensor([0, 1, 2, 2, 1, 0])
    joined = torch.cat([z, acgan.embedding.weight[labels]], dim=1)
    torch.testing.assert_close(acgan(z, labels), dcgan(joined))
    with torch.no_grad():
        acgan.embedding.weight[2] = 5.0
    changed = (acgan.eval()(z, labels) != dcgan.eval()(joined)).flatten(1).any(dim=1)
    assert changed.tolist() == [False, False, True, True, False, False]
    # Beside the DCGAN's one: a logit for each class.
    extra = sum(p.numel() for p in ACGANDiscriminator(3, 16).parameters())
    assert extra - sum(p.numel() for p in DCGANDiscriminator(16).parameters()) == 3 * (8 * 16 + 1)
