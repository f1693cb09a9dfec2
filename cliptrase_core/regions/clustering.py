"""Clusters of patches: DBSCAN on rows of the recovered affinity (paper, section 3.3)."""

from __future__ import annotations

import math
import numbers
from dataclasses import dataclass

import numpy as np
import torch
from sklearn.cluster import DBSCAN
from torch import Tensor

from cliptrase_core.errors import InputError, explain


@dataclass(frozen=True)
class ClusterSettings:
    """DBSCAN's two numbers.

    Attributes:
        eps: neighbourhood radius, Euclidean, in the space of N-dimensional rows; so it grows with N.
        min_samples: patches within `eps`, the patch itself included, that make a core patch.
    """

    eps: float
    min_samples: int

    def __post_init__(self) -> None:
        """Check both ranges."""
        if not (
            isinstance(self.eps, numbers.Real)
            and not isinstance(self.eps, bool)
            and math.isfinite(self.eps)
            and self.eps > 0
        ):
            raise InputError(
                explain("eps", expected="a number above 0", got=repr(self.eps), remedy="0.7 suits N = 196.")
            )
        whole = isinstance(self.min_samples, numbers.Integral) and not isinstance(self.min_samples, bool)
        if not whole or self.min_samples < 1:
            raise InputError(
                explain(
                    "min_samples",
                    expected="a whole number of at least 1",
                    got=repr(self.min_samples),
                    remedy="3 suits N = 196.",
                )
            )


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
