"""Clusters before and after denoising, and the class that each region voted for. Imports no Gradio."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from demo import core
from demo.errors import as_user_errors
from demo.service.pictures import PictureKey
from demo.service.segmentation import Run, SegmentView
from demo.service.service import Service

if TYPE_CHECKING:
    from cliptrase_core import ClusterSettings, Segmenter

Ids = npt.NDArray[np.int64]


@dataclass(frozen=True)
class RegionVote:
    """Vote of one region for its class.

    Attributes:
        region: number of the region in the result.
        patches: number of patches of its cluster.
        area: share of the picture that it covers, in [0, 1].
        winner: most frequent label of its pixels before the vote; None if it covers no pixel.
        share: share of its pixels with the label `winner`, in [0, 1].
        second: second most frequent label; None if all pixels agree.
        second_share: share of its pixels with the label `second`, in [0, 1].
    """

    region: int
    patches: int
    area: float
    winner: int | None
    share: float
    second: int | None
    second_share: float


@dataclass(frozen=True, eq=False)
class Clusters:
    """Clusters of one result, with and without denoising.

    Attributes:
        view: displayed result.
        before: (h, w), cluster of each patch without denoising, -1 = noise. A cluster has the number of the cluster in
            `after` that shares most patches with it; clusters without such a partner get further numbers.
        after: (h, w), cluster of each patch in the result, -1 = noise.
        votes: one vote for each region of the result, in the order of their numbers.
        automatic: eps and min_samples for this picture if the user sets none.
    """

    view: SegmentView
    before: Ids
    after: Ids
    votes: list[RegionVote]
    automatic: ClusterSettings

    @property
    def changed(self) -> npt.NDArray[np.bool_]:
        """(h, w), patches that denoising moved to another cluster, out of the noise or into it."""
        different: npt.NDArray[np.bool_] = self.before != self.after
        return different

    @property
    def count(self) -> int:
        """Number of colours for both maps: one more than the largest cluster number."""
        return int(max(self.before.max(), self.after.max())) + 1

    @property
    def denoised(self) -> bool:
        """True if the result was denoised."""
        return self.view.run.request.denoise != "none"


def clusters_of(service: Service, run: Run, path: str | None) -> Clusters:
    """Return the clusters and votes of a displayed result; the picture is not encoded again.

    Args:
        service: service that made the run.
        run: displayed run.
        path: file of the picture, in case it is no longer in memory.

    Raises:
        UserError: the picture or the model has been replaced, or there would be too many regions.
    """
    view = service.again(run, path)
    own = service.again(Run(run.key, run.request.before_vote), path).result
    before, after = clusterings(service, view, path)
    return Clusters(
        view=view,
        before=before,
        after=after,
        votes=region_votes(own.labels, view.result.regions, after.reshape(-1), len(own.class_names)),
        automatic=_automatic(service.encoded(run, path)[0], run.key),
    )


def clusterings(service: Service, view: SegmentView, path: str | None) -> tuple[Ids, Ids]:
    """Return the cluster of each patch without denoising and as in the result, numbered as in `Clusters`; two (h, w).

    `view` is the displayed result. The other arguments and the errors are those of `clusters_of`.
    """
    run = view.run
    segmenter, entry = service.encoded(run, path)
    with as_user_errors():
        bare = segmenter.clusters(
            entry.encoding, eps=run.request.eps, min_samples=run.request.min_samples, denoise="none"
        )
    after = view.result.patch_clusters
    before = renumbered(bare, partners(bare, after))
    return before.reshape(run.key.grid), after.reshape(run.key.grid)


def renumbered(clusters: Ids, numbers: Ids) -> Ids:
    """Return clusters (N,) with new numbers (K,), such as those from `partners`; noise stays -1."""
    found: Ids = np.append(numbers, core.results.NOISE)[clusters]  # the last entry is that of -1
    return found


def partners(before: Ids, after: Ids) -> Ids:
    """Pair clusters of two clusterings of the same patches, largest overlap first, each cluster at most once.

    Args:
        before: (N,), 0..K-1 or -1 for noise.
        after: (N,), 0..M-1 or -1 for noise.

    Returns:
        (K,), partner in `after` of each cluster of `before`; clusters without a partner get M, M+1, and so on.
    """
    count, others = int(before.max()) + 1, int(after.max()) + 1
    both = (before >= 0) & (after >= 0)
    shared = np.bincount(before[both] * others + after[both], minlength=count * others)
    none = core.results.NOISE
    found, taken = np.full(count, none, dtype=np.int64), set()
    for pair in np.argsort(-shared, kind="stable"):
        first, second = divmod(int(pair), others)
        if shared[pair] and found[first] == none and second not in taken:
            found[first] = second
            taken.add(second)
    alone = found == none
    found[alone] = others + np.arange(alone.sum())
    return found


def region_votes(
    labels: npt.NDArray[np.int32], regions: npt.NDArray[np.int32], patches: Ids, classes: int
) -> list[RegionVote]:
    """Count the labels of each region's pixels before the vote.

    Args:
        labels: (H, W), 0..classes-1.
        regions: (H, W), -1 everywhere if there are no regions.
        patches: (N,), cluster of each patch, -1 = noise.
        classes: number of labels.
    """
    sizes = np.bincount(patches[patches >= 0])
    votes = np.zeros((len(sizes), classes), dtype=np.int64)
    if len(sizes):
        counted = core.regions.decode.count_votes(labels, regions, classes)
        votes[: len(counted)] = counted  # regions without pixels may be missing at the end
    return [_vote(region, int(size), votes[region], labels.size) for region, size in enumerate(sizes)]


def _automatic(segmenter: Segmenter, key: PictureKey) -> ClusterSettings:
    return core.presets.PRESETS[key.preset].clustering or segmenter.default_clustering(key.grid[0] * key.grid[1])


def _vote(region: int, patches: int, votes: Ids, pixels: int) -> RegionVote:
    total = int(votes.sum())
    order = np.argsort(-votes, kind="stable")  # on ties the lowest label, as in the vote itself
    first, second = int(order[0]), int(order[1]) if len(order) > 1 else None
    if second is not None and not votes[second]:
        second = None
    return RegionVote(
        region=region,
        patches=patches,
        area=total / pixels,
        winner=first if total else None,
        share=int(votes[first]) / max(total, 1),
        second=second,
        second_share=0.0 if second is None else int(votes[second]) / total,
    )
