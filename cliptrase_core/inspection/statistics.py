"""Statistics of attention: share on global patches, spread, share near the patch. Pure functions.

A *share* is the attention to one patch divided by the sum over all patches, without [CLS]. A *uniform* share is 1 / N.
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
"""Number of patches that count as the strongest."""
_ROWS = 64
"""Matrix rows processed at once, so that temporary arrays are small and fit into the cache."""
RADIUS = 2
"""Radius of a patch's surroundings in steps, diagonal ones included: 5 x 5 patches with the patch itself."""


@dataclass(frozen=True)
class Measures:
    """Statistics of one distribution over patches, all in [0, 1].

    Attributes:
        entropy: entropy divided by its maximum; 1 if all patches have equal shares, 0 if one patch has everything.
        strongest: total share of the ten patches with the largest shares.
        near: total share of the patch's surroundings, itself included; None if there is no patch.
        on_global: total share of the global patches.
    """

    entropy: float
    strongest: float
    near: float | None
    on_global: float


def patch_shares(values: Tensor) -> Tensor:
    """Convert values to shares of their row; negative values count as 0, a row without positive values is uniform.

    Args:
        values: (..., N).

    Returns:
        (..., N), non-negative, rows add to 1.
    """
    positive = values.clamp(min=0)
    total = positive.sum(dim=-1, keepdim=True)
    return torch.where(total > 0, positive / total, torch.full_like(positive, 1 / values.shape[-1]))


def entropy_share(shares: Tensor) -> Tensor:
    """Return the entropy divided by its maximum for N patches.

    Args:
        shares: (..., N), rows add to 1.

    Returns:
        (...,) in [0, 1]; 1 for a single patch, which is always uniform.
    """
    count = shares.shape[-1]
    if count == 1:
        return torch.ones(shares.shape[:-1])
    return -torch.xlogy(shares, shares).sum(dim=-1) / math.log(count)


def strongest_share(shares: Tensor, count: int = STRONGEST) -> Tensor:
    """Return the sum of the `count` largest shares of each row.

    Args:
        shares: (..., N), rows add to 1.
        count: number of shares; all if a row has fewer.

    Returns:
        (...,) in [0, 1].
    """
    return shares.topk(min(count, shares.shape[-1]), dim=-1).values.sum(dim=-1)


def surroundings(grid: Size, row: int, column: int, radius: int = RADIUS) -> Tensor:
    """Return a mask of the patches within `radius` steps of one patch, diagonal steps and the patch itself included.

    Args:
        grid: (h, w).
        row: row of the patch, from 0.
        column: column of the patch, from 0.
        radius: radius in patches.

    Returns:
        (N,) bool.
    """
    h, w = grid
    near_rows = (torch.arange(h) - row).abs() <= radius
    near_columns = (torch.arange(w) - column).abs() <= radius
    return (near_rows[:, None] & near_columns[None]).flatten()


def measure(shares: Tensor, global_patches: Tensor, near: Tensor | None = None) -> Measures:
    """Compute all statistics of one distribution, or their means over several.

    Args:
        shares: (N,) or (R, N), rows add to 1.
        global_patches: (M,) int64, indices of the global patches.
        near: (N,) bool, surroundings of a patch.
    """
    return Measures(
        entropy=float(entropy_share(shares).mean()),
        strongest=float(strongest_share(shares).mean()),
        near=None if near is None else float(shares[..., near].sum(dim=-1).mean()),
        on_global=float(shares[..., global_patches].sum(dim=-1).mean()),
    )


@dataclass(frozen=True, eq=False)
class PatchMeasures:
    """Statistics of every patch of a grid, with the values of `measure`; each (N,) float32 in [0, 1].

    Attributes:
        entropy: as in `Measures`.
        near: as in `Measures`, for the surroundings of each patch.
        on_global: as in `Measures`.
    """

    entropy: Tensor
    near: Tensor
    on_global: Tensor


def measure_patches(matrix: Tensor, global_patches: Tensor, grid: Size) -> PatchMeasures:
    """Compute the statistics of every patch of a layer, one grid row at a time, so that memory stays w * N.

    Args:
        matrix: (1+N, 1+N), row i attends to column j; row and column 0 are [CLS].
        global_patches: (M,) int64, indices of the global patches.
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
    """Return the patch whose attention is changed most by recovery: a good first patch to show.

    The change is the share of its attention that moved to other patches (half the sum of absolute differences). Global
    patches show little, since the other patches attend to them, and so do patches without a cluster. Both are used only
    if there is no other patch.

    Args:
        before: (1+N, 1+N), row i attends to column j; row and column 0 are [CLS].
        after: recovered attention in the same form.
        global_patches: (M,) int64, indices of the global patches.
        clusters: (N,), cluster of each patch, negative = none; None ignores clusters.

    Returns:
        Index of the patch, 0 to N-1; the first of equal ones.
    """
    some = [slice(start, start + _ROWS) for start in range(1, len(before), _ROWS)]
    shares = ((patch_shares(before[rows, 1:]), patch_shares(after[rows, 1:])) for rows in some)
    change = torch.cat([(new - old).abs().sum(dim=-1) for old, new in shares])
    ordinary = torch.ones(len(change), dtype=torch.bool)
    ordinary[global_patches] = False
    inside = ordinary if clusters is None else ordinary & torch.from_numpy(np.asarray(clusters) >= 0)
    candidates = next((these for these in (inside, ordinary) if these.any()), torch.ones_like(ordinary))
    return int(change.where(candidates, -torch.ones(())).argmax())
