"""Device and float type; half precision only where a measurement shows that it is faster."""

from __future__ import annotations

import copy
import functools
import statistics
import time
from typing import Any

import torch
from torch import nn

from cliptrase_core.errors import InputError, explain

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16, "fp64": torch.float64}
AUTO = "auto"

WORTH_IT = 1.5
"""Below this gain the loss of exactness buys nothing."""
HOPELESS = 0.5
"""Three products in bf16 that all take twice as long settle it."""


def resolve_precision(name: str, device: torch.device) -> torch.dtype:
    """Float type for a name.

    Args:
        name: "fp32", "bf16", "fp16", "fp64", or "auto": bf16 where a probe on this device finds it faster, else fp32.
        device: where the model will run.

    Raises:
        InputError: unknown name.
    """
    if name == AUTO:
        return torch.bfloat16 if bf16_gain(device.type) >= WORTH_IT else torch.float32
    if not isinstance(name, str) or name not in PRECISIONS:
        known = ", ".join([*PRECISIONS, AUTO])
        raise InputError(explain("precision", expected=f"one of {known}", got=repr(name), remedy="fp32 is exact."))
    return PRECISIONS[name]


@functools.lru_cache
def bf16_gain(device_type: str) -> float:
    """How many times faster a ViT-B sized matrix product is in bf16; CPUs without bf16 units are slower.

    Takes less than 0.1 s, up to a second on a CPU without bf16 units; once in a process for each kind of device.
    """
    gains: list[float] = []
    while len(gains) < 9 and not (len(gains) == 3 and max(gains) < HOPELESS):
        # In turn, so that a busy machine slows both.
        full, half = (_seconds(dtype, device_type) for dtype in (torch.float32, torch.bfloat16))
        gains.append(full / half)
    return statistics.median(gains)


def _seconds(dtype: torch.dtype, device_type: str) -> float:
    left = torch.ones(197, 768, dtype=dtype, device=device_type)
    right = torch.ones(768, 768, dtype=dtype, device=device_type)
    start = time.perf_counter()
    (left @ right).sum().item()  # item() waits for the device
    return time.perf_counter() - start


def placed(model: nn.Module, device: torch.device, dtype: torch.dtype) -> Any:
    """The model itself where it already fits, else a copy: the caller's model is never changed."""
    if not model.training and all(p.device == device and p.dtype == dtype for p in model.parameters()):
        return model
    return copy.deepcopy(model).to(device=device, dtype=dtype).eval()


def device_by_name(name: str) -> torch.device:
    """Look a device up.

    Raises:
        InputError: torch does not have it here.
    """
    try:
        device = torch.device(name)
        torch.ones(1, device=device).item()
    except Exception as error:  # torch raises many kinds, down to ModuleNotFoundError
        raise InputError(
            explain("device", expected="one that torch has here", got=repr(name), remedy='"cpu" works everywhere.')
        ) from error
    return device
