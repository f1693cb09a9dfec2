"""Clusters of patches: DBSCAN on denoised rows of the recovered affinity (paper, sections 3.3 and 3.4).

Denoising keeps global patches, those that resemble [CLS] and so everything, from merging clusters. There are the two
ways of the paper, and none. What the published code runs is `suppress_global_patches`.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from scipy import sparse
from sklearn.cluster import DBSCAN
from sklearn.neighbors import NearestNeighbors
from torch import Tensor

from cliptrase_core.cancel import check, steps
from cliptrase_core.presets import ClusterSettings

AT_ONCE_UP_TO = 2048
"""Patches that DBSCAN takes in one go, a second; 6,144 take it twenty, within which nobody could leave."""

ROWS_AT_ONCE = 512
"""Patches whose neighbours are looked for together, a multiple of scikit-learn's own 256: the sums stay the same."""


def cluster_patches(rows: Tensor, settings: ClusterSettings) -> Tensor:
    """Cluster patches by their rows.

    Args:
        rows: (N, F), a feature vector for each patch.
        settings: DBSCAN's radius and core size.

    Returns:
        (N,) int64 on the CPU, 0..K-1 or -1 for noise. K = 0 is a normal outcome.
    """
    check()
    points = rows.detach().cpu().numpy()
    if len(points) > AT_ONCE_UP_TO:
        labels = DBSCAN(eps=1, min_samples=settings.min_samples, metric="precomputed").fit_predict(
            _neighbours(points, settings.eps)
        )
    else:
        labels = DBSCAN(eps=settings.eps, min_samples=settings.min_samples).fit_predict(points)
    check()
    return torch.from_numpy(labels.astype(np.int64))


def _neighbours(points: npt.NDArray[np.floating], eps: float) -> sparse.csr_matrix:
    """(N, N) ones where two points lie within eps, found as DBSCAN itself would find them, but in steps."""
    search = NearestNeighbors(radius=eps).fit(points)
    parts = [
        search.radius_neighbors_graph(points[start : start + ROWS_AT_ONCE], mode="connectivity")
        for start in steps(range(0, len(points), ROWS_AT_ONCE))
    ]
    return sparse.vstack(parts, format="csr")


def cluster_means(rows: Tensor, labels: Tensor) -> Tensor:
    """Mean row of each cluster; noise patches belong to none.

    Args:
        rows: (N, F).
        labels: (N,) int64, 0..K-1 or -1 for noise.

    Returns:
        (K, F); K = 0 when every patch is noise.
    """
    member = labels >= 0
    count = int(labels.max()) + 1 if bool(member.any()) else 0
    index = labels[member].to(rows.device)
    sums = rows.new_zeros((count, rows.shape[1])).index_add_(0, index, rows[member.to(rows.device)])
    return sums / torch.bincount(index, minlength=count).clamp(min=1)[:, None]


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
