"""Functions shared by all training scripts: learning rate schedule, average of the weights, printed curve."""

from __future__ import annotations

import json
import math
import sys
from typing import Any

import torch

LONGEST = 0.998  # maximum decay of the average: the share of the averaged weights that a late step keeps


def cosine_rate(highest: float, spent: float, step: int) -> float:
    """Return the learning rate of a schedule over time: a rise over 100 steps, then a cosine decay to a fiftieth.

    Args:
        highest: maximum learning rate.
        spent: elapsed share of the time, in [0, 1].
        step: index of this step, from 0.
    """
    return highest * min(1.0, (step + 1) / 100) * (0.02 + 0.98 * (1 + math.cos(math.pi * min(1.0, spent))) / 2)


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Set the learning rate of all parameter groups; one with a key "faster" has that many times the rate."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group.get("faster", 1.0)


def bf16_pays(device: str) -> bool:
    """Return whether bf16 is faster: True on a GPU and on CPUs with bf16 multiplication. Other CPUs are 20x slower."""
    if device.startswith("cuda"):
        return True
    return torch.cpu._is_amx_tile_supported() or torch.cpu._is_avx512_bf16_supported()


@torch.no_grad()
def follow(average: Any, model: Any, step: int) -> None:
    """Move the averaged weights towards those of this step. The decay is min(LONGEST, step / (step + 20))."""
    keep = min(LONGEST, step / (step + 20))
    for mean, now in zip(average.parameters(), model.parameters(), strict=True):
        mean.lerp_(now, 1 - keep)


def show(line: dict[str, Any]) -> None:
    """Print a line of the curve as JSON."""
    text = json.dumps({key: round(value, 3) if isinstance(value, float) else value for key, value in line.items()})
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
