"""Otsu's method (IEEE Trans. SMC 9(1), 1979): the threshold that divides values into two groups."""

from __future__ import annotations

import cv2
import torch
from torch import Tensor


def otsu_threshold(values: Tensor) -> float:
    """Return Otsu's threshold of any number of values; below all of them if they are equal."""
    low, high = float(values.min()), float(values.max())
    if not high > low:
        return low - 1.0
    levels = ((values.float().cpu() - low) / (high - low) * 255).round().to(torch.uint8)
    level, _ = cv2.threshold(levels.flatten().numpy(), 0, 255, cv2.THRESH_OTSU)
    return low + (level + 0.5) / 255 * (high - low)
