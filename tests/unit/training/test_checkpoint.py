import pickle

import pytest
import safetensors.torch
import torch
from torch import nn
from torch.nn.utils.memory_format import convert_conv2d_weight_memory_format

from lesionlabel.lesions.errors import IntegrityError
from lesionlabel.training.checkpoint import load_checkpoint, pack_optimizer, save_checkpoint, unpack_optimizer


def test_every_kind_of_tensor_comes_back_and_nothing_else_is_left_in_the_folder(tmp_path):
    rng = torch.Generator().manual_seed(3)
    weight = torch.randn(4, 4, generator=rng)
    tensors = {
        "half": weight.to(torch.bfloat16),
        "shared": weight,
        "shared again": weight,
        "turned": weight.T,
        "random state": rng.get_state(),
        "indices": torch.arange(5),
        "none left": torch.zeros(0, dtype=torch.int64),
        "one number": torch.tensor(7.0),
    }
    record = {"step": 3, "losses": [[1, 0.1, 1e-45]], "task": {"name": "é"}}
    for _ in range(2):
        save_checkpoint(tmp_path / "c", tensors, record)
    kept = load_checkpoint(tmp_path / "c")
    assert kept is not None
    assert kept[1] == record
    assert set(kept[0]) == set(tensors)
    for name, value in tensors.items():
        assert kept[0][name].dtype == value.dtype
        assert torch.equal(kept[0][name], value)
    assert [path.name for path in tmp_path.iterdir()] == ["c"]
    drawn = torch.rand(3, generator=rng)
    assert torch.equal(torch.rand(3, generator=torch.Generator().set_state(kept[0]["random state"])), drawn)


class Malicious:
    def __reduce__(self):
        return pytest.fail, ("a checkpoint was unpickled",)


def damaged(name: str, whole: bytes) -> bytes:
    if name == "no JSON in its place":
        return safetensors.torch.save({"a": torch.zeros(2)}, {"record": "{"})
    if name == "a record that is no object":
        return safetensors.torch.save({"a": torch.zeros(2)}, {"record": "[1]"})
    if name == "no record":
        return safetensors.torch.save({"a": torch.zeros(2)})
    return {
        "empty": b"",
        "cut off in the head": whole[:20],
        "cut off in a tensor": whole[:-3],
        "longer": whole + b"\0",
        "a pickle": pickle.dumps(Malicious()),
        "a length beyond the file": b"\xff" * 8 + whole[8:],
    }[name]


@pytest.mark.parametrize(
    "name",
    [
        "empty",
        "cut off in the head",
        "cut off in a tensor",
        "longer",
        "a pickle",
        "a length beyond the file",
        "no JSON in its place",
        "a record that is no object",
        "no record",
    ],
)
def test_what_is_no_whole_checkpoint_is_refused_with_what_to_do(name, tmp_path):
    file = tmp_path / "run.checkpoint"
    save_checkpoint(file, {"a": torch.zeros(9)}, {"step": 1})
    file.write_bytes(damaged(name, file.read_bytes()))
    with pytest.raises(IntegrityError, match=r"run\.checkpoint is damaged .*Delete it"):
        load_checkpoint(file)


def test_an_optimiser_goes_on_as_if_it_had_not_been_kept_whatever_its_weights_layout(tmp_path):
    def network() -> nn.Conv2d:
        conv = nn.Conv2d(3, 4, 3, bias=False)
        with torch.no_grad():
            conv.weight.copy_(torch.linspace(-1, 1, conv.weight.numel()).view_as(conv.weight))
        return convert_conv2d_weight_memory_format(conv, torch.channels_last)

    def step(conv: nn.Conv2d, adam: torch.optim.Adam, seed: int) -> None:
        images = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(seed))
        adam.zero_grad()
        conv(images).square().sum().backward()
        adam.step()

    one, other = network(), network()
    first, second = (torch.optim.Adam(conv.parameters(), 0.1, fused=True) for conv in (one, other))
    step(one, first, 1)
    save_checkpoint(tmp_path / "c", pack_optimizer("adam", first), {})
    kept = load_checkpoint(tmp_path / "c")
    assert kept is not None
    other.load_state_dict(one.state_dict())
    unpack_optimizer("adam", second, kept[0])
    for seed in (2, 3):
        step(one, first, seed)
        step(other, second, seed)
    assert torch.equal(one.weight, other.weight)
