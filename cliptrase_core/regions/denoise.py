"""Denoising: keep global patches, those that resemble [CLS] and so everything, from merging clusters.

Two ways of the paper (section 3.4) and none. What the published code runs is `suppress_global_patches`.
"""

from __future__ import annotations

import torch
from torch import Tensor

DICE_LIMIT = 0.8
"""Clusters whose map overlaps the [CLS] map by more are dropped; see docs/decisions/006-denoise-dice.md."""


def suppress_global_patches(affinity: Tensor) -> Tensor:
    """Keep only the affinity a patch pair has beyond what the target patch has with [CLS].

    Args:
        affinity: (1+N, 1+N), cosine in [-1, 1]; row and column 0 are [CLS].

    Returns:
        (N, N), non-negative; 0 where target j is no closer to patch i than to [CLS].
    """
    # A patch that resembles [CLS] resembles everything: its column would merge all clusters.
    return (affinity[1:, 1:] - affinity[:1, 1:]).clamp_(min=0)


def clustering_rows(affinity: Tensor, mode: str) -> Tensor:
    """Rows that DBSCAN clusters and that become region maps: one feature vector for each patch.

    Args:
        affinity: (1+N, 1+N), cosine in [-1, 1].
        mode: "cls" subtracts; "dice" and "none" take the patch-to-patch part as it is.

    Returns:
        (N, N).
    """
    return suppress_global_patches(affinity) if mode == "cls" else affinity[1:, 1:]


def drop_global_clusters(labels: Tensor, affinity: Tensor, limit: float = DICE_LIMIT) -> Tensor:
    """Turn clusters that look like the [CLS] map into noise (the paper's Dice way).

    A map is made a set by its own mean, so that neither contrast nor offset of a map counts;
    Dice = 2 |A and B| / (|A| + |B|).

    Args:
        labels: (N,) int64, cluster of each patch, -1 = noise.
        affinity: (1+N, 1+N), cosine in [-1, 1].
        limit: Dice above which a cluster is dropped, in [0, 1].

    Returns:
        (N,) int64, clusters renumbered from 0 in their old order.
    """
    kept = labels.clone()
    cls_set = _above_mean(affinity[0, 1:])
    next_label = 0
    for cluster in range(int(labels.max()) + 1 if len(labels) else 0):
        members = labels == cluster
        cluster_set = _above_mean(affinity[1:, 1:][members].mean(dim=0))
        dice = 2 * (cluster_set & cls_set).sum() / (cluster_set.sum() + cls_set.sum()).clamp(min=1)
        kept[members] = -1 if dice > limit else next_label
        next_label += int(dice <= limit)
    return kept


def _above_mean(values: Tensor) -> Tensor:
    return torch.gt(values, values.mean())
