"""Clusters before and after denoising, and the class that each region voted for. Imports no Gradio."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from demo import core
from demo.errors import for_people
from demo.service.pictures import PictureKey
from demo.service.segmentation import Run, SegmentView
from demo.service.service import Service

if TYPE_CHECKING:
    from cliptrase_core import ClusterSettings, Segmenter

Ids = npt.NDArray[np.int64]
NOISE = -1


@dataclass(frozen=True)
class RegionVote:
    """What one region says.

    Attributes:
        region: its number in the result.
        patches: that belong to it.
        area: share of the picture that it claims, in [0, 1].
        winner: label that most of its pixels have by themselves; None where it claims no pixel.
        share: how many of its pixels, in [0, 1].
        second: label that comes next; None where all pixels agree.
        second_share: how many of its pixels, in [0, 1].
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
    """Regions of one result, with and without denoising.

    Attributes:
        cut: the result that is shown.
        before: (h, w), region of each patch without denoising, numbered like the region after it that it shares most
            patches with; regions that have no partner get further numbers; -1 = noise.
        after: (h, w), region of each patch in the result, -1 = noise.
        votes: one for each region of the result, in their order.
        automatic: eps and min_samples of this picture where the person gives none.
    """

    cut: SegmentView
    before: Ids
    after: Ids
    votes: list[RegionVote]
    automatic: ClusterSettings

    @property
    def changed(self) -> npt.NDArray[np.bool_]:
        """(h, w), patches that denoising gave to another region, or took out of the noise or into it."""
        different: npt.NDArray[np.bool_] = self.before != self.after
        return different

    @property
    def count(self) -> int:
        """One more than the largest number in both maps: how many colours they need."""
        return int(max(self.before.max(), self.after.max())) + 1

    @property
    def denoised(self) -> bool:
        """Whether the result was denoised at all."""
        return self.cut.run.asked.denoise != "none"


def clusters_of(service: Service, run: Run, path: str | None) -> Clusters:
    """Regions of a result that is shown; the picture is not encoded again.

    Args:
        service: that made the run.
        run: what is shown.
        path: the picture's file, for when it is no longer in memory.

    Raises:
        UserError: the picture or the model is another one by now, or there would be too many regions.
    """
    cut = service.again(run, path)
    own = service.again(Run(run.seen, run.asked.before_vote), path).result
    before, after = clusterings(service, cut, path)
    return Clusters(
        cut=cut,
        before=before,
        after=after,
        votes=region_votes(own.labels, cut.result.regions, after.reshape(-1), len(own.class_names)),
        automatic=_automatic(service.encoded(run, path)[0], run.seen),
    )


def clusterings(service: Service, cut: SegmentView, path: str | None) -> tuple[Ids, Ids]:
    """Cluster of each patch without denoising and as in the result, numbered as in `Clusters`; two (h, w).

    Takes and raises what `clusters_of` does; `cut` is the result that is shown.
    """
    run = cut.run
    segmenter, entry = service.encoded(run, path)
    with for_people():
        bare = segmenter.clusters(entry.encoding, eps=run.asked.eps, min_samples=run.asked.min_samples, denoise="none")
    after = cut.result.patch_clusters
    before = np.append(partners(bare, after), NOISE)[bare]  # the last one is for -1
    return before.reshape(run.seen.grid), after.reshape(run.seen.grid)


def partners(before: Ids, after: Ids) -> Ids:
    """Pair regions of two clusterings of the same patches, those that share most patches first, each at most once.

    Args:
        before: (N,), 0..K-1 or -1 for noise.
        after: (N,), 0..M-1 or -1 for noise.

    Returns:
        (K,), for each region of `before` its partner in `after`; those without one get M, M+1, and so on.
    """
    count, others = int(before.max()) + 1, int(after.max()) + 1
    both = (before >= 0) & (after >= 0)
    shared = np.bincount(before[both] * others + after[both], minlength=count * others)
    found, taken = np.full(count, NOISE, dtype=np.int64), set()
    for pair in np.argsort(-shared, kind="stable"):
        first, second = divmod(int(pair), others)
        if shared[pair] and found[first] == NOISE and second not in taken:
            found[first] = second
            taken.add(second)
    alone = found == NOISE
    found[alone] = others + np.arange(alone.sum())
    return found


def region_votes(
    labels: npt.NDArray[np.int32], regions: npt.NDArray[np.int32], patches: Ids, classes: int
) -> list[RegionVote]:
    """What each region's pixels say before any vote.

    Args:
        labels: (H, W), 0..classes-1.
        regions: (H, W), -1 throughout where there are no regions.
        patches: (N,), region of each patch, -1 = noise.
        classes: number of labels.
    """

    sizes = np.bincount(patches[patches >= 0])
    votes = np.zeros((len(sizes), classes), dtype=np.int64)
    if len(sizes):
        counted = core.regions.decode.count_votes(labels, regions, classes)
        votes[: len(counted)] = counted  # a region that won no pixel may be missing at the end
    return [_vote(region, int(size), votes[region], labels.size) for region, size in enumerate(sizes)]


def _automatic(segmenter: Segmenter, seen: PictureKey) -> ClusterSettings:

    return core.presets.PRESETS[seen.preset].clustering or segmenter.default_clustering(seen.grid[0] * seen.grid[1])


def _vote(region: int, patches: int, votes: Ids, pixels: int) -> RegionVote:
    total = int(votes.sum())
    order = np.argsort(-votes, kind="stable")  # the lowest label on ties, like the vote itself
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
