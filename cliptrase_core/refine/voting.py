"""Masks of everything in a picture, each named by the coarse labels inside it. Pure: no model is called here."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

MAJORITY = 0.5
"""Share of a mask that its commonest class must have; else what lies under it stays."""

SETTINGS = {
    "points_per_side": 12,
    "points_per_batch": 16,  # 64 take 2 GB at 1024 x 1024
    "pred_iou_thresh": 0.6,
    "stability_score_thresh": 0.6,
    "box_nms_thresh": 0.8,
}
"""Of `SamAutomaticMaskGenerator`: few points and low thresholds, as methods that refine with SAM use on a CPU."""


def vote(
    labels: npt.NDArray[np.integer], masks: Sequence[npt.NDArray[np.bool_]]
) -> tuple[npt.NDArray[np.integer], list[float]]:
    """Give every mask its commonest coarse class; small masks lie on large ones.

    Args:
        labels: (H, W) coarse.
        masks: (H, W) each, any order.

    Returns:
        (H, W) new labels, and the share of each mask's commonest class, in the order of `masks`.
    """
    new = labels.copy()
    shares = [0.0] * len(masks)
    areas = [int(mask.sum()) for mask in masks]
    for index in sorted(range(len(masks)), key=lambda at: (-areas[at], at)):
        if not areas[index]:
            continue
        counts = np.bincount(labels[masks[index]])
        shares[index] = float(counts.max() / areas[index])
        if shares[index] >= MAJORITY:
            new[masks[index]] = counts.argmax()
    return new, shares
