"""Which device a network runs on, and whether bfloat16 pays there."""

from __future__ import annotations

import torch

from lesionlabel.lesions.errors import InputError


def pick_device(name: str = "auto") -> torch.device:
    """The torch device called name; auto is the first GPU, else the CPU. Raises InputError for one that is not there."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise InputError(f"Unknown device {name!r}. Allowed: auto, cpu, cuda, cuda:0 …") from None
    if device.type not in ("cpu", "cuda"):
        raise InputError(f"Device {name!r} is not supported. Allowed: auto, cpu, cuda, cuda:0 …")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise InputError(f"Device {name!r} is not on this machine ({torch.cuda.device_count()} GPUs found). Use auto or cpu.")
    return device


def has_fast_bfloat16(device: torch.device) -> bool:
    """Whether the device multiplies bfloat16 in hardware; elsewhere it would be emulated and slower than float32."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    abilities = torch.cpu.get_capabilities()
    return bool(abilities.get("avx512_bf16") or abilities.get("amx_tile"))
