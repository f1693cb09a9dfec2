"""Statistics of attention: share on global patches, spread, share near the patch. Pure functions.

A *share* is what one patch gets of what all patches get together; [CLS] is left out. An *even* share is 1 / N.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from cliptrase_core.io.geometry import Size

STRONGEST = 10
"""How many patches count as the strongest."""
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
