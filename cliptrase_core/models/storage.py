"""Storage of weights in 8 bits: matrices as int8 with one fp16 scale per row, everything else in fp16."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

SCALE = ".scale"
SMALLEST = 4096  # elements; for smaller tensors, 8 bits save too little to justify their error


def pack(
    state: Mapping[str, Tensor], whole: tuple[str, ...] = ("positional", "pos_embed", "pe_layer")
) -> dict[str, Tensor]:
    """Convert a state dict to the storage format.

    Args:
        state: floating-point tensors by name.
        whole: parts of names whose tensors stay in fp16, because positions are added to everything.
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
    """Undo `pack`; return float32 tensors."""
    state = {}
    for name, tensor in packed.items():
        if name.endswith(SCALE):
            continue
        state[name] = tensor.to(torch.float32, copy=True)
        scale = packed.get(name + SCALE)
        if scale is not None:
            state[name] *= scale.float().reshape(-1, *[1] * (tensor.ndim - 1))  # one scale per row
    return state
