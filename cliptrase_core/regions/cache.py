"""Clusters and regions of an encoding, cached as long as it exists, since they do not depend on words."""

from __future__ import annotations

import threading
import weakref

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from cliptrase_core.cache import LRUCache
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

    def __init__(self, patch_clusters: npt.NDArray[np.int64], maps: Tensor | None) -> None:
        """Store the clusters and their maps (K, h', w'), whose maximum decides each pixel; None without clusters."""
        self.patch_clusters = patch_clusters
        self.patch_clusters.flags.writeable = False
        self._maps = maps
        # One byte per pixel is enough for `MOST_CLUSTERS`. Only the last size: new words do not change the size.
        self._last: npt.NDArray[np.uint8] | None = None

    def at(self, size: Size) -> npt.NDArray[np.uint8] | None:
        """Return the cluster of each pixel (H, W), or None without clusters; read-only, because it is cached."""
        if self._maps is None:
            return None
        last = self._last
        if last is None or last.shape != tuple(size):
            clusters = torch.arange(len(self._maps), dtype=torch.uint8)
            self._last = last = largest_at_pixels(self._maps, size, clusters).cpu().numpy()
            last.flags.writeable = False
        return last


def find_regions(encoding: ImageEncoding, settings: ClusterSettings, denoise: str) -> Regions:
    """Cluster the patches and compute the maps that assign pixels to clusters."""
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
    return Regions(clusters.numpy(), region_maps(means, encoding.grid) if len(means) else None)


class RegionCache:
    """Cache of `find_regions`; safe to share between threads. An entry is removed with its encoding."""

    def __init__(self) -> None:
        """Create an empty cache."""
        self._kept: weakref.WeakKeyDictionary[ImageEncoding, LRUCache[Regions]] = weakref.WeakKeyDictionary()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, encoding: ImageEncoding, settings: ClusterSettings, denoise: str) -> Regions:
        """Return the regions of an encoding, cached or computed now."""
        with self._lock:
            kept = self._kept.setdefault(encoding, LRUCache(CACHED_FOR_EACH))
        return kept.get((settings, denoise), lambda: find_regions(encoding, settings, denoise))[0]
