"""Checkpoints of a training: tensors and JSON in one safetensors file, written atomically, never unpickled."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor, nn

from lesionlabel.lesions.errors import InputError, IntegrityError
from lesionlabel.lesions.files import write_atomically

#: Seconds between two checkpoints of a training.
KEEP_EVERY_S = 60.0


def save_checkpoint(path: Path, tensors: dict[str, Tensor], record: dict[str, Any]) -> None:
    """Write the tensors and the JSON record; a reader finds the earlier file or this one, never half of it."""
    # Copies: safetensors takes no two tensors of one memory, and channels-last ones come back as they were only contiguous.
    plain = {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}
    write_atomically(path, safetensors.torch.save(plain, {"record": json.dumps(record)}))


def load_checkpoint(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """What save_checkpoint wrote; None where there is no such file. Raises IntegrityError for a damaged one."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    try:
        size = int.from_bytes(content[:8], "little")
        record = json.loads(json.loads(content[8 : 8 + size])["__metadata__"]["record"])
        if not isinstance(record, dict):
            raise TypeError("its record is no JSON object")
        return safetensors.torch.load(content), record
    except (ValueError, KeyError, TypeError, safetensors.SafetensorError) as error:
        raise IntegrityError(f"The checkpoint {path} is damaged ({error}). Delete it to train from the start.") from error


def load_checkpoint_of(path: Path, task: dict[str, Any]) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """As load_checkpoint, for a record whose "task" says what is trained on what. Raises InputError when it is another.

    None also where only device or precision differ: the run goes on on another machine, and from its start.
    """
    kept = load_checkpoint(path)
    if kept is None:
        return None
    theirs = kept[1].get("task", {})
    if theirs != task:
        differ = sorted(key for key in {*task, *theirs} if task.get(key) != theirs.get(key))
        if set(differ) <= {"device", "precision"}:
            return None
        raise InputError(f"The checkpoint {path} is of another training (it differs in {', '.join(differ)}). Delete it first.")
    return kept


def pack(prefix: str, module: nn.Module) -> dict[str, Tensor]:
    """A module's weights and buffers, named with a prefix."""
    return {f"{prefix}.{name}": value for name, value in module.state_dict().items()}


def unpack(prefix: str, module: nn.Module, tensors: dict[str, Tensor]) -> None:
    """Give a module what pack took from one like it."""
    start = f"{prefix}."
    module.load_state_dict({name.removeprefix(start): value for name, value in tensors.items() if name.startswith(start)})


def pack_optimizer(prefix: str, optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """An optimiser's averages and counts, named with a prefix."""
    state = optimizer.state_dict()["state"]
    return {f"{prefix}.{index}.{name}": value for index, values in state.items() for name, value in values.items()}


def unpack_optimizer(prefix: str, optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    """Give an optimiser what pack_optimizer took from one over the same parameters."""
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        if name.startswith(f"{prefix}."):
            index, _, kind = name.removeprefix(f"{prefix}.").partition(".")
            like = parameters[int(index)]
            # The fused step walks through memory: an average laid out otherwise than its parameter would be paired wrongly.
            state.setdefault(int(index), {})[kind] = torch.empty_like(like).copy_(value) if value.shape == like.shape else value
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})
