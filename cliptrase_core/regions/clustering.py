"""Clusters of patches: DBSCAN on denoised rows of the recovered affinity (paper, sections 3.3 and 3.4).

Denoising prevents global patches from merging clusters. Global patches resemble [CLS] and therefore all patches. The
modes are the two of the paper, and none; the published code uses `suppress_global_patches`.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from cliptrase_core.cancel import steps
from cliptrase_core.presets import ClusterSettings

ROWS_AT_ONCE = 160
"""Patches whose neighbours are computed together: each pair of strips is computed once, so that several strips take two
thirds of the time of one. Fewer rows need more calls."""


def cluster_patches(rows: Tensor, settings: ClusterSettings) -> Tensor:
    """Cluster patches by their rows with DBSCAN.

    Args:
        rows: (N, F), a feature vector for each patch.
        settings: eps and min_samples of DBSCAN.

    Returns:
        (N,) int64 on the CPU, 0..K-1 or -1 for noise. K = 0 is a normal outcome.
    """
    near = _neighbours(rows.detach().cpu(), settings.eps).numpy()
    core = near.sum(axis=1) >= settings.min_samples
    labels = np.full(len(near), -1, dtype=np.int64)
    for seed in np.flatnonzero(core):
        if labels[seed] >= 0:
            continue
        # A cluster: core patches that reach one another, and their neighbours. A border patch joins its first cluster.
        cluster, reached = labels.max() + 1, np.array([seed])
        labels[seed] = cluster
        while len(reached):
            touched = near[reached].any(axis=0) & (labels < 0)
            labels[touched] = cluster
            reached = np.flatnonzero(touched & core)
    return torch.from_numpy(labels)


def _neighbours(points: Tensor, eps: float) -> Tensor:
    """Return (N, N) bool, True within eps; in double precision, because a tiny difference can join two clusters.

    Uses torch, because a run divides torch's threads among its pictures; numpy's own threads would wait for them.
    """
    near = torch.empty(len(points), len(points), dtype=torch.bool)
    strips = [slice(start, start + ROWS_AT_ONCE) for start in range(0, len(points), ROWS_AT_ONCE)]
    squares = torch.cat([points[strip].double().square().sum(1) for strip in strips])
    for number, rows in enumerate(steps(strips)):
        own = points[rows].double()
        for columns in strips[: number + 1]:
            products = own @ points[columns].double().T
            # For a huge eps the product is infinite, but eps ** 2 would raise.
            block = squares[rows, None] + squares[columns] - 2 * products <= eps * eps
            near[rows, columns], near[columns, rows] = block, block.T
    return near.fill_diagonal_(True)  # computed, a patch's distance to itself is rounding noise, above a tiny eps


def cluster_means(rows: Tensor, labels: Tensor) -> Tensor:
    """Return the mean row of each cluster, without noise patches.

    Args:
        rows: (N, F).
        labels: (N,) int64, 0..K-1 or -1 for noise.

    Returns:
        (K, F); K = 0 if every patch is noise.
    """
    member = labels >= 0
    count = int(labels.max()) + 1 if bool(member.any()) else 0
    index = labels[member].to(rows.device)
    sums = rows.new_zeros((count, rows.shape[1])).index_add_(0, index, rows[member.to(rows.device)])
    return sums / torch.bincount(index, minlength=count).clamp(min=1)[:, None]


DICE_LIMIT = 0.8
"""Dice overlap with the [CLS] map above which a cluster is dropped; see docs/decisions/006-denoise-dice.md."""


def suppress_global_patches(affinity: Tensor) -> Tensor:
    """Subtract each target patch's affinity with [CLS] from its affinity with all patches; clip at 0.

    Args:
        affinity: (1+N, 1+N), cosine in [-1, 1]; row and column 0 are [CLS].

    Returns:
        (N, N), non-negative; 0 where target j is no closer to patch i than to [CLS].
    """
    # A patch that resembles [CLS] resembles everything: its column would merge all clusters.
    return (affinity[1:, 1:] - affinity[:1, 1:]).clamp_(min=0)


def clustering_rows(affinity: Tensor, mode: str) -> Tensor:
    """Return the rows for DBSCAN and for region maps: one feature vector for each patch.

    Args:
        affinity: (1+N, 1+N), cosine in [-1, 1].
        mode: "cls" subtracts the affinity with [CLS]; "dice" and "none" use the affinity between patches unchanged.

    Returns:
        (N, N).
    """
    return suppress_global_patches(affinity) if mode == "cls" else affinity[1:, 1:]


def drop_global_clusters(labels: Tensor, affinity: Tensor, limit: float = DICE_LIMIT) -> Tensor:
    """Turn clusters that resemble the [CLS] map into noise (the paper's Dice variant).

    Each map is thresholded at its own mean, so that contrast and offset of a map have no effect;
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
