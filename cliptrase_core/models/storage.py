"""Weights in 8 bits: matrices as int8 with one fp16 scale per row, everything else in fp16."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

SCALE = ".scale"
SMALLEST = 4096  # numbers; below it 8 bits save nothing worth their error


def pack(
    state: Mapping[str, Tensor], whole: tuple[str, ...] = ("positional", "pos_embed", "pe_layer")
) -> dict[str, Tensor]:
    """Bring a state dict into storage form.

    Args:
        state: any floating tensors.
        whole: names that contain one of these stay in fp16: positions are added to everything.
    """
    packed = {}
    for name, tensor in state.items():
        values = tensor.detach().float()
        if values.ndim < 2 or values.numel() < SMALLEST or any(part in name for part in whole):
            packed[name] = values.half().contiguous()
            continue
        rows = values.reshape(len(values), -1)
        scale = (rows.abs().amax(1).clamp_min(1e-6) / 127).half()
        steps = (rows / scale.float()[:, None]).round().clamp(-127, 127)
        packed[name] = steps.to(torch.int8).reshape(values.shape).contiguous()
        packed[name + SCALE] = scale
    return packed


def unpack(packed: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Undo `pack`: float32 tensors."""
    state = {}
    for name, tensor in packed.items():
        if name.endswith(SCALE):
            continue
        state[name] = tensor.to(torch.float32, copy=True)
        scale = packed.get(name + SCALE)
        if scale is not None:
            state[name] *= scale.float().reshape(-1, *[1] * (tensor.ndim - 1))  # one per row
    return state
