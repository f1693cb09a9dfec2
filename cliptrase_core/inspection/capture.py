"""Attention maps of any layer, head and patch, before and after recovery.

One capturing pass keeps q, k and v of every block in half precision; every map is made from those, so that
a click costs no forward pass. `Segmenter.encode` captures nothing.
"""

from __future__ import annotations

import numbers
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from cliptrase_core.cancel import steps
from cliptrase_core.errors import InputError, explain
from cliptrase_core.inspection.statistics import patch_shares
from cliptrase_core.io.geometry import Frame, Size, expect_place
from cliptrase_core.models.attention import query_key_attention, recovered_affinity, recovered_weights
from cliptrase_core.models.backbone import Backbone
from cliptrase_core.models.blocks import project, vanilla_block
from cliptrase_core.presets import PositionResize

OUTLIER_SCORE = 3.5
"""Modified z-score of an outlier (Iglewicz and Hoaglin, How to Detect and Handle Outliers, 1993)."""


@dataclass(frozen=True, eq=False, repr=False)
class AttentionMaps:
    """The attention matrices of one layer.

    Attributes:
        attention: (1+N, 1+N) float32, query-key softmax, rows add to 1; mean of all heads or one head.
        recovered: (1+N, 1+N) float32, self-correlation softmax, rows add to 1; what stands for the attention in
            CLIPtrase's last block, here made for any layer.
        affinity: (1+N, 1+N) float32, cosine in [-1, 1]; what is clustered.
        incoming_attention: (N,), mean attention that each patch gets from the other patches.
        incoming_recovered: (N,), the same for the recovered attention.
        global_patches: (M,) int64, patches whose incoming attention is an outlier, strongest first.
        layer: block, counted from 1.
        head: head, counted from 1; None for the mean.
        grid: (h, w).
        model: name of the model, empty where nobody said it.
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
        """Rank (1 = most looked at) of each global patch before and after recovery."""
        before, after = (_ranks(values) for values in (self.incoming_attention, self.incoming_recovered))
        return [(int(before[patch]), int(after[patch])) for patch in self.global_patches]

    def patch_maps(self, row: int, column: int) -> tuple[Tensor, Tensor]:
        """Attention of one patch before (query-key) and after recovery.

        Args:
            row: of the patch, from 0.
            column: of the patch, from 0.

        Returns:
            Two (h, w) maps.

        Raises:
            InputError: outside the grid.
        """
        h, w = self.grid
        token = self.token(row, column)
        return self.attention[token, 1:].reshape(h, w), self.recovered[token, 1:].reshape(h, w)

    def token(self, row: int, column: int) -> int:
        """Place of a patch in the matrices, where 0 is [CLS].

        Args:
            row: of the patch, from 0.
            column: of the patch, from 0.

        Raises:
            InputError: outside the grid.
        """
        expect_place("patch", row, column, self.grid, "Pick a patch of the grid.")
        return 1 + row * self.grid[1] + column


@dataclass(frozen=True)
class LayerGlobals:
    """How far global patches rule one layer.

    Attributes:
        layer: block, counted from 1.
        count: number of global patches.
        share: of what an average patch gives to patches, how much goes to them; in [0, 1].
    """

    layer: int
    count: int
    share: float


@dataclass(frozen=True, eq=False)
class Capture:
    """q, k and v of every block of one picture.

    Attributes:
        q: (L, heads, T, d) float16, on the CPU.
        k: (L, heads, T, d) float16.
        v: (L, heads, T, d) float16.
        frame: how the picture was laid out.
        model: name of the model, empty where nobody said it.
    """

    q: Tensor
    k: Tensor
    v: Tensor
    frame: Frame
    model: str = ""

    @property
    def layers(self) -> int:
        """Number of blocks."""
        return len(self.q)

    @property
    def heads(self) -> int:
        """Heads of each block."""
        return int(self.q.shape[1])

    def maps(self, layer: int | None = None, head: int | None = None) -> AttentionMaps:
        """Maps of one layer.

        Args:
            layer: block, counted from 1; None takes the last but one, whose affinity is clustered.
            head: head, counted from 1; None takes the mean. The affinity is of the same head or mean.

        Raises:
            InputError: no such layer or head.
        """
        layer = max(1, self.layers - 1) if layer is None else layer
        _check_choice("layer", layer, self.layers)
        if head is not None:
            _check_choice("head", head, self.heads)
        chosen = slice(None) if head is None else slice(head - 1, head)
        q, k, v = (part[layer - 1, chosen].float() for part in (self.q, self.k, self.v))
        attention, recovered = torch.zeros(2, q.shape[1], q.shape[1])
        for head_q, head_k, head_v in steps(zip(q, k, v, strict=True)):  # few (T, T) at a time
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

    def depth(self) -> list[LayerGlobals]:
        """Global patches of every layer, first to last; mean of all heads, query-key attention."""
        found = []
        for layer, (q, k) in enumerate(zip(self.q, self.k, strict=True), start=1):
            attention = torch.zeros(q.shape[1], q.shape[1])
            for head_q, head_k in steps(zip(q, k, strict=True)):
                attention += query_key_attention(head_q.float(), head_k.float())
            patches = outliers(incoming_mean(attention))
            share = patch_shares(attention[1:, 1:])[:, patches].sum(dim=1).mean()
            found.append(LayerGlobals(layer, len(patches), float(share)))
        return found


@torch.no_grad()
def capture(backbone: Backbone, pixels: Tensor, frame: Frame, positions: PositionResize) -> Capture:
    """Run all blocks once, vanilla, and keep their projections.

    Args:
        backbone: the image tower.
        pixels: (3, H, W), normalised.
        frame: how the picture was laid out.
        positions: how position embeddings reach the grid.
    """
    tokens = backbone.embed(pixels[None], positions)
    kept: list[list[Tensor]] = [[], [], []]
    for block in backbone.blocks:
        p = project(block, tokens)
        for part, store in zip((p.q, p.k, p.v), kept, strict=True):
            store.append(part[0].to("cpu", torch.float16))
        tokens = vanilla_block(block, tokens, p)
    q, k, v = (torch.stack(part) for part in kept)
    return Capture(q, k, v, frame)


def incoming_mean(matrix: Tensor) -> Tensor:
    """Mean of each patch's column over the other patches.

    Args:
        matrix: (1+N, 1+N), row i attends to column j; row and column 0 are [CLS].

    Returns:
        (N,); zeros for a single patch.
    """
    patches = matrix[1:, 1:]
    return (patches.sum(dim=0) - patches.diagonal()) / max(1, len(patches) - 1)


def outliers(values: Tensor) -> Tensor:
    """Indices of values far above the median, largest first.

    Modified z-score: 0.6745 (x - median) / MAD, where the median absolute deviation is 0 the mean absolute
    deviation times 1.2533 stands in (Iglewicz and Hoaglin).

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
    if not (isinstance(value, numbers.Integral) and not isinstance(value, bool) and 1 <= int(value) <= count):
        raise InputError(
            explain(what, expected=f"a whole number from 1 to {count}", got=repr(value), remedy="Pick one of these.")
        )
