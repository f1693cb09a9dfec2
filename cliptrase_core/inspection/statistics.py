"""Statistics of attention: share on global patches, spread, share near the patch. Pure functions.

A *share* is what one patch gets of what all patches get together; [CLS] is left out. An *even* share is 1 / N.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from cliptrase_core.io.geometry import Size

STRONGEST = 10
"""How many patches count as the strongest."""
_ROWS = 64
"""Rows of a matrix that are worked on at once: temporary memory stays small, and in the cache."""
RADIUS = 2
"""Steps, diagonal ones included, that count as a patch's surroundings: 5 x 5 patches with itself."""


@dataclass(frozen=True)
class Measures:
    """One distribution over patches in numbers, all in [0, 1].

    Attributes:
        entropy: how even it is; 1 where all patches get the same, 0 where one gets everything.
        strongest: share of the ten patches that get most.
        near: share of the patch's surroundings, itself included; None where there is no patch.
        on_global: share of the global patches.
    """

    entropy: float
    strongest: float
    near: float | None
    on_global: float


def patch_shares(values: Tensor) -> Tensor:
    """Values as shares of their row; what is negative counts as nothing, an empty row as even.

    Args:
        values: (..., N).

    Returns:
        (..., N), non-negative, rows add to 1.
    """
    positive = values.clamp(min=0)
    total = positive.sum(dim=-1, keepdim=True)
    return torch.where(total > 0, positive / total, torch.full_like(positive, 1 / values.shape[-1]))


def entropy_share(shares: Tensor) -> Tensor:
    """Entropy as a share of the largest that N patches allow.

    Args:
        shares: (..., N), rows add to 1.

    Returns:
        (...,) in [0, 1]; 1 for a single patch, which is as even as it can be.
    """
    count = shares.shape[-1]
    if count == 1:
        return torch.ones(shares.shape[:-1])
    return -torch.xlogy(shares, shares).sum(dim=-1) / math.log(count)


def strongest_share(shares: Tensor, count: int = STRONGEST) -> Tensor:
    """What the `count` largest shares of each row add up to.

    Args:
        shares: (..., N), rows add to 1.
        count: how many; all where there are fewer.

    Returns:
        (...,) in [0, 1].
    """
    return shares.topk(min(count, shares.shape[-1]), dim=-1).values.sum(dim=-1)


def surroundings(grid: Size, row: int, column: int, radius: int = RADIUS) -> Tensor:
    """Which patches lie within `radius` steps of one, diagonal steps and itself included.

    Args:
        grid: (h, w).
        row: of the patch, from 0.
        column: of the patch, from 0.
        radius: in patches.

    Returns:
        (N,) bool.
    """
    h, w = grid
    near_rows = (torch.arange(h) - row).abs() <= radius
    near_columns = (torch.arange(w) - column).abs() <= radius
    return (near_rows[:, None] & near_columns[None]).flatten()


def measure(shares: Tensor, global_patches: Tensor, near: Tensor | None = None) -> Measures:
    """All numbers of one distribution, or their means over several.

    Args:
        shares: (N,) or (R, N), rows add to 1.
        global_patches: (M,) int64, places of global patches.
        near: (N,) bool, the surroundings of a patch.
    """
    return Measures(
        entropy=float(entropy_share(shares).mean()),
        strongest=float(strongest_share(shares).mean()),
        near=None if near is None else float(shares[..., near].sum(dim=-1).mean()),
        on_global=float(shares[..., global_patches].sum(dim=-1).mean()),
    )


@dataclass(frozen=True, eq=False)
class PatchMeasures:
    """Numbers of every patch of a grid, as `measure` gives them one by one; each (N,) float32 in [0, 1].

    Attributes:
        entropy: as in `Measures`.
        near: as in `measure`; each patch has surroundings.
        on_global: as in `measure`.
    """

    entropy: Tensor
    near: Tensor
    on_global: Tensor


def measure_patches(matrix: Tensor, global_patches: Tensor, grid: Size) -> PatchMeasures:
    """Numbers of every patch of a layer; a row of the grid at a time, so that memory stays w * N.

    Args:
        matrix: (1+N, 1+N), row i looks at column j; row and column 0 are [CLS].
        global_patches: (M,) int64, places of global patches.
        grid: (h, w).
    """
    h, w = grid
    beside = (torch.arange(w) - torch.arange(w)[:, None]).abs() <= RADIUS  # (w, w)
    found: list[tuple[Tensor, Tensor, Tensor]] = []
    for row in range(h):
        shares = patch_shares(matrix[1 + row * w : 1 + (row + 1) * w, 1:])
        close = shares.reshape(w, h, w)[:, max(0, row - RADIUS) : row + RADIUS + 1].sum(dim=1)
        near = (close * beside).sum(dim=-1)
        found.append((entropy_share(shares), near, shares[:, global_patches].sum(dim=-1)))
    return PatchMeasures(*(torch.cat(parts) for parts in zip(*found, strict=True)))


def most_telling_patch(
    before: Tensor, after: Tensor, global_patches: Tensor, clusters: npt.NDArray[np.integer] | None = None
) -> int:
    """The patch whose attention recovery changed most: where to look first.

    The change is the share of its attention that went elsewhere (half the sum of absolute differences). A global patch
    tells little, since the others look at it, and so does one that belongs to no cluster: both come only where nothing
    else is left.

    Args:
        before: (1+N, 1+N), row i looks at column j; row and column 0 are [CLS].
        after: of the recovered attention, in the same form.
        global_patches: (M,) int64, places of global patches.
        clusters: (N,), cluster of each patch, negative = none; None where clusters do not matter.

    Returns:
        Its place, 0 to N-1; the first of equal ones.
    """
    some = [slice(start, start + _ROWS) for start in range(1, len(before), _ROWS)]
    shares = ((patch_shares(before[rows, 1:]), patch_shares(after[rows, 1:])) for rows in some)
    change = torch.cat([(new - old).abs().sum(dim=-1) for old, new in shares])
    ordinary = torch.ones(len(change), dtype=torch.bool)
    ordinary[global_patches] = False
    inside = ordinary if clusters is None else ordinary & torch.from_numpy(np.asarray(clusters) >= 0)
    candidates = next((these for these in (inside, ordinary) if these.any()), torch.ones_like(ordinary))
    return int(change.where(candidates, -torch.ones(())).argmax())
