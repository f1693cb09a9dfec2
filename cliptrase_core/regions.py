"""Clusters of a picture as patches and as pixels, kept while its encoding lives: words do not change them."""

from __future__ import annotations

import threading
import weakref
from collections import OrderedDict
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cliptrase_core.clustering import ClusterSettings, cluster_means, cluster_patches
from cliptrase_core.decode import largest_at_pixels, region_maps
from cliptrase_core.denoise import Denoise, clustering_rows, drop_global_clusters
from cliptrase_core.errors import InputError, explain
from cliptrase_core.result import NOISE, ImageEncoding

MOST_CLUSTERS = 256
"""More are no regions but single patches, and their maps would fill the memory."""

KEPT_FOR_EACH = 4
"""Clusterings of one picture that are kept: what sliders go back and forth between."""


@dataclass(frozen=True, eq=False)
class Regions:
    """A picture's clusters.

    Attributes:
        patch_clusters: (N,) int64, -1 = noise.
        labels: (H0, W0) int32, cluster that claims each pixel, -1 everywhere when there is no cluster.
    """

    patch_clusters: npt.NDArray[np.int64]
    labels: npt.NDArray[np.int32]


def find_regions(encoding: ImageEncoding, settings: ClusterSettings, denoise: Denoise) -> Regions:
    """Denoise, cluster, and let cluster maps compete for pixels."""
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
    if len(means):
        maps = region_maps(means, encoding.grid)
        labels = largest_at_pixels(maps, encoding.frame.labels).cpu().numpy()
    else:
        labels = np.full(encoding.frame.labels, NOISE, dtype=np.int32)
    regions = Regions(clusters.numpy(), labels)
    for part in (regions.patch_clusters, regions.labels):
        part.flags.writeable = False  # results share them with the cache
    return regions


class RegionCache:
    """`find_regions` that remembers; safe to share between threads, empties itself as encodings go."""

    def __init__(self) -> None:
        """Start empty."""
        self._kept: weakref.WeakKeyDictionary[ImageEncoding, OrderedDict[tuple[ClusterSettings, Denoise], Regions]]
        self._kept = weakref.WeakKeyDictionary()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, encoding: ImageEncoding, settings: ClusterSettings, denoise: Denoise) -> Regions:
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
