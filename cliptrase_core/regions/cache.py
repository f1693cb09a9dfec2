"""Clusters and regions of an encoding, cached as long as it exists, since they do not depend on words."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from cliptrase_core.cache import CacheOfEach
from cliptrase_core.errors import InputError
from cliptrase_core.io.geometry import Size
from cliptrase_core.presets import ClusterSettings
from cliptrase_core.regions.clustering import cluster_means, cluster_patches, clustering_rows, drop_global_clusters
from cliptrase_core.regions.decode import largest_at_pixels, region_maps
from cliptrase_core.results import ImageEncoding

MOST_CLUSTERS = 256
"""Limit of clusters per picture. With more, clusters are single patches, and their maps would fill the memory."""

CACHED_FOR_EACH = 4
"""Clusterings cached for one picture, for sliders that are moved back and forth."""


class Regions:
    """Clusters of a picture, and the regions that they form at any size.

    Attributes:
        patch_clusters: (N,) int64, cluster of each patch, -1 = noise; read-only, because results share it.
    """

    def __init__(self, patch_clusters: npt.NDArray[np.int64], means: Tensor, grid: Size) -> None:
        """Store the clusters, their mean rows (K, N) and the grid (h, w) of the patches."""
        self.patch_clusters = patch_clusters
        self.patch_clusters.flags.writeable = False
        self._means, self._grid = means, grid
        # One byte per pixel is enough for `MOST_CLUSTERS`. Only the last size: new words do not change the size. The
        # maps take far more memory, so they are made anew for another size.
        self._last: npt.NDArray[np.uint8] | None = None

    def at(self, size: Size) -> npt.NDArray[np.uint8] | None:
        """Return the cluster of each pixel (H, W), or None without clusters; read-only, because it is cached."""
        count, last = len(self._means), self._last
        if count and (last is None or last.shape != tuple(size)):
            maps = region_maps(self._means, self._grid)
            self._last = last = largest_at_pixels(maps, size, torch.arange(count, dtype=torch.uint8)).cpu().numpy()
            last.flags.writeable = False
        return last


def find_regions(encoding: ImageEncoding, settings: ClusterSettings, denoise: str) -> Regions:
    """Cluster the patches."""
    rows = clustering_rows(encoding.affinity, denoise)
    clusters = cluster_patches(rows, settings)
    if denoise == "dice":
        clusters = drop_global_clusters(clusters, encoding.affinity.cpu())
    means = cluster_means(rows, clusters)
    if len(means) > MOST_CLUSTERS:
        raise InputError(
            "clusters",
            expected=f"at most {MOST_CLUSTERS}",
            got=str(len(means)),
            remedy="Raise eps or min_samples: nearly every patch is a cluster of its own.",
        )
    return Regions(clusters.numpy(), means, encoding.grid)


class RegionCache:
    """Cache of `find_regions`; safe to share between threads. An entry is removed with its encoding."""

    def __init__(self) -> None:
        """Create an empty cache."""
        self._cached: CacheOfEach[Regions] = CacheOfEach(CACHED_FOR_EACH)

    def __len__(self) -> int:
        return len(self._cached)

    def get(self, encoding: ImageEncoding, settings: ClusterSettings, denoise: str) -> Regions:
        """Return the regions of an encoding, cached or computed now."""
        return self._cached.get(encoding, (settings, denoise), lambda: find_regions(encoding, settings, denoise))
