"""Methods that change blocks before the last one: they share one more forward pass of the picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from cliptrase_core.methods.registry import Method
from cliptrase_core.methods.resclip import middle_blocks
from cliptrase_core.models.attention import correlated_values, smoothed_values
from cliptrase_core.models.backbone import Backbone
from cliptrase_core.models.blocks import Projections, attention_branch, mlp_branch, project, vanilla_block


@dataclass(frozen=True, eq=False)
class DeepParts:
    """What the pass leaves of one picture.

    Attributes:
        features: by method, of those with a path of their own: (1+N, D), unit rows, row 0 is the unchanged [CLS].
        middle_values: (1, heads, T, d), values of the last block mixed by the middle blocks' mean attention.
    """

    features: Mapping[Method, Tensor]
    middle_values: Tensor


def deep_parts(backbone: Backbone, tokens: Tensor, last_input: Tensor, methods: Sequence[Method]) -> DeepParts:
    """Run all blocks unchanged, and beside them the paths of methods.

    Args:
        backbone: the image tower.
        tokens: (1, 1+N, width), what enters the first block.
        last_input: (1, 1+N, width), what enters the last.
        methods: those with a path of their own.
    """
    blocks = backbone.blocks
    middle = middle_blocks(len(blocks))
    last_values = project(blocks[-1], last_input).v
    mixed = torch.zeros_like(last_values)
    paths: dict[Method, Tensor] = {}
    for index, block in enumerate(blocks):
        p = project(block, tokens)
        if index in middle:
            # Mean attention times values is the mean of attention times values: no (T, T) matrix stands in memory.
            mixed += F.scaled_dot_product_attention(p.q, p.k, last_values) / len(middle)
        for method in methods:
            if index >= len(blocks) - method.blocks:
                path = paths.get(method, tokens)
                paths[method] = changed_block(block, path, mixed_values(block, tokens, p, method), method)
        tokens = vanilla_block(block, tokens, p)
    cls = backbone.features(tokens)[0, :1]
    features = {method: torch.cat([cls, backbone.features(path)[0, 1:]]) for method, path in paths.items()}
    return DeepParts(features, mixed)


def mixed_values(
    block: Any, tokens: Tensor, p: Projections, method: Method, neighbours: Tensor | None = None
) -> Tensor:
    """Values of a changed block, mixed as the method says; ResCLIP's corrections apart.

    Args:
        block: of the image tower.
        tokens: (1, T, width), what enters it on the unchanged path.
        p: its projections of these.
        method: any.
        neighbours: (T, T), added to scaled correlations.

    Returns:
        (1, heads, T, d).
    """
    if method.smoothing is None:
        return correlated_values(p.q, p.k, p.v, method.pairs, neighbours)
    norm = block.ln_1(tokens).norm(dim=-1).mean()
    return smoothed_values(p.q, p.k, p.v, float(norm) * p.q.shape[-1] ** -0.5, method.smoothing)


def changed_block(block: Any, tokens: Tensor, mixed: Tensor, method: Method) -> Tensor:
    """What leaves a block (1, T, width), with residual and MLP as the method says."""
    out = attention_branch(block, mixed)
    if method.residual != "none":
        out = out + (tokens if method.residual == "patch" else tokens[:, :1])
    return out + mlp_branch(block, out) if method.mlp else out
