"""Choice of device and float type; half precision only where a measurement shows that it is faster."""

from __future__ import annotations

import copy
import functools
import statistics
import time
from typing import Any

import torch
from open_clip.transformer import LayerNorm, LayerNormFp32
from torch import nn

from cliptrase_core.errors import InputError
from cliptrase_core.names import AUTO, PRECISION_NAMES

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16, "fp64": torch.float64}

WORTH_IT = 1.5
"""Least gain in speed that justifies the lower precision of bf16."""
HOPELESS = 0.5
"""Gain below which measuring stops early: if each of three products takes more than twice as long in bf16."""


def resolve_precision(name: str, device: torch.device) -> torch.dtype:
    """Return the float type for a name.

    Args:
        name: "fp32", "bf16", "fp16", "fp64", or "auto": bf16 if a measurement on `device` finds it faster, else fp32.
        device: device of the model.

    Raises:
        InputError: unknown name.
    """
    if name == AUTO:
        return torch.bfloat16 if bf16_gain(device.type) >= WORTH_IT else torch.float32
    if not isinstance(name, str) or name not in PRECISIONS:
        known = ", ".join(PRECISION_NAMES)
        raise InputError("precision", expected=f"one of {known}", got=repr(name), remedy="fp32 is exact.")
    return PRECISIONS[name]


@functools.lru_cache
def bf16_gain(device_type: str) -> float:
    """Return the speed-up of a ViT-B sized matrix product by bf16; CPUs without bf16 units become slower.

    Takes less than 0.1 s, or up to a second on a CPU without bf16 units; runs once per process and type of device.
    """
    gains: list[float] = []
    while len(gains) < 9 and not (len(gains) == 3 and max(gains) < HOPELESS):
        # Measured in turn, so that a busy machine slows both.
        full, half = (_seconds(dtype, device_type) for dtype in (torch.float32, torch.bfloat16))
        gains.append(full / half)
    return statistics.median(gains)


def _seconds(dtype: torch.dtype, device_type: str) -> float:
    left = torch.ones(197, 768, dtype=dtype, device=device_type)
    right = torch.ones(768, 768, dtype=dtype, device=device_type)
    start = time.perf_counter()
    (left @ right).sum().item()  # item() waits for the device
    return time.perf_counter() - start


def to_device(model: nn.Module, device: torch.device, dtype: torch.dtype) -> Any:
    """Return the model itself if it already fits, else a converted copy: the caller's model is never changed."""
    if not model.training and all(p.device == device and p.dtype == dtype for p in model.parameters()):
        return model
    own = copy.deepcopy(model).to(device=device, dtype=dtype).eval()
    for module in own.modules():
        if isinstance(module, LayerNormFp32):  # of open_clip's own fp16 and bf16: it needs weights in fp32
            module.__class__ = LayerNorm
    return own


def device_by_name(name: str) -> torch.device:
    """Return the torch device with this name.

    Raises:
        InputError: torch cannot use this device here.
    """
    try:
        device = torch.device(name)
        torch.ones(1, device=device).item()
    except Exception as error:  # torch raises many kinds, even ModuleNotFoundError
        raise InputError(
            "device", expected="one that torch has here", got=repr(name), remedy='"cpu" works everywhere.'
        ) from error
    return device
