"""What all trainings share: a learning rate over time, an average of the weights, a curve that is printed."""

from __future__ import annotations

import json
import math
import sys
from typing import Any

import torch

LONGEST = 0.998  # share of the averaged weights that a late step keeps


def cosine_rate(highest: float, spent: float, step: int) -> float:
    """Rate of a schedule that is measured in time: it rises over 100 steps and falls along a cosine to a fiftieth.

    Args:
        highest: the rate.
        spent: share of the time that is over, in [0, 1].
        step: number of this step.
    """
    return highest * min(1.0, (step + 1) / 100) * (0.02 + 0.98 * (1 + math.cos(math.pi * min(1.0, spent))) / 2)


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Give every group of weights the same rate."""
    for group in optimizer.param_groups:
        group["lr"] = rate


@torch.no_grad()
def follow(average: Any, model: Any, step: int) -> None:
    """Move the averaged weights towards those of this step; the average covers a twentieth of the first steps."""
    keep = min(LONGEST, step / (step + 20))
    for mean, now in zip(average.parameters(), model.parameters(), strict=True):
        mean.lerp_(now, 1 - keep)


def show(line: dict[str, Any]) -> None:
    """Print a line of the curve as JSON."""
    text = json.dumps({key: round(value, 3) if isinstance(value, float) else value for key, value in line.items()})
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
