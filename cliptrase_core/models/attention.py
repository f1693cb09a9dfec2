"""Attention functions: query-key, CLIPtrase's recovered attention (paper, section 3.2), and those of other methods.

Pure functions on per-head projections. Dimensions: B batch, heads, T = 1+N tokens ([CLS] first), d head width.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from cliptrase_core.io.geometry import Size


def recovered_affinity(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Return the mean over heads of (cos(q, q') + cos(k, k') + cos(v, v')) / 3.

    Computed as one matrix product: each projection is normalised per head and all are concatenated, so that the
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
    """Return (softmax(s qq^T) + softmax(s kk^T) + softmax(s vv^T)) v with s = d ** -0.5.

    A sum, not a mean: rows of the attention sum to 3. This matters because the block keeps its residual
    (published code, last block). Three fused calls are used, so that no (T, T) matrix is stored.

    Args:
        q: (B, heads, T, d).
        k: (B, heads, T, d).
        v: (B, heads, T, d).

    Returns:
        (B, heads, T, d).
    """
    return correlated_values(q, k, v, ("qq", "kk", "vv"))


def correlated_values(q: Tensor, k: Tensor, v: Tensor, pairs: Sequence[str], bias: Tensor | None = None) -> Tensor:
    """Return the sum over pairs ab of softmax(s a b^T + bias) v with s = d ** -0.5.

    Args:
        q: (B, heads, T, d).
        k: (B, heads, T, d).
        v: (B, heads, T, d).
        pairs: pairs of "q", "k" and "v", such as "qk", the vanilla attention; if empty, each token keeps its value.
        bias: (T, T), added after scaling, the same for all heads; None for none.

    Returns:
        (B, heads, T, d).
    """
    if not pairs:
        return v
    parts = {"q": q, "k": k, "v": v}
    out = torch.zeros_like(v)
    for pair in pairs:
        out += F.scaled_dot_product_attention(parts[pair[0]], parts[pair[1]], v, attn_mask=bias)
    return out


def smoothed_values(q: Tensor, k: Tensor, v: Tensor, beta: float, steps: int) -> Tensor:
    """Return GEM's self-self attention: mean of softmax(beta p p^T) v over p in {q, k, v} (arXiv 2312.00878, sec. 3).

    Rows of p are normalised; each step replaces p by softmax(beta p p^T) p, normalised again.

    Args:
        q: (B, heads, T, d).
        k: (B, heads, T, d).
        v: (B, heads, T, d).
        beta: inverse temperature of cosines.
        steps: number of smoothing steps, 0 or more.

    Returns:
        (B, heads, T, d).
    """
    out = torch.zeros_like(v)
    for part in (q, k, v):
        p = F.normalize(part, dim=-1)
        for _ in range(steps):
            p = F.normalize(F.scaled_dot_product_attention(p, p, p, scale=beta), dim=-1)
        out += F.scaled_dot_product_attention(p, p, v, scale=beta)
    return out / 3


def neighbour_bias(grid: Size, deviation: float) -> Tensor:
    """Return exp(-(drow^2 + dcolumn^2) / (2 deviation^2)) between patches (NACLIP, arXiv 2404.08181, section 3).

    Args:
        grid: (h, w).
        deviation: standard deviation in patches.

    Returns:
        (1+N, 1+N) float32; row and column 0 belong to [CLS] and are 0.
    """
    along = []
    for length in grid:
        places = torch.arange(length, dtype=torch.float32)
        along.append(torch.exp((places[:, None] - places).square() / (-2 * deviation**2)))
    return F.pad(torch.kron(*along), (1, 0, 1, 0))


def query_key_attention(q: Tensor, k: Tensor) -> Tensor:
    """Return softmax(s q k^T) with s = d ** -0.5, the attention of a vanilla block.

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
    """Return (softmax(s qq^T) + softmax(s kk^T) + softmax(s vv^T)) / 3, the weights of `recovered_attention`.

    A mean, so that it has the same unit as the query-key attention that it replaces.

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
