"""Clusters of patches: DBSCAN on rows of the recovered affinity (paper, section 3.3)."""

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
