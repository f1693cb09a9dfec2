"""Attention maps of any layer, head and patch, before and after recovery.

One forward pass stores q, k and v of every block, usually in half precision. All maps are computed from them, so
that a click needs no further forward pass. `Segmenter.encode` does not store them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from cliptrase_core.cancel import steps
from cliptrase_core.errors import InputError, is_whole
from cliptrase_core.inspection.statistics import patch_shares
from cliptrase_core.io.geometry import Frame, Size, expect_place
from cliptrase_core.models.attention import query_key_attention, recovered_affinity, recovered_weights
from cliptrase_core.models.backbone import Backbone
from cliptrase_core.models.blocks import project, vanilla_block
from cliptrase_core.models.running import in_own_precision
from cliptrase_core.presets import PositionResize

OUTLIER_SCORE = 3.5
"""Modified z-score above which a value is an outlier (Iglewicz, Hoaglin: How to Detect and Handle Outliers, 1993)."""


@dataclass(frozen=True, eq=False, repr=False)
class AttentionMaps:
    """Attention matrices of one layer.

    Attributes:
        attention: (1+N, 1+N) float32, query-key softmax, rows add to 1; mean of all heads or one head.
        recovered: (1+N, 1+N) float32, self-correlation softmax, rows add to 1. It replaces the attention in
            CLIPtrase's last block; here it is computed for any layer.
        affinity: (1+N, 1+N) float32, cosine in [-1, 1]; input of the clustering.
        incoming_attention: (N,), mean attention that each patch receives from the other patches.
        incoming_recovered: (N,), the same for the recovered attention.
        global_patches: (M,) int64, patches whose incoming attention is an outlier, strongest first.
        layer: block, counted from 1.
        head: head, counted from 1; None for the mean.
        grid: (h, w).
        model: name of the model; empty if unknown.
    """

    attention: Tensor
    recovered: Tensor
    affinity: Tensor
    incoming_attention: Tensor
    incoming_recovered: Tensor
    global_patches: Tensor
    layer: int
    head: int | None
    grid: Size
    model: str = ""

    def __repr__(self) -> str:
        (h, w), head = self.grid, "mean of heads" if self.head is None else f"head {self.head}"
        return f"<AttentionMaps of layer {self.layer}, {head}: {h} x {w} patches, {len(self.global_patches)} global>"

    @property
    def cls_attention(self) -> Tensor:
        """(h, w), attention of [CLS] to the patches."""
        return self.attention[0, 1:].reshape(self.grid)

    @property
    def global_ranks(self) -> list[tuple[int, int]]:
        """Ranks of each global patch by incoming attention, before and after recovery; 1 is the largest."""
        before, after = (_ranks(values) for values in (self.incoming_attention, self.incoming_recovered))
        return [(int(before[patch]), int(after[patch])) for patch in self.global_patches]

    def patch_maps(self, row: int, column: int) -> tuple[Tensor, Tensor]:
        """Return the attention of one patch before (query-key) and after recovery.

        Args:
            row: row of the patch, from 0.
            column: column of the patch, from 0.

        Returns:
            Two (h, w) maps.

        Raises:
            InputError: the patch is outside the grid.
        """
        h, w = self.grid
        token = self.token(row, column)
        return self.attention[token, 1:].reshape(h, w), self.recovered[token, 1:].reshape(h, w)

    def token(self, row: int, column: int) -> int:
        """Return the index of a patch in the matrices; index 0 is [CLS].

        Args:
            row: row of the patch, from 0.
            column: column of the patch, from 0.

        Raises:
            InputError: the patch is outside the grid.
        """
        expect_place("patch", row, column, self.grid, "Pick a patch of the grid.")
        return 1 + row * self.grid[1] + column


@dataclass(frozen=True)
class LayerGlobals:
    """Number of global patches in one layer, and the attention that they receive.

    Attributes:
        layer: block, counted from 1.
        count: number of global patches.
        share: share of a patch's attention that goes to global patches, [CLS] left out, mean over patches; in [0, 1].
    """

    layer: int
    count: int
    share: float


@dataclass(frozen=True, eq=False)
class Capture:
    """Queries, keys and values of every block for one picture.

    Attributes:
        q: (L, heads, T, d) float16 or as `capture` was told, on the CPU.
        k: (L, heads, T, d).
        v: (L, heads, T, d).
        frame: layout of the picture for the model.
        model: name of the model; empty if unknown.
    """

    q: Tensor
    k: Tensor
    v: Tensor
    frame: Frame
    model: str = ""

    def __repr__(self) -> str:
        (h, w), heads = self.frame.grid, self.q.shape[1]
        return f"<Capture of {self.layers} layers, {heads} heads, {h} x {w} patches>"

    @property
    def device(self) -> torch.device:
        """Device of the tensors."""
        return self.q.device

    @property
    def nbytes(self) -> int:
        """Memory in bytes."""
        return self.q.nbytes + self.k.nbytes + self.v.nbytes

    @property
    def layers(self) -> int:
        """Number of blocks."""
        return len(self.q)

    @property
    def heads(self) -> int:
        """Heads of each block."""
        return int(self.q.shape[1])

    @in_own_precision
    def maps(self, layer: int | None = None, head: int | None = None) -> AttentionMaps:
        """Compute the maps of one layer.

        Args:
            layer: block, counted from 1; None selects the last but one, whose affinity is clustered.
            head: head, counted from 1; None selects the mean of all heads. The affinity is of the same head or mean.

        Raises:
            InputError: there is no such layer or head.
        """
        layer = max(1, self.layers - 1) if layer is None else layer
        _check_choice("layer", layer, self.layers)
        if head is not None:
            _check_choice("head", head, self.heads)
        chosen = slice(None) if head is None else slice(head - 1, head)
        q, k, v = (part[layer - 1, chosen].float() for part in (self.q, self.k, self.v))
        attention, recovered = q.new_zeros(2, q.shape[1], q.shape[1])
        for head_q, head_k, head_v in steps(zip(q, k, v, strict=True)):  # few (T, T) matrices in memory
            attention += query_key_attention(head_q, head_k)
            recovered += recovered_weights(head_q, head_k, head_v)
        attention /= len(q)
        recovered /= len(q)
        incoming = incoming_mean(attention)
        return AttentionMaps(
            attention=attention,
            recovered=recovered,
            affinity=recovered_affinity(q[None], k[None], v[None])[0],
            incoming_attention=incoming,
            incoming_recovered=incoming_mean(recovered),
            global_patches=outliers(incoming),
            layer=layer,
            head=head,
            grid=self.frame.grid,
            model=self.model,
        )

    @in_own_precision
    def depth(self) -> list[LayerGlobals]:
        """Find the global patches of every layer, first to last, in the query-key attention, mean of all heads."""
        found = []
        for layer, (q, k) in enumerate(zip(self.q, self.k, strict=True), start=1):
            attention = torch.zeros(q.shape[1], q.shape[1], dtype=torch.float32)
            for head_q, head_k in steps(zip(q, k, strict=True)):
                attention += query_key_attention(head_q.float(), head_k.float())
            patches = outliers(incoming_mean(attention))
            share = patch_shares(attention[1:, 1:])[:, patches].sum(dim=1).mean()
            found.append(LayerGlobals(layer, len(patches), float(share)))
        return found


@torch.no_grad()
def capture(
    backbone: Backbone, pixels: Tensor, frame: Frame, positions: PositionResize, kept_as: torch.dtype = torch.float16
) -> Capture:
    """Run all blocks once, unmodified, and store their q, k and v.

    Args:
        backbone: image tower.
        pixels: (3, H, W), normalised.
        frame: layout of the picture for the model.
        positions: resize method for the position embeddings.
        kept_as: dtype of q, k and v. In float16 a picture takes half the memory, and maps differ: with nano on the
            bundled photographs by up to 5e-4, and by up to 1.2e-3 for a single head; in about 1 % of the layers and
            heads, another patch counts as global.
    """
    tokens = backbone.embed(pixels[None], positions)
    kept: list[list[Tensor]] = [[], [], []]
    for block in backbone.blocks:
        p = project(block, tokens)
        for part, store in zip((p.q, p.k, p.v), kept, strict=True):
            store.append(part[0].to("cpu", kept_as))
        tokens = vanilla_block(block, tokens, p)
    q, k, v = (torch.stack(part) for part in kept)
    return Capture(q, k, v, frame)


def incoming_mean(matrix: Tensor) -> Tensor:
    """Return the mean attention that each patch receives from the other patches.

    Args:
        matrix: (1+N, 1+N), row i attends to column j; row and column 0 are [CLS].

    Returns:
        (N,); zeros for a single patch.
    """
    patches = matrix[1:, 1:]
    return (patches.sum(dim=0) - patches.diagonal()) / max(1, len(patches) - 1)


def outliers(values: Tensor) -> Tensor:
    """Return the indices of values far above the median, largest value first.

    The modified z-score is 0.6745 (x - median) / MAD, with the median absolute deviation MAD. If MAD is 0, the score
    is (x - median) / (1.2533 * mean absolute deviation) (Iglewicz and Hoaglin).

    Args:
        values: (N,).

    Returns:
        (M,) int64.
    """
    offset = values - values.quantile(0.5)
    spread = offset.abs().quantile(0.5) / 0.6745
    if spread == 0:
        spread = 1.253314 * offset.abs().mean()
    found = (offset > OUTLIER_SCORE * spread).nonzero()[:, 0]
    return found[values[found].argsort(descending=True, stable=True)]


def _ranks(values: Tensor) -> Tensor:
    return values.argsort(descending=True, stable=True).argsort() + 1


def _check_choice(what: str, value: Any, count: int) -> None:
    if not (is_whole(value) and 1 <= int(value) <= count):
        raise InputError(
            what, expected=f"a whole number from 1 to {count}", got=repr(value), remedy="Pick one of these."
        )
