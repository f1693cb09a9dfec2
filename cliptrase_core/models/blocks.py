"""Functions that run one residual block of an open_clip transformer in steps; weights are read, never changed.

CLIPtrase needs q, k and v, which the blocks do not return. Both attention classes that open_clip has used
(torch's MultiheadAttention and its own `Attention`) have one packed `in_proj_weight`, which is read here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from cliptrase_core.cancel import check

QUICK_GELU = 1.702
"""Slope inside QuickGELU's sigmoid (OpenAI's CLIP)."""


@dataclass(frozen=True, eq=False)
class Projections:
    """q, k, v of one block.

    Attributes:
        q: (B, heads, T, d).
        k: (B, heads, T, d).
        v: (B, heads, T, d).
    """

    q: Tensor
    k: Tensor
    v: Tensor


def project(block: Any, tokens: Tensor) -> Projections:
    """Return q, k and v of LN1(tokens) per head.

    Args:
        block: a residual block of open_clip.
        tokens: (B, T, width), input of the block.

    Raises:
        Cancelled: the work was cancelled; every block of every tower is checked here.
    """
    check()
    attn = block.attn
    packed = F.linear(block.ln_1(tokens), attn.in_proj_weight, attn.in_proj_bias)  # (B, T, 3*width)
    heads, width = attn.num_heads, attn.in_proj_weight.shape[1]
    packed = packed.reshape(*packed.shape[:2], 3, heads, width // heads).permute(2, 0, 3, 1, 4)  # (3, B, heads, T, d)
    q, k, v = packed.unbind(0)
    return Projections(_apply(attn, "ln_q", q), _apply(attn, "ln_k", k), v)


def attention_branch(block: Any, mixed: Tensor) -> Tensor:
    """Return the attention's term of the residual sum: the out-projection with its bias.

    Args:
        block: a residual block of open_clip.
        mixed: (B, heads, T, d), values mixed by any attention.

    Returns:
        (B, T, width).
    """
    mixed = block.attn.out_proj(mixed.transpose(1, 2).flatten(2))
    out: Tensor = block.ls_1(_apply(block, "ln_attn", mixed))
    return out


def mlp_branch(block: Any, tokens: Tensor) -> Tensor:
    """Return the MLP's term of the residual sum (B, T, width)."""
    out: Tensor = block.ls_2(_mlp(block.mlp, block.ln_2(tokens)))
    return out


def finish_block(block: Any, tokens: Tensor, mixed: Tensor) -> Tensor:
    """Apply out-projection, residual, MLP and residual.

    Args:
        block: a residual block of open_clip.
        tokens: (B, T, width), input of the block.
        mixed: (B, heads, T, d), values mixed by any attention.
    """
    tokens = tokens + attention_branch(block, mixed)
    return tokens + mlp_branch(block, tokens)


def vanilla_block(block: Any, tokens: Tensor, projections: Projections | None = None) -> Tensor:
    """Run one block as it was trained, with fused attention."""
    p = projections or project(block, tokens)
    return finish_block(block, tokens, F.scaled_dot_product_attention(p.q, p.k, p.v))


def _mlp(mlp: Any, tokens: Tensor) -> Tensor:
    """Apply the block's MLP, with QuickGELU in one pass over the hidden units instead of three.

    x sigmoid(a x) = silu(a x) / a with a = 1.702; the division is included in the product with c_proj.
    """
    if len(mlp) != 3 or type(mlp.gelu).__name__ != "QuickGELU":
        plain: Tensor = mlp(tokens)
        return plain
    hidden = F.silu(mlp.c_fc(tokens).mul_(QUICK_GELU), inplace=True).flatten(0, 1)  # (B*T, 4*width)
    out = torch.addmm(mlp.c_proj.bias, hidden, mlp.c_proj.weight.T, alpha=1 / QUICK_GELU)
    return out.reshape(tokens.shape)


def _apply(owner: Any, name: str, value: Tensor) -> Tensor:
    """Apply an optional module that only open_clip's own classes of block and attention have."""
    part = getattr(owner, name, None)
    out: Tensor = value if part is None else part(value)
    return out
