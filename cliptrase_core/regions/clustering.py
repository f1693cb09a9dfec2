"""Clusters of patches: DBSCAN on rows of the recovered affinity (paper, section 3.3)."""

from __future__ import annotations

import numpy as np
import torch
from sklearn.cluster import DBSCAN
from torch import Tensor

from cliptrase_core.presets import ClusterSettings


def cluster_patches(rows: Tensor, settings: ClusterSettings) -> Tensor:
    """Cluster patches by their rows.

    Args:
        rows: (N, F), a feature vector for each patch.
        settings: DBSCAN's radius and core size.

    Returns:
        (N,) int64 on the CPU, 0..K-1 or -1 for noise. K = 0 is a normal outcome.
    """
    points = rows.detach().cpu().numpy()
    labels = DBSCAN(eps=settings.eps, min_samples=settings.min_samples).fit_predict(points)
    return torch.from_numpy(labels.astype(np.int64))


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
