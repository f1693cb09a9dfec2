"""Attention of one patch, before and after recovery. Imports no Gradio."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from demo import core, drawing
from demo.service.pictures import PictureKey
from demo.settings import INCOMING, OUTGOING

if TYPE_CHECKING:
    from torch import Tensor

    from cliptrase_core import AttentionMaps
    from cliptrase_core.inspection.statistics import Measures

Floats = npt.NDArray[np.float32]
MATRIX_SIDE = 512
"""Longest side of a shown N x N matrix: larger ones are averaged down."""


@dataclass(frozen=True, eq=False)
class PatchAttention:
    """What one patch, or [CLS], looks at in one layer.

    Attributes:
        seen: which picture.
        patch: (row, column), from 0; None for [CLS].
        layer: from 1.
        head: from 1; None for the mean of all.
        direction: "outgoing" (what it looks at) or "incoming" (who looks at it).
        attention: (h, w), query-key softmax: shares of a sum of at most 1.
        recovered: (h, w), the attention after recovery.
        affinity: (h, w), what is clustered, cosine in [-1, 1].
        even: three (h, w): attention, recovered and the affinity's positive part, each as a share of what the looking
            token gives to patches, in multiples of uniform (1/N).
        numbers: how concentrated the first two are, before and after.
        received: what the patch gets from an average patch before and after, in multiples of uniform (1/N); None where
            it looks itself.
        global_patches: (row, column) of patches that attract most others, strongest first.
        ranks: rank of each of them before and after recovery, 1 = most looked at.
        patches: (h*cell, w*cell, 3), the model input.
    """

    seen: PictureKey
    patch: tuple[int, int] | None
    layer: int
    head: int | None
    direction: str
    attention: Floats
    recovered: Floats
    affinity: Floats
    even: tuple[Floats, Floats, Floats]
    numbers: tuple[Measures, Measures]
    received: tuple[float, float] | None
    global_patches: list[tuple[int, int]]
    ranks: list[tuple[int, int]]
    patches: drawing.Picture


@dataclass(frozen=True, eq=False)
class Matrix:
    """Who looks at whom, all patches at once.

    Attributes:
        seen: which picture.
        layer: from 1.
        head: from 1; None for the mean of all.
        affinity: (side, side), cosine.
        even: three (side, side) as in `Look`; row i looks at column j; side is at most `MATRIX_SIDE`.
        numbers: means over all patches, before and after.
        global_patches: as in `Look`.
        ranks: as in `Look`.
        patches: as in `Look`.
    """

    seen: PictureKey
    layer: int
    head: int | None
    affinity: Floats
    even: tuple[Floats, Floats, Floats]
    numbers: tuple[Measures, Measures]
    global_patches: list[tuple[int, int]]
    ranks: list[tuple[int, int]]
    patches: drawing.Picture


def make_look(
    seen: PictureKey,
    maps: AttentionMaps,
    patches: drawing.Picture,
    patch: tuple[int, int] | None,
    direction: str = OUTGOING,
) -> PatchAttention:
    """One look from the maps of its layer.

    Args:
        seen: which picture.
        maps: of the layer.
        patches: the model input.
        patch: (row, column), or None for [CLS].
        direction: [CLS] has only "outgoing".

    Raises:
        InputError: no such patch.
    """

    h, w = seen.grid
    token = 0 if patch is None else maps.token(*patch)
    near = None if patch is None else core.inspection.statistics.surroundings(seen.grid, *patch)
    matrices = (maps.attention, maps.recovered, maps.affinity)
    incoming = direction == INCOMING
    parts = [matrix[1:, token] if incoming else matrix[token, 1:] for matrix in matrices]
    statistics = core.inspection.statistics
    shares = [_column(matrix, token) if incoming else statistics.patch_shares(matrix[token, 1:]) for matrix in matrices]
    before, after = (
        statistics.measure(statistics.patch_shares(share), maps.global_patches, near) for share in shares[:2]
    )
    return PatchAttention(
        seen=seen,
        patch=patch,
        layer=maps.layer,
        head=maps.head,
        direction=direction,
        attention=parts[0].reshape(h, w).numpy(),
        recovered=parts[1].reshape(h, w).numpy(),
        affinity=parts[2].reshape(h, w).numpy(),
        even=tuple((share * (h * w)).reshape(h, w).numpy() for share in shares),  # type: ignore[arg-type]
        numbers=(before, after),
        received=(float(shares[0].mean()) * h * w, float(shares[1].mean()) * h * w) if incoming else None,
        global_patches=_cells(maps),
        ranks=maps.global_ranks,
        patches=patches,
    )


def make_matrix(seen: PictureKey, maps: AttentionMaps, patches: drawing.Picture) -> Matrix:
    """The whole matrix of a layer, for the eye."""
    statistics = core.inspection.statistics
    shares = [statistics.patch_shares(matrix[1:, 1:]) for matrix in (maps.attention, maps.recovered, maps.affinity)]
    before, after = (statistics.measure(share, maps.global_patches) for share in shares[:2])
    return Matrix(
        seen=seen,
        layer=maps.layer,
        head=maps.head,
        affinity=_smaller(maps.affinity[1:, 1:]),
        even=tuple(_smaller(share * len(share)) for share in shares),  # type: ignore[arg-type]
        numbers=(before, after),
        global_patches=_cells(maps),
        ranks=maps.global_ranks,
        patches=patches,
    )


def _column(matrix: Tensor, token: int) -> Tensor:
    """What each patch gives to one patch, as a share of what it gives to patches; (N,)."""
    return core.inspection.statistics.patch_shares(matrix[1:, 1:])[:, token - 1]


def _cells(maps: AttentionMaps) -> list[tuple[int, int]]:
    return [divmod(int(patch), maps.grid[1]) for patch in maps.global_patches]


def _smaller(matrix: Tensor) -> Floats:
    pool = core.torch.nn.functional.adaptive_avg_pool2d
    small = pool(matrix[None], MATRIX_SIDE)[0] if len(matrix) > MATRIX_SIDE else matrix
    return small.numpy()
