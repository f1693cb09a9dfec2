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
"""Longest side of a displayed N x N matrix; larger matrices are averaged down."""


@dataclass(frozen=True, eq=False)
class PatchAttention:
    """Attention of one patch, or of [CLS], in one layer.

    Attributes:
        key: key of the picture.
        patch: (row, column), from 0; None for [CLS].
        layer: layer from 1.
        head: head from 1; None for the mean of all.
        direction: "outgoing" (the patch attends to others) or "incoming" (others attend to the patch).
        attention: (h, w), query-key softmax: shares of a sum of at most 1.
        recovered: (h, w), attention after recovery.
        affinity: (h, w), input of the clustering, cosine in [-1, 1].
        relative: three (h, w): attention, recovered and the positive part of the affinity, each as a share of all that
            the attending token gives to patches, in multiples of uniform (1/N).
        numbers: concentration of the attention, before and after recovery.
        received: mean attention that the patch receives from a patch before and after recovery, in multiples of
            uniform (1/N); None if the direction is "outgoing".
        global_patches: (row, column) of patches that attract most others, strongest first.
        ranks: rank of each global patch before and after recovery, 1 = receives most attention.
        patches: (h*cell, w*cell, 3), the model input.
    """

    key: PictureKey
    patch: tuple[int, int] | None
    layer: int
    head: int | None
    direction: str
    attention: Floats
    recovered: Floats
    affinity: Floats
    relative: tuple[Floats, Floats, Floats]
    numbers: tuple[Measures, Measures]
    received: tuple[float, float] | None
    global_patches: list[tuple[int, int]]
    ranks: list[tuple[int, int]]
    patches: drawing.Picture


@dataclass(frozen=True, eq=False)
class Matrix:
    """Attention between all patches in one layer.

    Attributes:
        key: key of the picture.
        layer: layer from 1.
        head: head from 1; None for the mean of all.
        affinity: (side, side), cosine.
        relative: three (side, side) as in `PatchAttention`; row i attends to column j; side is at most `MATRIX_SIDE`.
        numbers: means over all patches, before and after recovery.
        global_patches: as in `PatchAttention`.
        ranks: as in `PatchAttention`.
        patches: as in `PatchAttention`.
    """

    key: PictureKey
    layer: int
    head: int | None
    affinity: Floats
    relative: tuple[Floats, Floats, Floats]
    numbers: tuple[Measures, Measures]
    global_patches: list[tuple[int, int]]
    ranks: list[tuple[int, int]]
    patches: drawing.Picture


def make_patch_attention(
    key: PictureKey,
    maps: AttentionMaps,
    patches: drawing.Picture,
    patch: tuple[int, int] | None,
    direction: str = OUTGOING,
) -> PatchAttention:
    """Build the attention of one patch, or of [CLS], from the maps of a layer.

    Args:
        key: key of the picture.
        maps: attention maps of the layer.
        patches: (h*cell, w*cell, 3), the model input.
        patch: (row, column), or None for [CLS].
        direction: "outgoing" or "incoming"; only "outgoing" for [CLS].

    Raises:
        InputError: patch outside the grid.
    """
    h, w = key.grid
    token = 0 if patch is None else maps.token(*patch)
    near = None if patch is None else core.inspection.statistics.surroundings(key.grid, *patch)
    matrices = (maps.attention, maps.recovered, maps.affinity)
    incoming = direction == INCOMING
    parts = [matrix[1:, token] if incoming else matrix[token, 1:] for matrix in matrices]
    statistics = core.inspection.statistics
    shares = [_column(matrix, token) if incoming else statistics.patch_shares(matrix[token, 1:]) for matrix in matrices]
    before, after = (
        statistics.measure(statistics.patch_shares(share), maps.global_patches, near) for share in shares[:2]
    )
    return PatchAttention(
        key=key,
        patch=patch,
        layer=maps.layer,
        head=maps.head,
        direction=direction,
        attention=parts[0].reshape(h, w).numpy(),
        recovered=parts[1].reshape(h, w).numpy(),
        affinity=parts[2].reshape(h, w).numpy(),
        relative=tuple((share * (h * w)).reshape(h, w).numpy() for share in shares),  # type: ignore[arg-type]
        numbers=(before, after),
        received=(float(shares[0].mean()) * h * w, float(shares[1].mean()) * h * w) if incoming else None,
        global_patches=_cells(maps),
        ranks=maps.global_ranks,
        patches=patches,
    )


def make_matrix(key: PictureKey, maps: AttentionMaps, patches: drawing.Picture) -> Matrix:
    """Build the whole matrix of a layer for display."""
    statistics = core.inspection.statistics
    shares = [statistics.patch_shares(matrix[1:, 1:]) for matrix in (maps.attention, maps.recovered, maps.affinity)]
    before, after = (statistics.measure(share, maps.global_patches) for share in shares[:2])
    return Matrix(
        key=key,
        layer=maps.layer,
        head=maps.head,
        affinity=_smaller(maps.affinity[1:, 1:]),
        relative=tuple(_smaller(share * len(share)) for share in shares),  # type: ignore[arg-type]
        numbers=(before, after),
        global_patches=_cells(maps),
        ranks=maps.global_ranks,
        patches=patches,
    )


def _column(matrix: Tensor, token: int) -> Tensor:
    """Return the attention that each patch gives to one patch, as a share of all that it gives to patches; (N,)."""
    return core.inspection.statistics.patch_shares(matrix[1:, 1:])[:, token - 1]


def _cells(maps: AttentionMaps) -> list[tuple[int, int]]:
    return [divmod(int(patch), maps.grid[1]) for patch in maps.global_patches]


def _smaller(matrix: Tensor) -> Floats:
    pool = core.torch.nn.functional.adaptive_avg_pool2d
    small = pool(matrix[None], MATRIX_SIDE)[0] if len(matrix) > MATRIX_SIDE else matrix
    return small.numpy()
