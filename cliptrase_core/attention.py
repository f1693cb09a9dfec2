"""Semantic correlation recovery (paper, section 3.2): self-correlation instead of query-key attention.

Pure functions on per-head projections. Letters: B batch, heads, T = 1+N tokens ([CLS] first), d head width.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F


def recovered_affinity(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Mean over heads of (cos(q, q') + cos(k, k') + cos(v, v')) / 3.

    One matrix product: each projection is normalised per head and all are laid side by side, so that the
    inner product of two rows is the sum of all 3 * heads cosines.

    Args:
        q: (B, heads, T, d).
        k: (B, heads, T, d).
        v: (B, heads, T, d).

    Returns:
        (B, T, T) float32 (float64 from float64), symmetric, cosine in [-1, 1].
    """
    batch, heads, tokens, width = q.shape
    rows = q.new_empty((batch, tokens, 3, heads, width), dtype=torch.promote_types(q.dtype, torch.float32))
    for place, part in enumerate((q, k, v)):
        rows[:, :, place] = F.normalize(part.to(rows.dtype), dim=-1).transpose(1, 2)  # (B, T, heads, d)
    rows = rows.flatten(2)  # (B, T, 3*heads*d)
    return rows @ rows.transpose(1, 2) / (3 * heads)


def recovered_attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """(softmax(s qq^T) + softmax(s kk^T) + softmax(s vv^T)) v with s = d ** -0.5.

    A sum, not a mean: rows of the attention add to 3. It matters because the block keeps its residual
    (published code, last block). Three fused calls, so no (T, T) matrix stands in memory.

    Args:
        q: (B, heads, T, d).
        k: (B, heads, T, d).
        v: (B, heads, T, d).

    Returns:
        (B, heads, T, d).
    """
    out = F.scaled_dot_product_attention(q, q, v)
    out += F.scaled_dot_product_attention(k, k, v)
    out += F.scaled_dot_product_attention(v, v, v)
    return out


def query_key_attention(q: Tensor, k: Tensor) -> Tensor:
    """softmax(s q k^T), as a vanilla block uses it.

    Args:
        q: (..., T, d), any subset of the queries.
        k: (..., T, d).

    Returns:
        (..., T, T) float32 (float64 from float64); rows add to 1.
    """
    dtype = torch.promote_types(q.dtype, torch.float32)
    q, k = q.to(dtype), k.to(dtype)
    scores: Tensor = q @ k.transpose(-2, -1) * q.shape[-1] ** -0.5
    return scores.softmax(dim=-1)


def recovered_weights(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """(softmax(s qq^T) + softmax(s kk^T) + softmax(s vv^T)) / 3: who looks at whom in `recovered_attention`.

    A mean, so that it has the unit of the query-key attention that it stands for.

    Args:
        q: (..., T, d).
        k: (..., T, d).
        v: (..., T, d).

    Returns:
        (..., T, T) float32 (float64 from float64); rows add to 1.
    """
    weights = query_key_attention(q, q)
    weights += query_key_attention(k, k)
    weights += query_key_attention(v, v)
    return weights.div_(3)
