"""Clusters and regions of an encoding, cached while it lives: they do not depend on words."""

from __future__ import annotations

import threading
import weakref
from collections import OrderedDict

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from cliptrase_core.errors import InputError, explain
from cliptrase_core.io.geometry import Size
from cliptrase_core.presets import ClusterSettings
from cliptrase_core.regions.clustering import cluster_means, cluster_patches, clustering_rows, drop_global_clusters
from cliptrase_core.regions.decode import largest_at_pixels, region_maps
from cliptrase_core.results import ImageEncoding

MOST_CLUSTERS = 256
"""More are no regions but single patches, and their maps would fill the memory."""

KEPT_FOR_EACH = 4
"""Clusterings of one picture that are kept: what sliders go back and forth between."""


class Regions:
    """A picture's clusters, and the pixels that they claim at any size.

    Attributes:
        patch_clusters: (N,) int64, -1 = noise; read-only, for results share it.
    """

    def __init__(self, patch_clusters: npt.NDArray[np.int64], maps: Tensor | None) -> None:
        """Take the clusters and the maps (K, h', w') by which they compete for pixels; None where there are none."""
        self.patch_clusters = patch_clusters
        self.patch_clusters.flags.writeable = False
        self._maps = maps
        # A byte a pixel: `MOST_CLUSTERS` fit. The last size only: whoever changes words does not change the size.
        self._last: npt.NDArray[np.uint8] | None = None

    def at(self, size: Size) -> npt.NDArray[np.uint8] | None:
        """(H, W), cluster that claims each pixel; None where there is no cluster. Read-only, for it is kept."""
        if self._maps is None:
            return None
        last = self._last
        if last is None or last.shape != tuple(size):
            clusters = torch.arange(len(self._maps), dtype=torch.uint8)
            self._last = last = largest_at_pixels(self._maps, size, clusters).cpu().numpy()
            last.flags.writeable = False
        return last


def find_regions(encoding: ImageEncoding, settings: ClusterSettings, denoise: str) -> Regions:
    """cluster, and make the maps by which clusters compete for pixels."""
    rows = clustering_rows(encoding.affinity, denoise)
    clusters = cluster_patches(rows, settings)
    if denoise == "dice":
        clusters = drop_global_clusters(clusters, encoding.affinity.cpu())
    means = cluster_means(rows, clusters)
    if len(means) > MOST_CLUSTERS:
        raise InputError(
            explain(
                "clusters",
                expected=f"at most {MOST_CLUSTERS}",
                got=str(len(means)),
                remedy="Raise eps or min_samples: nearly every patch is a cluster of its own.",
            )
        )
    return Regions(clusters.numpy(), region_maps(means, encoding.grid) if len(means) else None)


class RegionCache:
    """`find_regions` that remembers; safe to share between threads, empties itself as encodings go."""

    def __init__(self) -> None:
        """Start empty."""
        self._kept: weakref.WeakKeyDictionary[ImageEncoding, OrderedDict[tuple[ClusterSettings, str], Regions]]
        self._kept = weakref.WeakKeyDictionary()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, encoding: ImageEncoding, settings: ClusterSettings, denoise: str) -> Regions:
        """Regions of an encoding, found now or before."""
        key = (settings, denoise)
        with self._lock:
            kept = self._kept.setdefault(encoding, OrderedDict())
            if key in kept:
                kept.move_to_end(key)
                return kept[key]
        regions = find_regions(encoding, settings, denoise)
        with self._lock:
            kept[key] = regions
            while len(kept) > KEPT_FOR_EACH:
                kept.popitem(last=False)
        return regions
